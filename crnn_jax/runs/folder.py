"""A run's folder: what its files are called, and who may write there."""

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from crnn_jax import UserError
from crnn_jax.distributed.files import InUse, locked, write_whole

_LARGEST_BYTES = 2**24  # of a JSON file: a thousand times what a run writes


class RunFolder:
    """The folder of one run.

    Attributes:
      path: the folder.
      config: the run's config; a folder that has it holds a run, and has `record` too.
      record: what else a result depends on (`crnn_jax.runs.record`).
      results: written last, the mark of a complete run.
      metrics: a line for every dispatch and evaluation.
      checkpoints: a folder of steps (`crnn_jax.runs.checkpoint`).
      tensorboard: the metrics once more, as TensorBoard's event files.
      figures: PNG files.
      profile: a trace of some steps.
      lock: names the process that trains here.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.config = self.path / "config.json"
        self.record = self.path / "run.json"
        self.results = self.path / "results.json"
        self.metrics = self.path / "metrics.jsonl"
        self.checkpoints = self.path / "checkpoints"
        self.tensorboard = self.path / "tensorboard"
        self.figures = self.path / "figures"
        self.profile = self.path / "profile"
        self.lock = self.path / "lock"

    def read(self) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """The run's config and record, where one may train; None where there is no run yet.

        Raises:
          UserError: a file is damaged or missing, or the folder cannot be written.
        """
        try:
            nearest = next(p for p in (self.path, *self.path.absolute().parents) if p.exists())
            if not nearest.is_dir():
                raise NotADirectoryError(f"{nearest} is no folder")
            if not os.access(nearest, os.W_OK | os.X_OK):
                raise PermissionError(f"no permission to write in {nearest}")
            has_config = self.config.exists()
            has_checkpoints = any(self.checkpoints.glob("*"))
        except OSError as error:
            raise self._unwritable(error) from error
        if has_config:
            return read_json(self.config), read_json(self.record)
        if has_checkpoints:
            raise UserError(
                f"--workdir={self.path} has checkpoints but no {self.config.name}, which says what "
                "they are of: put it back, or name another folder"
            )
        return None

    def claim(self, config: Mapping[str, Any], record: Mapping[str, Any]) -> None:
        """Make the folder this run's own and record this start.

        Writes the record first: killed in between, the folder holds no run yet.

        Raises:
          UserError: the folder cannot be written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            write_json(self.record, record)
            write_json(self.config, config)
        except OSError as error:
            raise self._unwritable(error) from error

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Make the folder, and keep other writers out of it for the length of the block.

        Raises:
          UserError: it cannot be written, or another process is writing in it; says which.
        """
        with contextlib.ExitStack() as stack:
            try:
                self.path.mkdir(parents=True, exist_ok=True)
                stack.enter_context(locked(self.lock, wait=False))
            except InUse as holder:
                raise UserError(
                    f"--workdir={self.path} is in use by {holder}: wait for its end, stop it, or "
                    "name another folder"
                ) from None
            except OSError as error:
                raise self._unwritable(error) from error
            yield

    def _unwritable(self, error: OSError) -> UserError:
        reason = error.strerror or error
        return UserError(f"--workdir={self.path} cannot be written ({reason}): name another folder")


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file whole or not at all.

    Raises:
      OSError: it cannot be written.
    """
    write_whole(path, (json.dumps(value, indent=2) + "\n").encode())


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a run's file.

    Raises:
      UserError: there is none.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST_BYTES + 1)
        if len(content) > _LARGEST_BYTES:
            raise ValueError(f"more than {_LARGEST_BYTES:,} bytes")
        value = json.loads(content.decode(), object_pairs_hook=_once_each)
        if not isinstance(value, dict):
            raise ValueError("no JSON object")
    except (ValueError, RecursionError, OSError) as error:
        raise UserError(
            f"{path} is damaged ({error}): name another folder, or delete all of {path.parent}"
        ) from error
    return value


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; of a name that it has twice, JSON's reader would drop the first value."""
    value = dict(pairs)
    if len(value) < len(pairs):
        raise ValueError("an object has one name twice")
    return value
