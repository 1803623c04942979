"""The command line: `python -m crnn_jax.main --help`."""

import functools
import gc
import logging
import os
import signal
import sys
import textwrap
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

from absl import flags
from ml_collections import ConfigDict

from crnn_jax import UserError, __version__, did_you_mean, exit_status, user_path
from crnn_jax.config import load_config, shipped

USAGE = """\
Train, evaluate and use networks that read a sequence of images and answer a question about it.

python -m crnn_jax.main --config=CONFIG [--config.FIELD=VALUE ...] [FLAG ...] [FILE ...]
"""
EXAMPLES = """\
examples:
  python -m crnn_jax.main --config=sum8
  python -m crnn_jax.main --config=sum8:smoke --config.train.learning_rate=1e-3
  python -m crnn_jax.main --mode=data --config=clips --config.data.path=FOLDER
  python -m crnn_jax.main --mode=evaluate --workdir=runs/sum8 --step=best --json
  python -m crnn_jax.main --mode=predict --workdir=runs/sum8 three.png four.jpg
  python -m crnn_jax.main --mode=predict --workdir=runs/clips --each --json a.mp4 b.mp4
  python -m crnn_jax.main --mode=figures --workdir=runs/sum8 --beside=runs/lenet
  python -m crnn_jax.main --mode=export --workdir=runs/sum8 --format=onnx -o exported

CONFIG is a file, such as mine.py, or one of
{configs}.
Run the same train command again to resume. crnn_jax/config/fields.py explains every field.
"""
MODES = ("train", "data", "evaluate", "predict", "figures", "export")


class Flag(NamedTuple):
    """A flag of the command line."""

    define: Callable[..., Any]
    modes: str  # those it is for; "" for all
    about: str
    default: Any = None


mode = functools.partial(flags.DEFINE_enum, enum_values=MODES)
string, switch, number = flags.DEFINE_string, flags.DEFINE_boolean, flags.DEFINE_integer
share = flags.DEFINE_float

FLAGS = {
    "config": Flag(
        string, "train data evaluate figures export", "the experiment; CONFIG:smoke is short"
    ),
    "workdir": Flag(string, "", "folder of the run (default: runs/<config name>)"),
    "mode": Flag(mode, "", f"{', '.join(MODES)} (default: train)", "train"),
    "profile": Flag(switch, "train", "write a trace of some steps into the workdir", False),
    "step": Flag(
        string, "evaluate predict figures export", "number, best or latest (default)", "latest"
    ),
    "json": Flag(switch, "data evaluate predict", "print JSON; with --each a line a file", False),
    "split": Flag(switch, "predict", "cut one picture of a row of glyphs apart", False),
    "each": Flag(switch, "predict", "answer about each file, not about all as one sequence", False),
    "min_confidence": Flag(share, "predict", "answer ? where less sure than this share, as 0.9"),
    "csv": Flag(string, "predict", "write the answers, of each frame if there are, into this file"),
    "figure": Flag(string, "predict", "draw the frames with the answers into this file (PNG)"),
    "beside": Flag(string, "figures", "folder of another run, whose kernels to compare"),
    "format": Flag(
        string,
        "export",
        "stablehlo, onnx, safetensors (default: the first and last)",
        "stablehlo,safetensors",
    ),
    "output": Flag(functools.partial(string, short_name="o"), "export", "-o: folder to write"),
    "distributed": Flag(switch, "train", "join the other processes of this cluster job", False),
    "coordinator": Flag(string, "train", "without a cluster: HOST:PORT of process 0"),
    "num_processes": Flag(number, "train", "how many processes meet there"),
    "process_id": Flag(number, "train", "which of them this one is, from 0"),
    "version": Flag(switch, "", "print the version", False),
    "help": Flag(switch, "", "print this", False),
}


def main(argv: Sequence[str]) -> int:
    """Do what a command line asks.

    Args:
      argv: the arguments, without the program's name.

    Returns:
      The exit status: 0, or 2 after one line on stderr about a mistake of the user.

    Raises:
      SystemExit: where training diverged or the folder can be written no more (1); 128 + the
        signal's number where one came while it trained.
    """
    return exit_status(_run, argv)


def _run(argv: Sequence[str]) -> None:
    end = argv.index("--") if "--" in argv else len(argv)
    given, rest = _parse(argv[:end])
    literal = argv[end + 1 :]  # pictures, whatever their names begin with
    if given.help:
        print(_help())
        return
    if given.version:
        print(f"crnn_jax {__version__}")
        return
    _check(given, rest, literal)
    config = load_config(given.config, [] if given.mode == "predict" else rest)
    workdir = _workdir(given)
    with _with_others(given):
        _do(given, config, workdir, [*rest, *literal])


def _parse(argv: Sequence[str]) -> tuple[flags.FlagValues, list[str]]:
    """The flags, and all other arguments: what sets fields of the config, and pictures."""
    given = flags.FlagValues()  # absl's own FLAGS has those of every library
    for name, flag in FLAGS.items():
        flag.define(name=name, default=flag.default, help=flag.about, flag_values=given)
    try:
        _, *rest = given(["", *argv], known_only=True)
    except (flags.Error, ValueError) as error:
        raise UserError(f"{str(error).removeprefix('flag ')} (see --help)") from error
    return given, rest


def _help() -> str:
    lines = [USAGE, "flags:"]
    for name, flag in FLAGS.items():
        modes = f"{', '.join(flag.modes.split())}: " if flag.modes else ""
        lines.append(f"  --{name:15}{modes}{flag.about}")
    configs = textwrap.fill(", ".join(shipped()), 96, initial_indent="  ", subsequent_indent="  ")
    return "\n".join([*lines, "", EXAMPLES.rstrip().format(configs=configs)])


def _check(given: flags.FlagValues, rest: Sequence[str], literal: Sequence[str]) -> None:
    """Check that the flags are known and fit the mode, and that what the mode needs is given."""
    for argument in rest:
        name = argument.partition("=")[0]
        if name.startswith("--") and not name.startswith(("--config.", "--noconfig.")):
            hint = did_you_mean(name, [f"--{flag}" for flag in FLAGS])
            raise UserError(f"unknown flag {name}{hint}: see --help")
        if given.mode == "predict" and argument.startswith("-"):
            raise UserError(
                f"{argument} is not expected with --mode=predict: put pictures named so behind --"
            )
    for name, flag in FLAGS.items():
        modes = flag.modes.split() or MODES
        if given[name].value != flag.default and given.mode not in modes:
            expected = " or ".join(f"--mode={mode}" for mode in modes)
            raise UserError(f"--{name} is only for {expected}, not for {given.mode}")
    if given.mode in ("train", "data") and given.config is None:
        raise UserError("--config is not given: expected, for example, --config=sum8")
    if literal and given.mode != "predict":
        raise UserError(f"{literal[0]!r} is not expected: pictures are for --mode=predict")
    if given.mode == "predict" and not [*rest, *literal]:
        raise UserError("no picture is given: expected, for example, three.png four.jpg or a.mp4")
    if given.distributed and given.coordinator is not None:
        raise UserError("--distributed finds its coordinator: leave it or --coordinator out")


def _workdir(given: flags.FlagValues) -> Path:
    if given.workdir:
        return user_path(given.workdir)
    if given.workdir is not None or given.config is None:
        raise UserError("--workdir is not given: expected, for example, --workdir=runs/sum8")
    path, _, name = given.config.partition(":")
    return Path("runs") / "-".join(filter(None, (Path(path).stem, name)))


def _with_others(given: flags.FlagValues) -> AbstractContextManager[None]:
    """What joins the processes that the flags speak of; nothing where they speak of none."""
    meeting = (given.coordinator, given.num_processes, given.process_id)
    if not given.distributed and meeting == (None, None, None):
        return nullcontext()
    from crnn_jax.distributed.processes import distributed_session

    return distributed_session(*meeting)


def _do(
    given: flags.FlagValues, config: ConfigDict | None, workdir: Path, rest: Sequence[str]
) -> None:
    """Run a mode, whose modules import JAX: not for --help or a mistyped flag.

    Args:
      given: the flags.
      config: the experiment, as far as the mode needs one.
      workdir: folder of the run.
      rest: pictures to predict on, or what has set fields of the config.
    """
    if given.mode == "evaluate":
        from crnn_jax import evaluate

        evaluate.evaluate(workdir, config, step=given.step, as_json=given.json)
    elif given.mode == "predict":
        from crnn_jax import predict

        predict.predict(
            workdir,
            rest,
            split=given.split,
            each=given.each,
            step=given.step,
            as_json=given.json,
            table=given.csv,
            figure=given.figure,
            min_confidence=given.min_confidence,
        )
    elif given.mode == "figures":
        from crnn_jax import figures

        beside = None if given.beside is None else user_path(given.beside)
        figures.draw(workdir, config, step=given.step, beside=beside)
    elif given.mode == "export":
        from crnn_jax import export

        export.export(workdir, config, formats=given.format, output=given.output, step=given.step)
    elif given.mode == "data" and config is not None:
        from crnn_jax import inspection

        named = [f"--workdir={given.workdir}"] if given.workdir else []
        train = ["python", "-m", "crnn_jax.main", f"--config={given.config}", *rest, *named]
        inspection.inspect(config, workdir, train, as_json=given.json)
    elif config is not None:  # as `_check` demands
        from crnn_jax.train import run

        run.train(workdir, config, profile=given.profile)


def command() -> int:
    """Be the program: `main` on the arguments of this process, which it prepares for that.

    Returns:
      The exit status.
    """
    # Ctrl-C ends the program at once, and not in a traceback. Training has its own way.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    # Tracing makes millions of objects, hardly one of them garbage: look for it less often.
    gc.set_threshold(10_000)
    # XLA's C++ logs would otherwise speak of CPU features at every start.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    logging.basicConfig(format="%(levelname)s: %(message)s")
    return main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(command())
