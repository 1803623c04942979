"""A run's folder: whose run is in it, and what it leaves there besides checkpoints and metrics."""

import fcntl
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
from ml_collections import ConfigDict

from crnn_jax.config import differences
from crnn_jax.data.dataset import Dataset
from crnn_jax import UserError
from crnn_jax.runs.atomic_write import write_whole

_LARGEST_BYTES = 2**24  # of a JSON file: a thousand times what a run writes

PACKAGES = (
    "crnn-jax",
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "orbax-checkpoint",
    "tensorflow-datasets",
    "grain",
    "numpy",
)


def check_config(workdir: Path, config: ConfigDict) -> None:
    """Sees that a folder holds a run of this config, or can be made to; writes nothing.

    Raises:
      UserError: the folder cannot be written, or holds a run of another or an unknown config.
    """
    try:
        nearest = next(path for path in (workdir, *workdir.absolute().parents) if path.exists())
        if not nearest.is_dir():
            raise NotADirectoryError(f"{nearest} is no folder")
        if not os.access(nearest, os.W_OK | os.X_OK):
            raise PermissionError(f"no permission to write in {nearest}")
        has_config = (workdir / "config.json").exists()
        has_checkpoints = any((workdir / "checkpoints").glob("*"))
    except OSError as error:
        raise _unwritable(workdir, error) from error
    if not has_config and has_checkpoints:
        raise UserError(
            f"--workdir={workdir} has checkpoints but no config.json, which says what they are of: "
            "put it back, or name another folder"
        )
    if not has_config:
        return
    stored = _read_json(workdir / "config.json")
    if different := differences(stored, config):
        raise UserError(
            f"--workdir={workdir} holds a run of another config ({'; '.join(different)}): "
            "name another folder, or give that run's config"
        )


def recorded_corpus(workdir: Path) -> str | None:
    """Identity of the corpus that the run in a folder is of; None where no run is.

    Raises:
      UserError: run.json is damaged.
    """
    if not (workdir / "config.json").exists():
        return None
    path = workdir / "run.json"
    corpus = _read_json(path).get("corpus")
    if not isinstance(corpus, str):
        raise UserError(_damaged(path, "it names no corpus"))
    return corpus


def check_corpus(workdir: Path, corpus: Dataset) -> None:
    """Sees that a folder holds no run on another corpus.

    Raises:
      UserError: it holds one.
    """
    recorded = recorded_corpus(workdir)
    if recorded not in (None, corpus.identity):
        raise UserError(
            f"--workdir={workdir} holds a run on the corpus {recorded}, not {corpus.identity}: "
            "name another folder, or have data_dir and manual_dir lead to that corpus"
        )


@contextmanager
def locked(workdir: Path) -> Iterator[None]:
    """Makes a folder, and keeps other writers out of it for the length of the block.

    The system frees the lock of a process that has died, however it did; the file stays.

    Raises:
      UserError: the folder cannot be written, or another process is writing in it; says which.
    """
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        file = (workdir / "lock").open("a+")
    except OSError as error:
        raise _unwritable(workdir, error) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise UserError(
                f"--workdir={workdir} is in use by {file.read().strip() or 'another process'}: "
                "wait for its end, stop it, or name another folder"
            ) from None
        except OSError as error:  # some file systems of several machines have no locks
            print(f"warning: {workdir} cannot be locked ({error.strerror})", file=sys.stderr)
        try:
            file.truncate(0)
            # Unbuffered: what cannot be written would come up again when the file is closed.
            writer = f"process {os.getpid()} on {platform.node()} since {time.ctime()}\n"
            os.write(file.fileno(), writer.encode())
        except OSError as error:
            raise _unwritable(workdir, error) from error
        yield
        file.truncate(0)


def claim(workdir: Path, config: ConfigDict, corpus: Dataset) -> None:
    """Makes a folder this run's own, if it is not already, and records this start.

    Writes run.json at every start, and then config.json if the folder has none: a folder with a
    config.json has both.

    Raises:
      UserError: the folder cannot be written.
    """
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        write_json(workdir / "run.json", describe(corpus))
        if not (workdir / "config.json").exists():
            write_json(workdir / "config.json", json.loads(config.to_json()))
    except OSError as error:
        raise _unwritable(workdir, error) from error


def read_results(workdir: Path) -> dict[str, Any] | None:
    """What a complete run left in results.json; None where the run is not complete.

    Raises:
      UserError: results.json is damaged.
    """
    path = workdir / "results.json"
    return _read_json(path) if path.exists() else None


def write_results(workdir: Path, results: dict[str, Any]) -> None:
    """Writes results.json, the mark of a complete run."""
    write_json(workdir / "results.json", results)


def write_json(path: Path, value: Any) -> None:
    """Writes a JSON file whole or not at all."""
    write_whole(path, (json.dumps(value, indent=2) + "\n").encode())


def describe(corpus: Dataset) -> dict[str, Any]:
    """What else a result depends on: corpus, code, versions and devices."""
    return {
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "command": sys.argv,
        "corpus": corpus.identity,
        "git_revision": git_revision(),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in PACKAGES},
        "devices": [device.device_kind for device in jax.devices()],
        "processes": jax.process_count(),
        "platform": platform.platform(),
    }


def _unwritable(workdir: Path, error: OSError) -> UserError:
    reason = error.strerror or error
    return UserError(f"--workdir={workdir} cannot be written ({reason}): name another folder")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST_BYTES + 1)
        if len(content) > _LARGEST_BYTES:
            raise ValueError(f"more than {_LARGEST_BYTES:,} bytes")
        value = json.loads(content.decode(), object_pairs_hook=_once_each)
        if not isinstance(value, dict):
            raise ValueError("no JSON object")
    except (ValueError, RecursionError, OSError) as error:
        raise UserError(_damaged(path, str(error))) from error
    return value


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; of a name that it has twice, JSON's reader would drop the first value."""
    value = dict(pairs)
    if len(value) < len(pairs):
        raise ValueError("an object has one name twice")
    return value


def _damaged(path: Path, reason: str) -> str:
    return f"{path} is damaged ({reason}): name another folder, or delete all of {path.parent}"


def git_revision() -> str:
    """The checkout's commit, with "+changes" if it is not clean; "unknown" outside a checkout."""
    folder = Path(__file__).parent

    def git(*words: str) -> str:
        command = ["git", "-C", str(folder), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        changes = "+changes" if git("status", "--porcelain", "--untracked-files=no") else ""
        return git("rev-parse", "HEAD") + changes
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"
