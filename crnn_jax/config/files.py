"""Config files: running them, their variants, and setting fields on the command line."""

import contextlib
import os
import re
import runpy
import sys
from collections.abc import Callable, Iterator, Sequence
from glob import escape, glob
from pathlib import Path
from traceback import extract_tb
from typing import Any

from absl import flags
from ml_collections import ConfigDict, config_flags

from crnn_jax import UserError, did_you_mean
from crnn_jax.config.fields import FIELDS, RENAMED, refusal
from crnn_jax.config.stored import complete


def load_config(given: str | None, arguments: Sequence[str]) -> ConfigDict | None:
    """The config of `FILE` or `FILE:name`, with fields set as on the command line.

    Args:
      given: value of --config, where a name of `shipped` may stand for a file; None gives None.
      arguments: what sets fields, in absl's dialect: --config.FIELD=VALUE, --config.FIELD VALUE,
        --config.SWITCH or --noconfig.SWITCH.

    Returns:
      The config, locked. Its values are not checked (`config.check`).

    Raises:
      UserError: no such file, or it fails, or an argument that sets no field.
    """
    for argument in arguments:
        if match := re.match(r"--?(?:no)?config\.([^=]*)", argument):
            _check_name(match[1])
    config = None if given is None else _read(given)
    values, command = flags.FlagValues(), ["", *arguments]
    if config is not None:
        config_flags.DEFINE_config_dict(
            "config", config, flag_values=values, lock_config=True, sys_argv=command
        )
    elif arguments:
        raise UserError(
            f"{arguments[0]!r} is not expected: a field needs --config=FILE too, a picture "
            "--mode=predict"
        )
    try:
        _, *unused = values(command)
    except flags.IllegalFlagValueError as error:
        field, _, value = str(error).removeprefix("flag --config.").partition("=")
        raise refusal(field, value.partition(": ")[0]) from error
    except (flags.Error, ValueError) as error:
        raise UserError(f"{error} (see --help)") from error
    if unused:
        raise UserError(
            f"{unused[0]!r} is not expected: every argument is a --flag=value, and pictures are "
            "for --mode=predict"
        )
    return config


def _read(given: str) -> ConfigDict:
    path, colon, name = given.partition(":")
    config = _run(path, lambda module: module["get_config"](*([name] if colon else [])))
    if not isinstance(config, ConfigDict):
        raise UserError(
            f"--config={path}: get_config returns {type(config).__name__}, expected a ConfigDict"
        )
    return complete(config.to_dict(), f"--config={path}")


def _check_name(field: str) -> None:
    if field in RENAMED:
        raise UserError(f"--config.{field} is --config.{RENAMED[field]} now")
    if field not in FIELDS:
        raise UserError(
            f"--config.{field} is not a field{did_you_mean(field, FIELDS)}: expected one of those "
            "in crnn_jax/config/fields.py"
        )


def load_sweep(path: str) -> list[str]:
    """The variants that a config file's `sweep()` names; one without a name where it has none.

    Raises:
      UserError: no such file, or it fails.
    """
    return _run(path, lambda module: module["sweep"]() if "sweep" in module else [""])


def variant(
    config: ConfigDict, names: str | None, **changes: Callable[[ConfigDict], Any]
) -> ConfigDict:
    """The config of `--config=FILE:NAMES`.

    Args:
      config: that of FILE alone; is changed.
      names: names of variants, separated by commas; None for no change. Every config has the
        variant `smoke`, which is applied last.
      changes: the config's own variants: what each changes.

    Raises:
      UserError: a name that is none of these.
    """
    chosen = names.split(",") if names is not None else []
    for name in sorted(chosen, key="smoke".__eq__):  # last, so that nothing grows again
        if name == "smoke":
            _smoke(config)
        elif name in changes:
            changes[name](config)
        else:
            own = "".join(f"FILE:{own}, " for own in changes)
            raise UserError(
                f"--config=FILE:{name}: expected FILE, {own}or FILE:smoke for a run of seconds"
            )
    return config


def _smoke(config: ConfigDict) -> None:
    """Shrink a config to a run of seconds that goes through all the motions."""
    lengths = tuple(length for length in config.eval.lengths if length <= 10)
    config.train.update(steps=4, steps_per_dispatch=2)
    config.eval.update(every=2, validation_sequences=80, test_sequences=800, lengths=lengths)
    config.checkpoint.every = 2


def shipped() -> dict[str, Path]:
    """The configs that come with this package: their files by name."""
    package = Path(__file__).parents[1]
    inside = package / "configs"  # where it is installed; beside the package in a clone
    folder = inside if inside.is_dir() else package.parent / "configs"
    return {path.stem: path for path in sorted(folder.glob("*.py"))}


def _find(path: str) -> str:
    """The absolute path of a config file; one of that path goes before a shipped one so named."""
    if os.path.isfile(path):  # not `Path.is_file`, which raises for names too long
        return str(Path(path).absolute())
    ours = shipped()
    if path in ours:
        return str(ours[path])
    files = glob(os.path.join(escape(os.path.dirname(path)), "*.py"))
    hint = did_you_mean(path, files) or did_you_mean(Path(path).stem, ours)
    raise UserError(
        f"--config={path} is not a file{hint}: expected a config file, or one of {', '.join(ours)}"
    )


def _run(path: str, use: Callable[[dict[str, Any]], Any]) -> Any:
    """What `use` makes of the names that a config file defines."""
    file = _find(path)
    try:
        with _importable(Path(file).parent):
            return use(runpy.run_path(file))
    except UserError:
        raise
    except Exception as error:
        lines = [
            frame.lineno for frame in extract_tb(error.__traceback__) if frame.filename == file
        ]
        where = f", line {lines[-1]}" if lines else ""
        raise UserError(f"--config={path}{where}: {type(error).__name__}: {error}") from error


@contextlib.contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """Let a config import its neighbours, as a script can, and forget them afterwards."""
    known = set(sys.modules)
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        for name in set(sys.modules) - known:
            if Path(getattr(sys.modules[name], "__file__", None) or "/").parent == folder:
                del sys.modules[name]
