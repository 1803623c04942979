"""The command line: `python -m crnn_jax.main --help`."""

import argparse
import logging
import os
import sys
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from traceback import extract_tb
from typing import NoReturn

from absl import flags
from ml_collections import ConfigDict, config_flags

from crnn_jax.errors import UserError

EXAMPLES = """\
examples:
  python -m crnn_jax.main --config=configs/sum8.py
  python -m crnn_jax.main --config=configs/sum8.py:smoke --workdir=/tmp/try
  python -m crnn_jax.main --config=configs/sum8.py --config.train.learning_rate=1e-3
  python -m crnn_jax.main --mode=evaluate --workdir=runs/sum8 --step=best --json

The same train command again resumes the run. A config's fields are explained in its file.
"""


def main(argv: Sequence[str]) -> int:
    """Does what a command line asks.

    Args:
      argv: the arguments, without the program's name.

    Returns:
      The exit status: 0, or 2 after one line on stderr about a mistake of the user.

    Raises:
      SystemExit: after --help (0), and where the training diverged (1).
    """
    try:
        _run(argv)
    except UserError as error:
        print("error:", " ".join(str(error).splitlines()), file=sys.stderr)
        return 2
    return 0


def _run(argv: Sequence[str]) -> None:
    arguments, overrides = _parse(argv)
    config = _load_config(arguments.config, overrides)
    workdir = _workdir(arguments)
    from crnn_jax import run  # brings in JAX: not for --help or a mistyped flag

    if arguments.mode == "evaluate":
        run.evaluate(workdir, config, step=arguments.step, as_json=arguments.json)
    else:
        run.train(workdir, config, profile=arguments.profile)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message} (see --help)")


def _parse(argv: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """Returns the flags, and the arguments --config.field=value apart from them."""
    parser = _Parser(
        prog="python -m crnn_jax.main",
        usage="%(prog)s --config=FILE [--config.FIELD=VALUE ...] [FLAG ...]",
        description="Train and evaluate networks that read a sequence of images and answer a "
        "question about it.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        add_help=False,
    )
    add = parser.add_argument_group("flags").add_argument
    add(
        "--config",
        metavar="FILE",
        help="the experiment, any field of which --config.FIELD=VALUE sets; "
        "FILE:smoke shrinks it to a run of seconds",
    )
    add("--workdir", metavar="DIR", help="folder of the run (default: runs/<config name>)")
    add("--mode", choices=("train", "evaluate"), default="train", help="default: train")
    add("--profile", action="store_true", help="train: write a trace of some steps into DIR")
    add(
        "--step",
        metavar="N",
        default="latest",
        help="evaluate: the checkpoint of step N, best or latest (default)",
    )
    add("--json", action="store_true", help="evaluate: print one JSON object")
    add("--help", action="help", help="print this")

    overrides = [argument for argument in argv if argument.startswith("--config.")]
    arguments, unknown = parser.parse_known_args([a for a in argv if a not in overrides])
    if unknown:
        name = unknown[0].partition("=")[0]
        if not name.startswith("-"):
            raise UserError(f"{name!r} is not expected: every argument is a --flag=value")
        flag_names = [f"--{flag}" for flag in vars(arguments)]
        raise UserError(f"{name} is no flag{_did_you_mean(name, flag_names)}: see --help")
    for flag, mode in (("profile", "train"), ("step", "evaluate"), ("json", "evaluate")):
        if getattr(arguments, flag) != parser.get_default(flag) and arguments.mode != mode:
            raise UserError(f"--{flag} is only for --mode={mode}, not for {arguments.mode}")
    if arguments.mode == "train" and arguments.config is None:
        raise UserError("--config is not given: expected, for example, --config=configs/sum8.py")
    return arguments, overrides


def _workdir(arguments: argparse.Namespace) -> Path:
    if arguments.workdir:
        return Path(arguments.workdir).expanduser()
    if arguments.workdir is not None or arguments.config is None:
        raise UserError("--workdir is not given: expected, for example, --workdir=runs/sum8")
    path, _, name = arguments.config.partition(":")
    return Path("runs") / "-".join(filter(None, (Path(path).stem, name)))


def _load_config(given: str | None, overrides: Sequence[str]) -> ConfigDict | None:
    """The config of `FILE` or `FILE:name`, with fields set as the overrides say."""
    if given is None:
        if overrides:
            raise UserError(f"{overrides[0]} needs a config: give --config=FILE too")
        return None
    path, colon, name = given.partition(":")
    config = _run_config_file(path, [name] if colon else [])
    from crnn_jax.config import FIELDS, check_names

    check_names(config, f"--config={path}")
    for override in overrides:
        field, equals, _ = override.removeprefix("--config.").partition("=")
        if field not in FIELDS:
            raise UserError(
                f"--config.{field} is no field of the config{_did_you_mean(field, FIELDS)}: "
                f"expected one of the fields in {path}"
            )
        if not equals:
            raise UserError(f"--config.{field} has no value: expected --config.{field}=VALUE")
        _set(config, override, FIELDS[field].expected)
    return config


def _run_config_file(path: str, arguments: list[str]) -> ConfigDict:
    """What the file's `get_config` returns, given the name after the colon if there is one."""
    if not Path(path).is_file():
        files = [str(file) for file in Path(path).parent.glob("*.py")]
        raise UserError(
            f"--config={path} is no file{_did_you_mean(path, files)}: expected a config file, "
            "such as configs/sum8.py"
        )
    file = str(Path(path).absolute())
    loader = SourceFileLoader("config", file)
    module = module_from_spec(spec_from_loader("config", loader))
    try:
        loader.exec_module(module)
        config = module.get_config(*arguments)
    except UserError:
        raise
    except Exception as error:
        lines = [
            frame.lineno for frame in extract_tb(error.__traceback__) if frame.filename == file
        ]
        where = f", line {lines[-1]}" if lines else ""
        raise UserError(f"--config={path}{where}: {type(error).__name__}: {error}") from error
    if not isinstance(config, ConfigDict):
        raise UserError(
            f"--config={path}: get_config returns {type(config).__name__}, expected a ConfigDict"
        )
    return config


def _set(config: ConfigDict, override: str, expected: str) -> None:
    values = flags.FlagValues()
    command = ["", override]
    config_flags.DEFINE_config_dict("config", config, flag_values=values, sys_argv=command)
    try:
        values(command)
    except (flags.Error, TypeError, ValueError) as error:
        raise UserError(f"{override}: expected {expected}") from error


def _did_you_mean(wrong: str, right: Iterable[str]) -> str:
    matches = get_close_matches(wrong, right, n=1, cutoff=0.75)
    return f" (did you mean {matches[0]}?)" if matches else ""


if __name__ == "__main__":
    # XLA's C++ logs would otherwise speak of CPU features at every start.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    logging.basicConfig(format="%(levelname)s: %(message)s")
    sys.exit(main(sys.argv[1:]))
