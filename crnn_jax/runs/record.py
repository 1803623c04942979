"""run.json: what else a result depends on besides the config."""

import contextlib
import platform
import subprocess
import sys
import time
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import jax

from crnn_jax import UserError
from crnn_jax.distributed import devices, processes

PACKAGES = ("crnn-jax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint")
PACKAGES += ("tensorflow-datasets", "grain", "numpy")

NUMERICS = (
    "jax_enable_x64",
    "jax_default_prng_impl",
    "jax_threefry_partitionable",
    "jax_default_matmul_precision",
)
"""JAX's settings that change the numbers a run computes without a word."""


def describe(corpus: str, *, deterministic: bool) -> dict[str, Any]:
    """This start of a run: its corpus, code, versions, devices and JAX's settings.

    Args:
      corpus: identity of its data.
      deterministic: the config's `train.deterministic`, which matters on a GPU alone.
    """
    return {
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "command": sys.argv,
        "corpus": corpus,
        "git_revision": git_revision(),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in PACKAGES},
        "numerics": {name: getattr(jax.config, name) for name in NUMERICS},
        "deterministic": deterministic or jax.default_backend() != "gpu",
        "devices": [device.device_kind for device in jax.devices()],
        "processor": processor(),
        "cores": devices.core_count(),
        "processes": processes.count(),
        "platform": platform.platform(),
    }


def check_numerics(record: Mapping[str, Any], workdir: Path) -> None:
    """Check that a run goes on with the settings of JAX that it began with.

    Raises:
      UserError: one of them has another value, or they are damaged.
    """
    numerics = record.get("numerics", {})
    if not isinstance(numerics, dict):
        raise UserError(
            f"{workdir / 'run.json'} is damaged (its numerics are no JSON object): name another "
            f"folder, or delete all of {workdir}"
        )
    for name, value in numerics.items():
        if name in NUMERICS and (present := getattr(jax.config, name)) != value:
            raise UserError(
                f"the run in {workdir} began with {name}={value}, and now it is {present}: set it "
                f"back ({name.upper()} in the environment), or name another folder"
            )


def git_revision() -> str:
    """The commit of this project's own repository, with "+changes" if files differ from it.

    "unknown" where there is none: one that merely surrounds an installed package says nothing.
    """
    project = Path(__file__).parents[2]

    def git(*words: str) -> str:
        command = ["git", "-C", str(project), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        if Path(git("rev-parse", "--show-toplevel")).resolve() != project.resolve():
            return "unknown"
        git("ls-files", "--error-unmatch", "crnn_jax/__init__.py")
        changes = "+changes" if git("status", "--porcelain", "--untracked-files=no") else ""
        return git("rev-parse", "HEAD") + changes
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def processor() -> str:
    """What the CPU is called, as far as the system tells."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"
