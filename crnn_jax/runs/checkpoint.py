"""Checkpoints of one run: a folder of steps, written while training goes on.

A step holds the state as plain host arrays in nested dicts, which restore on any number of devices
and processes, what else is known of it as JSON, and the checksums of both (`step.py`). It appears
in the folder whole or not at all. Corruption is detected before a step is read: the step is set
aside, and the one before it is the latest.

Orbax's own CheckpointManager is not used: it leaves no place for checksums before a step gets its
name, cannot be opened where one step's metrics are damaged, and takes NaN for the best score.
"""

import contextlib
import errno
import importlib
import json
import math
import os
import shutil
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import traverse_util

from crnn_jax import UserError, say
from crnn_jax.runs import step as step_folder
from crnn_jax.runs import trees
from crnn_jax.runs.steps import DAMAGED, PyTree, StoredSteps, drawn_by

_DRAFT = ".tmp"  # ends the name of what is being written or removed
_ROOM = 1 << 20  # bytes for all that is not an array


class NotSaved(Exception):
    """Raised when a checkpoint cannot be written; existing checkpoints are unaffected."""


class Checkpoints(StoredSteps):
    """The checkpoints in one folder; a context manager, whose end finishes the save in flight.

    One process at a time may write a folder; of several that train together, the main one.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        keep_latest: int,
        keep_best: int,
        say: Callable[[str], None] = say,
    ) -> None:
        """Open the folder, make it if need be, and remove what a killed save left in it.

        Every step is checked; a damaged one is renamed from STEP to STEP.damaged.

        Args:
          folder: a local folder, of this class alone.
          keep_latest: newest steps to keep, 1 or more.
          keep_best: steps of lowest score to keep besides, 0 or more.
          say: hears of each damaged step.

        Raises:
          UserError: it holds steps, none of which is good.
        """
        super().__init__(folder, say)
        self._keep_latest, self._keep_best = keep_latest, keep_best
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint")
        self._in_flight: Future[None] | None = None
        self._folder.mkdir(parents=True, exist_ok=True)
        for leftover in self._folder.glob(f"*{_DRAFT}*"):
            if leftover.is_dir():
                shutil.rmtree(leftover)
        for step in self.steps:
            self._check(step)
        self._check_any_good()

    def _set_aside(self, path: Path) -> str:
        aside, number = path.with_name(f"{path.name}{DAMAGED}"), 1
        while aside.exists():
            number += 1
            aside = path.with_name(f"{path.name}{DAMAGED}-{number}")
        path.rename(aside)
        return f"set aside as {aside.name}"

    def close(self) -> None:
        """Wait for the save in flight; raises `NotSaved` if it has failed."""
        try:
            self._wait()
        finally:
            self._thread.shutdown()

    def get_ready(self) -> None:
        """Import in the background what the first save needs; waits for nothing."""
        self._thread.submit(importlib.import_module, "orbax.checkpoint")

    def check(self) -> None:
        """Raise `NotSaved` if the save in flight has failed already; waits for nothing."""
        if self._in_flight is not None and self._in_flight.done():
            self._wait()

    def _wait(self) -> None:
        in_flight, self._in_flight = self._in_flight, None
        if in_flight is None:
            return
        try:
            in_flight.result()
        except NotSaved:
            self._scores = self._scores_before
            raise

    def save(
        self, step: int, state: PyTree, metadata: Mapping[str, Any], score: float | None
    ) -> None:
        """Copy the state to the host, then write it in the background.

        Blocks for the copy, and for the save before if that is still being written. The caller may
        donate or overwrite the state afterwards.

        Args:
          step: steps trained; above all saved steps.
          state: pytree of `np.ndarray` and of `jax.Array` whole on every device.
          metadata: what JSON can hold; comes back as JSON has it (tuples as lists).
          score: lower is better; None where not evaluated. A NaN or infinite score is kept as
            none, so that it is never the best.

        Raises:
          UserError: the step is not above all saved ones.
          TypeError: metadata that JSON cannot hold, or a leaf that is no array.
          ValueError: a leaf divided among devices.
          NotSaved: the save before has failed.
        """
        if self.latest_step is not None and step <= self.latest_step:
            raise UserError(
                f"step {step} is not after step {self.latest_step}, the latest in {self._folder}: "
                "resume from the latest step, or train in another folder"
            )
        leaves = trees.leaves(state)
        for path, leaf in leaves.items():
            if not isinstance(leaf, np.ndarray | jax.Array):
                raise TypeError(f"leaf {path} is {type(leaf).__name__}, not an array")
            if isinstance(leaf, jax.Array) and not leaf.is_fully_replicated:
                raise ValueError(f"leaf {path} is divided: {leaf.sharding}")
        # Copies: a NumPy array of a CPU device's memory changes with it. In plain dicts: nothing of
        # optax or flax is needed to read them back.
        copies = traverse_util.unflatten_dict({k: np.array(x) for k, x in leaves.items()}, sep="/")
        metadata = json.loads(json.dumps(metadata))
        score = float(score) if score is not None and math.isfinite(score) else None
        self._wait()
        self._scores_before = {**self._scores}
        if (drawn := drawn_by(metadata)) != self._drawn and self.best_step is not None:
            self._say(
                "eval.seed or eval.validation_sequences has changed: the best checkpoint is "
                f"chosen among those from step {step} on"
            )
            self._scores = dict.fromkeys(self._scores)
        self._drawn = drawn
        self._scores[step] = score
        kept = {*self.steps[-self._keep_latest :], *self._by_score()[: self._keep_best]}
        removed = [old for old in self.steps if old not in kept]
        for old in removed:
            del self._scores[old]
        self._in_flight = self._thread.submit(self._write, step, copies, metadata, score, removed)

    def _write(
        self,
        step: int,
        state: PyTree,
        metadata: Mapping[str, Any],
        score: float | None,
        removed: list[int],
    ) -> None:
        """Write one step, then remove those that are no longer to be kept; in the thread."""
        draft = self._folder / f"{step}{_DRAFT}"
        try:
            if not self._folder.is_dir():
                raise FileNotFoundError(errno.ENOENT, "the folder is gone")
            size = sum(leaf.nbytes for leaf in jax.tree.leaves(state)) + _ROOM
            if shutil.disk_usage(self._folder).free < size:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            step_folder.write(draft, state, metadata, score)
            draft.rename(self._path(step))
            for old in removed:
                # Killed while it is removed, it must not look like a damaged step.
                going = self._folder / f"{old}{_DRAFT}"
                with contextlib.suppress(FileNotFoundError):  # someone has removed it already
                    self._path(old).rename(going)
                    shutil.rmtree(going)
        except Exception as error:
            shutil.rmtree(draft, ignore_errors=True)  # it may fill the disk
            reason = error.strerror if isinstance(error, OSError) else str(error).split(": ")[-1]
            raise NotSaved(
                f"step {step} cannot be saved in {self._folder} ({reason}); the checkpoints from "
                "before are kept"
            ) from error
