"""Checkpoints of one run: a folder of steps, written while the training goes on.

A step holds the state as plain host arrays in nested dicts, which restore on any number of devices
and processes, and a JSON dict of notes, both in Orbax's form, with the checksums of all files
beside them. A step appears in the folder whole or not at all. One that was damaged since is found
when the folder is opened: it is set aside, and the step before it is the latest.
"""

import contextlib
import errno
import importlib
import json
import math
import os
import shutil
import sys
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import jax
import numpy as np
from flax import traverse_util
from jax.tree_util import keystr

from crnn_jax.runs import checksums
from crnn_jax import UserError

PyTree = Any

_DRAFT = ".tmp"  # ends the name of what is being written or removed
_DAMAGED = ".damaged"
_ROOM = 1 << 20  # bytes for all that is not an array


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


class NotSaved(Exception):
    """A checkpoint cannot be written; says why. Those that exist are as they were."""


class Checkpoints:
    """The checkpoints in one folder; a context manager, whose end finishes the save in flight.

    One process at a time may write a folder; of several that train together, the main one.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        keep_latest: int,
        keep_best: int,
        read_only: bool = False,
        say: Callable[[str], None] = _say,
    ) -> None:
        """Opens the folder, makes it if need be, and removes what a killed save left in it.

        A damaged step is renamed from STEP to STEP.damaged.

        Args:
            folder: a local folder, of this class alone.
            keep_latest: newest steps to keep, 1 or more.
            keep_best: steps of lowest score to keep besides, 0 or more.
            read_only: make, remove, rename and save nothing; see `open_to_read`.
            say: is called with a line about each damaged step; prints it on stderr if not given.

        Raises:
            UserError: a number out of its range, or steps of which none is good.
        """
        for name, value, least in (("keep_latest", keep_latest, 1), ("keep_best", keep_best, 0)):
            if value < least:
                raise UserError(f"{name} is {value}: expected {least} or more checkpoints to keep")
        self._folder = Path(folder).absolute()  # Orbax takes no relative path
        self._keep_latest, self._keep_best = keep_latest, keep_best
        self._read_only = read_only
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint")
        self._in_flight: Future[None] | None = None
        if not read_only:
            threading.excepthook = _pass_over_orbax
            self._folder.mkdir(parents=True, exist_ok=True)
            for leftover in self._folder.glob(f"*{_DRAFT}*"):
                if leftover.is_dir():
                    shutil.rmtree(leftover)
        self._scores = self._read_scores(say)

    @classmethod
    def open_to_read(
        cls, folder: str | os.PathLike[str], say: Callable[[str], None] = _say
    ) -> Self:
        """Opens a folder, maybe one in which a run is training, and leaves it as it is.

        Raises:
            UserError: it holds steps, none of which is good.
        """
        return cls(folder, keep_latest=1, keep_best=0, read_only=True, say=say)

    def _read_scores(self, say: Callable[[str], None]) -> dict[int, float | None]:
        """The score of every good step, in rising order; sets the damaged ones aside."""
        names = os.listdir(self._folder) if self._folder.is_dir() else []
        scores = {}
        for step in sorted(int(name) for name in names if _is_step(name)):
            path = self._folder / str(step)
            wrong = checksums.damage(path)
            if wrong is None:
                scores[step] = self._read(step, notes_alone=True)["score"]
            elif not path.exists():
                continue  # the run that trains here has just removed it
            elif self._read_only:
                say(f"step {step} in {self._folder} is damaged: {wrong}; it is passed over")
            else:
                aside = self._aside(step)
                path.rename(aside)
                say(f"step {step} in {self._folder} is damaged: {wrong}; set aside as {aside.name}")
        damaged = [name for name in names if _DAMAGED in name or _is_step(name)]
        if damaged and not scores:
            raise UserError(
                f"no good checkpoint in {self._folder}: all {len(damaged)} are damaged; put a good "
                "copy of one there, or train in another folder"
            )
        return scores

    def _aside(self, step: int) -> Path:
        aside = self._folder / f"{step}{_DAMAGED}"
        number = 2
        while aside.exists():
            aside = self._folder / f"{step}{_DAMAGED}-{number}"
            number += 1
        return aside

    def _read(self, step: int, *, notes_alone: bool = False) -> Any:
        """What `orbax_io` reads of a step."""
        from crnn_jax.runs import orbax_io  # not for a run that begins

        path = self._folder / str(step)
        try:
            return orbax_io.read_notes(path) if notes_alone else orbax_io.read(path)
        except Exception as error:
            if not path.exists():
                raise UserError(
                    f"{path} is gone: the run that trains there keeps others by now; ask again"
                ) from error
            # Its files are as they were written, but not by this program.
            reason = str(error).partition("\n")[0]
            raise UserError(f"{path} is no checkpoint of this program ({reason})") from error

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
            NotSaved: it has failed.
        """
        try:
            self._wait()
        finally:
            self._thread.shutdown()

    def get_ready(self) -> None:
        """Imports in the background what the first save needs; waits for nothing."""
        self._thread.submit(importlib.import_module, "crnn_jax.orbax_io")

    def check(self) -> None:
        """Waits for nothing.

        Raises:
            NotSaved: the save in flight has failed already.
        """
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

    @property
    def steps(self) -> list[int]:
        """All good steps in rising order, the one being saved included."""
        return sorted(self._scores)

    @property
    def latest_step(self) -> int | None:
        """The newest step, or None."""
        return max(self._scores, default=None)

    @property
    def best_step(self) -> int | None:
        """The step of the lowest score, the newest of equals; None where no step has a score."""
        return next(iter(self._by_score()), None)

    def _by_score(self) -> list[int]:
        """The steps that have a score, the best first."""
        scored = [step for step, score in self._scores.items() if score is not None]
        return sorted(scored, key=lambda step: (self._scores[step], -step))

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
            NotSaved: the save before has failed.
        """
        if self._read_only:
            raise RuntimeError(f"{self._folder} was opened to read")
        if self.latest_step is not None and step <= self.latest_step:
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
        score = float(score) if scored else None
        # Plain dicts on disk: nothing of optax or flax is needed to read them back. Copies: a NumPy
        # array of a CPU device's memory changes with it, and the notes may change too.
        copied = traverse_util.unflatten_dict({path: np.array(x) for path, x in leaves.items()})
        noted = {"score": score, "notes": json.loads(json.dumps(notes))}
        self._wait()
        self._scores_before = {**self._scores}
        self._scores[step] = score
        kept = {*self.steps[-self._keep_latest :], *self._by_score()[: self._keep_best]}
        removed = [step for step in self.steps if step not in kept]
        for old in removed:
            del self._scores[old]
        size = sum(leaf.nbytes for leaf in leaves.values()) + _ROOM
        self._in_flight = self._thread.submit(self._write, step, copied, noted, size, removed)

    def _write(
        self, step: int, state: PyTree, notes: dict[str, Any], size: int, removed: list[int]
    ) -> None:
        """Writes one step, then removes those that are no longer to be kept; in the thread."""
        draft = self._folder / f"{step}{_DRAFT}"
        try:
            from crnn_jax.runs import orbax_io  # see `get_ready`

            if not self._folder.is_dir():
                raise FileNotFoundError(errno.ENOENT, "the folder is gone")
            # Orbax would print the errors of all its threads.
            if shutil.disk_usage(self._folder).free < size:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            orbax_io.write(draft, state, notes)
            checksums.write(draft)
            draft.rename(self._folder / str(step))
            for old in removed:
                # Killed while it is removed, it must not look like a damaged step.
                going = self._folder / f"{old}{_DRAFT}"
                with contextlib.suppress(FileNotFoundError):  # someone has removed it already
                    (self._folder / str(old)).rename(going)
                    shutil.rmtree(going)
        except Exception as error:
            for leftover in self._folder.glob(f"{step}{_DRAFT}*"):  # may fill the disk
                shutil.rmtree(leftover, ignore_errors=True)
            reason = error.strerror if isinstance(error, OSError) else str(error).split(": ")[-1]
            raise NotSaved(
                f"step {step} cannot be saved in {self._folder} ({reason}); the checkpoints from "
                "before are kept"
            ) from error

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
            NotSaved: the save in flight has failed.
        """
        self._wait()
        step = self._find(which)
        state, noted = self._read(step)
        notes = noted["notes"]
        if like is None:
            return step, state, notes
        # Orbax, given `like`, would cast another dtype silently.
        leaves = traverse_util.flatten_dict(state)
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
        return step, state, notes

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


def _pass_over_orbax(failure: threading.ExceptHookArgs) -> None:
    """Prints a thread's error, but for Orbax's threads, whose errors Orbax raises again."""
    if not type(failure.thread).__module__.startswith("orbax"):
        threading.__excepthook__(failure)


def _is_step(name: str) -> bool:
    """Whether it is the name of a step: 7, but not 007 nor a number in other digits."""
    return name.isdecimal() and name == str(int(name))


def _describe(leaf: Any) -> str:
    return "nothing" if leaf is None else f"{np.dtype(leaf.dtype).name}{list(leaf.shape)}"


def _named_leaves(tree: PyTree) -> dict[tuple[str, ...], Any]:
    """Leaves by path; the names are the same for a NamedTuple, a dataclass and a dict."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {tuple(keystr((key,), simple=True) for key in path): leaf for path, leaf in leaves}
