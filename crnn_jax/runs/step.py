"""The folder of one saved step: its state in Orbax's form, its metadata, and their checksums.

Orbax takes a fifth of a second to import, so that it is imported where it is used.
"""

import contextlib
import json
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from crnn_jax.distributed import processes
from crnn_jax.runs import checksums

_hook = threading.Lock()


def write(folder: Path, state: Any, metadata: Mapping[str, Any], score: float | None) -> None:
    """Write a step, whose state is nested dicts of NumPy arrays, into a new folder.

    Raises:
      Exception: of any kind, where Orbax or the system cannot write it.
    """
    folder.mkdir()
    stored = json.dumps({"score": score, "metadata": metadata}, indent=2)
    (folder / "metadata.json").write_text(stored + "\n")
    ocp, handler, alone = _orbax()
    with _silent_threads(), ocp.Checkpointer(handler, **alone) as checkpointer:
        checkpointer.save(folder / "state", args=ocp.args.PyTreeSave(state))
    checksums.write(folder)


def read_state(folder: Path, part: str | None) -> dict[str, Any]:
    """Read a step's state, or the one entry `part` of it, bit for bit as it was written.

    Raises:
      ValueError: there is no such part.
      Exception: of any kind, where Orbax cannot read the folder.
    """
    ocp, handler, _ = _orbax()
    tree = handler.metadata(folder / "state").tree
    if part is not None and part not in tree:
        raise ValueError(f"it holds no {part}")
    wanted = tree if part is None else {part: tree[part]}
    as_numpy = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), wanted)
    args = ocp.args.PyTreeRestore(item=wanted, restore_args=as_numpy, partial_restore=True)
    return handler.restore(folder / "state", args=args)


def read_metadata(folder: Path) -> tuple[float | None, dict[str, Any]]:
    """Read a step's score and metadata.

    Raises:
      OSError, ValueError, KeyError, TypeError: the file is not as it was written.
    """
    path, name = folder / "metadata.json", "metadata"
    if not path.exists():  # revision 63bc817
        path, name = folder / "notes" / "metadata", "notes"
    stored = json.loads(path.read_text())
    return stored["score"], stored[name]


def _orbax() -> tuple[Any, Any, dict[str, Any]]:
    """Orbax, and its settings for one process alone: every part would wait for the others."""
    import orbax.checkpoint as ocp

    me = processes.index()
    options = ocp.options.MultiprocessingOptions(primary_host=me, active_processes={me})
    alone: dict[str, Any] = {"multiprocessing_options": options}
    return ocp, ocp.PyTreeCheckpointHandler(**alone), alone


@contextlib.contextmanager
def _silent_threads() -> Iterator[None]:
    """Keep Orbax's threads from printing the errors that Orbax raises again where it is called."""
    with _hook:  # of two at once, one would put back the other's hook
        before = threading.excepthook

        def hook(failure: threading.ExceptHookArgs) -> None:
            if not type(failure.thread).__module__.startswith("orbax"):
                before(failure)

        threading.excepthook = hook
        try:
            yield
        finally:
            threading.excepthook = before
