"""A run's folder: whose run is in it, and what it leaves there besides checkpoints and metrics."""

import json
import platform
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
from ml_collections import ConfigDict

from crnn_jax.config import differences
from crnn_jax.data.corpora import Corpus
from crnn_jax.errors import UserError

PACKAGES = (
    "crnn-jax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "tensorflow-datasets", "grain", "numpy"
)  # fmt: skip


def claim(workdir: Path, config: ConfigDict, corpus: Corpus) -> None:
    """Makes the folder this run's own, or sees that it is already.

    Writes config.json when the folder is new, and run.json at every start.

    Raises:
      UserError: the folder cannot be written, or holds a run of another config or corpus.
    """
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        if (workdir / "config.json").exists():
            _check_same_run(workdir, config, corpus)
        else:
            write_json(workdir / "config.json", json.loads(config.to_json()))
        write_json(workdir / "run.json", describe(corpus))
    except OSError as error:
        raise UserError(
            f"--workdir={workdir} cannot be written ({error.strerror}): name another folder"
        ) from error


def read_config(workdir: Path) -> ConfigDict:
    """The config of the run in a folder.

    Raises:
      UserError: no run is there, or its config.json is damaged.
    """
    return ConfigDict(_read_json(workdir / "config.json"))


def read_results(workdir: Path) -> dict[str, Any] | None:
    """What a complete run left in results.json; None where the run is not complete."""
    path = workdir / "results.json"
    return _read_json(path) if path.exists() else None


def write_results(workdir: Path, results: dict[str, Any]) -> None:
    """Writes results.json: the mark of a complete run."""
    write_json(workdir / "results.json", results)


def write_json(path: Path, value: Any) -> None:
    """Writes a JSON file whole or not at all."""
    draft = path.with_name(path.name + ".tmp")
    draft.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
    draft.replace(path)


def describe(corpus: Corpus) -> dict[str, Any]:
    """What else a result depends on: corpus, code, versions and devices."""
    return {
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "command": sys.argv,
        "corpus": corpus.identity,
        "git_revision": _git_revision(),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in PACKAGES},
        "devices": [device.device_kind for device in jax.devices()],
        "processes": jax.process_count(),
        "platform": platform.platform(),
    }


def _check_same_run(workdir: Path, config: ConfigDict, corpus: Corpus) -> None:
    different = differences(read_config(workdir), config)
    if different:
        raise UserError(
            f"--workdir={workdir} holds a run of another config ({'; '.join(different)}): "
            "name another folder, or give that run's config"
        )
    found = _read_json(workdir / "run.json")["corpus"]
    if found != corpus.identity:
        raise UserError(
            f"--workdir={workdir} holds a run on the corpus {found}, not {corpus.identity}: "
            "name another folder, or give that corpus (--config.data.manual_dir)"
        )


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(
            f"no run in {path.parent}: {path.name} is missing; expected the --workdir of a run"
        ) from None
    except (ValueError, OSError) as error:
        raise UserError(f"{path} cannot be read ({error}): name the folder of another run") from None


def _git_revision() -> str:
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
