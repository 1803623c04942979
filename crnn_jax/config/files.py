"""Config files: running them, and setting fields as the command line says."""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from glob import escape, glob
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from traceback import extract_tb
from typing import Any

from absl import flags
from ml_collections import ConfigDict, config_flags

from crnn_jax import UserError, did_you_mean


def load_config(given: str | None, overrides: Sequence[str]) -> ConfigDict | None:
    """The config of `FILE` or `FILE:name`, with fields set as the overrides say.

    Args:
      given: as behind --config=; None gives None.
      overrides: arguments --config.FIELD=VALUE.

    Raises:
      UserError: no such file, or it cannot be run, or a field or value that is not expected.
    """
    if given is None:
        if overrides:
            raise UserError(f"{overrides[0]} needs a config: give --config=FILE too")
        return None
    path, colon, name = given.partition(":")
    config = _run(path, lambda module: module.get_config(*([name] if colon else [])))
    if not isinstance(config, ConfigDict):
        raise UserError(
            f"--config={path}: get_config returns {type(config).__name__}, expected a ConfigDict"
        )
    from crnn_jax.config.checks import FIELDS, check_names  # brings in JAX: not for a mistyped name

    check_names(config, f"--config={path}")
    for override in overrides:
        field, equals, _ = override.removeprefix("--config.").partition("=")
        if field not in FIELDS:
            raise UserError(
                f"--config.{field} is no field of the config{did_you_mean(field, FIELDS)}: "
                f"expected one of the fields in {path}"
            )
        if not equals:
            raise UserError(f"--config.{field} has no value: expected --config.{field}=VALUE")
        _set(config, override, FIELDS[field].expected)
    return config


def load_sweep(path: str) -> list[str]:
    """The variants that a config file's `sweep()` names; one without a name where it has none.

    Raises:
      UserError: no such file, or it cannot be run.
    """
    return _run(path, lambda module: module.sweep() if hasattr(module, "sweep") else [""])


def _run(path: str, use: Callable[[Any], Any]) -> Any:
    """What `use` makes of the file, run as a module."""
    if not os.path.isfile(path):  # not `Path.is_file`, which raises for names too long
        files = glob(os.path.join(escape(os.path.dirname(path)), "*.py"))
        raise UserError(
            f"--config={path} is no file{did_you_mean(path, files)}: expected a config file, "
            "such as configs/sum8.py"
        )
    file = str(Path(path).absolute())
    loader = SourceFileLoader("config", file)
    module = module_from_spec(spec_from_loader("config", loader))
    try:
        with _importable(Path(file).parent):
            loader.exec_module(module)
            return use(module)
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
    """Lets a config import its neighbours, as a script could, and forgets them afterwards."""
    known = set(sys.modules)
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        for name in set(sys.modules) - known:
            if Path(getattr(sys.modules[name], "__file__", None) or "/").parent == folder:
                del sys.modules[name]


def _set(config: ConfigDict, override: str, expected: str) -> None:
    values = flags.FlagValues()
    command = ["", override]
    config_flags.DEFINE_config_dict("config", config, flag_values=values, sys_argv=command)
    try:
        values(command)
    except (flags.Error, TypeError, ValueError) as error:
        raise UserError(f"{override}: expected {expected}") from error
