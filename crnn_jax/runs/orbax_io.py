"""One checkpoint's files, in Orbax's form: a state in nested dicts, and a dict of notes.

Orbax takes a fifth of a second to import: `checkpoint.py` does so when there is something to read
or write.
"""

from pathlib import Path
from typing import Any

import orbax.checkpoint as ocp

from crnn_jax.distributed import processes


def write(folder: Path, state: dict[str, Any], notes: dict[str, Any]) -> None:
    """Writes a new folder.

    Args:
      folder: where; absolute.
      state: nested dicts of NumPy arrays.
      notes: what JSON can hold.
    """
    with _orbax_alone() as orbax:
        items = {"state": ocp.args.StandardSave(state), "notes": ocp.args.JsonSave(notes)}
        orbax.save(folder, args=ocp.args.Composite(**items))


def read(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The state, bit for bit as it was written, and the notes.

    Raises:
      Exception: of any kind, where Orbax cannot read the folder.
    """
    with _orbax_alone() as orbax:
        items = {"state": ocp.args.StandardRestore(), "notes": ocp.args.JsonRestore()}
        found = orbax.restore(folder, args=ocp.args.Composite(**items))
    return found.state, found.notes


def read_notes(folder: Path) -> dict[str, Any]:
    """The notes alone; errors are those of `read`."""
    with _orbax_alone() as orbax:
        items = ocp.args.Composite(notes=ocp.args.JsonRestore())
        return orbax.restore(folder, args=items).notes


def _orbax_alone() -> ocp.Checkpointer:
    """Orbax for one of several processes: every part of it would wait for the others."""
    alone = ocp.options.MultiprocessingOptions(
        primary_host=processes.index(), active_processes={processes.index()}
    )
    handler = ocp.CompositeCheckpointHandler(
        composite_options=ocp.CompositeOptions(multiprocessing_options=alone),
        state=ocp.StandardCheckpointHandler(multiprocessing_options=alone),
        notes=ocp.JsonCheckpointHandler(multiprocessing_options=alone),
    )
    return ocp.Checkpointer(handler, multiprocessing_options=alone)
