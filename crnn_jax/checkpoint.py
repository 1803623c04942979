"""Checkpoints of one run: a folder of steps, written by Orbax while the training goes on.

A step holds the state as plain host arrays in nested dicts, which restore on any number of devices
and processes, and a JSON dict of notes. A step appears in the folder whole or not at all.
"""

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import jax
import numpy as np
import orbax.checkpoint as ocp
from flax import traverse_util
from jax.tree_util import keystr
from orbax.checkpoint import checkpoint_managers

from crnn_jax.errors import UserError

PyTree = Any


def _named_leaves(tree: PyTree) -> dict[tuple[str, ...], Any]:
    """Leaves by path; the names are the same for a NamedTuple, a dataclass and a dict."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {tuple(keystr((key,), simple=True) for key in path): leaf for path, leaf in leaves}


def _score(metrics: Mapping[str, float]) -> float:
    return metrics["score"]


class Checkpoints:
    """The checkpoints in one folder; a context manager, whose end finishes the save in flight.

    With several processes, every one of them makes the same calls; the first one writes.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        keep_latest: int,
        keep_best: int,
        read_only: bool = False,
    ) -> None:
        """Opens the folder, makes it if need be, and removes what a killed save left in it.

        Args:
            folder: a local folder, of this class alone.
            keep_latest: newest steps to keep, 1 or more.
            keep_best: steps of lowest score to keep besides, 0 or more.
            read_only: make, remove and save nothing; see `open_to_read`.

        Raises:
            UserError: a number out of its range.
        """
        for name, value, least in (("keep_latest", keep_latest, 1), ("keep_best", keep_best, 0)):
            if value < least:
                raise UserError(f"{name} is {value}: expected {least} or more checkpoints to keep")
        self._folder = Path(folder).absolute()  # Orbax takes no relative path
        self._read_only = read_only
        # Not Orbax's own `read_only`: it warns on every use that the folder is read only.
        options = ocp.CheckpointManagerOptions(
            best_fn=_score,
            best_mode="min",
            preservation_policy=checkpoint_managers.AnyPreservationPolicy(
                [
                    checkpoint_managers.LatestN(keep_latest),
                    # BestN keeps the end of the sorted list, so `reverse` for the lowest.
                    checkpoint_managers.BestN(
                        get_metric_fn=_score,
                        reverse=True,
                        n=keep_best,
                        keep_checkpoints_without_metrics=False,
                    ),
                ]
            ),
            create=not read_only,
            cleanup_tmp_directories=not read_only,
        )
        self._manager = ocp.CheckpointManager(self._folder, options=options)

    @classmethod
    def open_to_read(cls, folder: str | os.PathLike[str]) -> Self:
        """Opens a folder, maybe one in which a run is training, and leaves it as it is."""
        return cls(folder, keep_latest=1, keep_best=0, read_only=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Waits for the save in flight.

        Raises:
            Exception: what made the save in flight fail (OSError where the disk is full).
        """
        self._manager.close()

    @property
    def steps(self) -> list[int]:
        """All steps in rising order, the one being saved included."""
        return list(self._manager.all_steps())

    @property
    def latest_step(self) -> int | None:
        """The newest step, or None."""
        return self._manager.latest_step()

    @property
    def best_step(self) -> int | None:
        """The step of the lowest score, the newest of equals; None where no step has a score."""
        return self._manager.best_step()

    def save(self, step: int, state: PyTree, notes: Mapping[str, Any], score: float | None) -> None:
        """Copies the state to the host, then writes it in the background.

        Blocks for the copy and for the save before, if that is still being written. The caller may
        donate or overwrite the state afterwards.

        Args:
            step: steps trained; above all saved steps.
            state: pytree of `np.ndarray` and of `jax.Array` whole on every device.
            notes: what JSON can hold; comes back as JSON has it (tuples as lists).
            score: lower is better; None where not evaluated. A NaN or infinite score is kept as
                none, so that it is never the best.

        Raises:
            UserError: the step is not above all saved ones.
            TypeError: a note that JSON cannot hold, or a leaf that is no array.
            ValueError: a leaf divided among devices.
            Exception: what made the save before fail.
        """
        if self._read_only:
            raise RuntimeError(f"{self._folder} was opened to read")
        if self.latest_step is not None and step <= self.latest_step:
            # Orbax would return False here and save nothing.
            raise UserError(
                f"step {step} is not after step {self.latest_step}, the latest in {self._folder}: "
                "resume from the latest step, or train in another folder"
            )
        leaves = _named_leaves(state)
        for path, leaf in leaves.items():
            if not isinstance(leaf, np.ndarray | jax.Array):
                raise TypeError(f"leaf {'/'.join(path)} is {type(leaf).__name__}, not an array")
            if isinstance(leaf, jax.Array) and not leaf.is_fully_replicated:
                raise ValueError(f"leaf {'/'.join(path)} is divided: {leaf.sharding}")
        scored = score is not None and math.isfinite(score)
        self._manager.save(
            step,
            args=ocp.args.Composite(
                # Plain dicts on disk: nothing of optax or flax is needed to read them back.
                state=ocp.args.StandardSave(traverse_util.unflatten_dict(jax.device_get(leaves))),
                # The text is made here, so that a later change of the notes is not saved.
                notes=ocp.args.JsonSave(json.loads(json.dumps(notes))),
            ),
            # A NumPy float would fail at the next save.
            metrics={"score": float(score)} if scored else None,
            force=True,
        )

    def restore(
        self, which: Literal["latest", "best"] | int, like: PyTree | None
    ) -> tuple[int, PyTree, dict[str, Any]]:
        """Reads one step; waits for the save in flight first.

        Args:
            which: "latest", "best" (lowest score) or a step.
            like: pytree with the shapes and dtypes expected, as `jax.eval_shape` gives it;
                None for nested dicts of whatever was saved.

        Returns:
            The step; the state, bit for bit as it was saved, of `np.ndarray` in the structure of
            `like`; the notes.

        Raises:
            UserError: no checkpoint there, or not this one, or its state is not like `like`.
        """
        self._manager.wait_until_finished()
        step = self._find(which)
        saved = self._manager.restore(
            step,
            args=ocp.args.Composite(state=ocp.args.StandardRestore(), notes=ocp.args.JsonRestore()),
        )
        if like is None:
            return step, saved.state, saved.notes
        # Orbax, given `like`, would cast another dtype silently.
        leaves = traverse_util.flatten_dict(saved.state)
        expected = _named_leaves(like)
        for path in [*expected, *leaves]:
            found, wanted = _describe(leaves.get(path)), _describe(expected.get(path))
            if found != wanted:
                raise UserError(
                    f"checkpoint {self._folder / str(step)} does not fit this model: "
                    f"{'/'.join(path)} was saved as {found}, expected is {wanted}: "
                    "use the config it was trained with"
                )
        state = jax.tree.unflatten(jax.tree.structure(like), [leaves[path] for path in expected])
        return step, state, saved.notes

    def _find(self, which: str | int) -> int:
        steps = self.steps
        if not steps:
            raise UserError(f"no checkpoint in {self._folder}: train first, or name another folder")
        choices = ", ".join(map(str, steps))
        if which == "best":
            if self.best_step is None:
                raise UserError(
                    f"no checkpoint in {self._folder} has a score to be the best by: "
                    f"ask for latest or for one of the steps {choices}"
                )
            return self.best_step
        step = steps[-1] if which == "latest" else which
        if step not in steps:
            raise UserError(
                f"no checkpoint {which} in {self._folder}: "
                f"ask for latest, best or one of the steps {choices}"
            )
        return step


def _describe(leaf: Any) -> str:
    return "nothing" if leaf is None else f"{np.dtype(leaf.dtype).name}{list(leaf.shape)}"
