"""Reading the checkpoints of a run: which steps there are, which are good, and what they hold."""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, Self

import jax

from crnn_jax import UserError, say
from crnn_jax.config import validation_draw
from crnn_jax.runs import checksums, step, trees

PyTree = Any
Which = Literal["latest", "best"] | int

DAMAGED = ".damaged"  # ends the name of a step that was set aside


class StoredSteps:
    """The steps in a folder, maybe one in which a run is training, which is left as it is.

    A step is checked when it is restored; no other is.
    """

    def __init__(self, folder: str | os.PathLike[str], say: Callable[[str], None] = say) -> None:
        """List the steps of a folder, which may be missing; `say` hears of each damaged step."""
        self._folder = Path(folder).absolute()  # Orbax takes no relative path
        self._say = say
        names = os.listdir(self._folder) if self._folder.is_dir() else []
        self._damaged = sum(DAMAGED in name for name in names)
        found = {n: _score(self._path(n)) for n in sorted(map(int, filter(_is_step, names)))}
        self._drawn = next((drawn for _, drawn in reversed(found.values()) if drawn), None)
        self._scores = {n: x if drawn == self._drawn else None for n, (x, drawn) in found.items()}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Wait for a save in flight; there is none where steps are only read."""

    def _wait(self) -> None:
        pass

    def _path(self, step: int) -> Path:
        return self._folder / str(step)

    @property
    def steps(self) -> list[int]:
        """All steps in rising order, the one being saved included."""
        return sorted(self._scores)

    @property
    def latest_step(self) -> int | None:
        """The newest step, or None."""
        return max(self._scores, default=None)

    @property
    def best_step(self) -> int | None:
        """The step of the lowest score, the newest of equals; None where no step has a score.

        Scores of other sequences than those of the latest step's config cannot be compared with
        its own, and count as none.
        """
        return next(iter(self._by_score()), None)

    def _by_score(self) -> list[int]:
        """The steps that have a score, the best first."""
        scored = [(score, -n) for n, score in self._scores.items() if score is not None]
        return [-n for _, n in sorted(scored)]

    def restore(
        self, which: Which, like: PyTree | None = None, *, part: str | None = None
    ) -> tuple[int, PyTree, dict[str, Any]]:
        """Read one step, after a save in flight.

        Args:
          which: "latest", "best" (lowest score) or a step.
          like: pytree with the shapes and dtypes expected, as `jax.eval_shape` gives it;
            None for nested dicts of whatever was saved.
          part: the one entry of the state to read, such as params; None for all of it.

        Returns:
          The step; the state, bit for bit as it was saved, of `np.ndarray` in the structure of
          `like`; the metadata.

        Raises:
          UserError: no checkpoint there, or not this one, or its state is not like `like`.
          NotSaved: the save in flight has failed.
        """
        self._wait()
        while not self._check(found := self._find(which)):
            self._check_any_good()
        path = self._path(found)
        try:
            state, metadata = step.read_state(path, part), step.read_metadata(path)[1]
        except Exception as error:  # its files are as they were written: the reason is another
            reason = str(error).partition("\n")[0] or type(error).__name__
            raise self._unreadable(path, reason) from error
        if like is None:
            return found, state, metadata
        # Orbax, given `like`, would cast another dtype silently.
        if different := trees.difference(state, like):
            raise UserError(
                f"checkpoint {path} does not fit this model: {different}: use the config it was "
                "trained with"
            )
        leaves = trees.leaves(state)
        ordered = [leaves[name] for name in trees.leaves(like)]
        return found, jax.tree.unflatten(jax.tree.structure(like), ordered), metadata

    def _find(self, which: Which) -> int:
        steps = self.steps
        if not steps:
            raise UserError(f"no checkpoint in {self._folder}: train first, or name another folder")
        found = steps[-1] if which == "latest" else self.best_step if which == "best" else which
        choices = ", ".join(map(str, steps))
        if found is None:
            raise UserError(
                f"no checkpoint in {self._folder} has a score to be the best by: "
                f"ask for latest or for one of the steps {choices}"
            )
        if found not in steps:
            raise UserError(
                f"no checkpoint {which} in {self._folder}: "
                f"ask for latest, best or one of the steps {choices}"
            )
        return found

    def _check(self, step: int) -> bool:
        """Whether a step is good; one that is not is no longer among the steps."""
        path = self._path(step)
        try:
            wrong = checksums.damage(path)
        except OSError as error:
            raise self._unreadable(path, error.strerror or str(error)) from error
        if wrong is None:
            return True
        if not path.exists():
            raise self._unreadable(path, wrong)
        del self._scores[step]
        self._damaged += 1
        done = self._set_aside(path)
        self._say(f"step {step} in {self._folder} is damaged: {wrong}; {done}")
        return False

    def _set_aside(self, path: Path) -> str:
        """What is done with a damaged step, in words."""
        return "it is passed over"

    def _unreadable(self, path: Path, reason: str) -> UserError:
        if not path.exists():
            return UserError(f"{path} was deleted by the run that trains there: try again")
        return UserError(f"{path} cannot be read ({reason})")

    def _check_any_good(self) -> None:
        if self._damaged and not self._scores:
            raise UserError(
                f"no good checkpoint in {self._folder}: all {self._damaged} are damaged; put a "
                "good copy of one there, or train in another folder"
            )


def _is_step(name: str) -> bool:
    """Whether it is the name of a step: 7, but not 007 nor a number in other digits."""
    return name.isdecimal() and name == str(int(name))


def _score(path: Path) -> tuple[float | None, Any]:
    """A step's score, and what it was drawn by; None where damaged, which a check finds later."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        score, metadata = step.read_metadata(path)
        return score if isinstance(score, float) else None, drawn_by(metadata)
    return None, None


def drawn_by(metadata: Any) -> tuple[Any, ...] | None:
    """What says which sequences a step was scored on; None where its metadata has no config."""
    match metadata:
        case {"config": dict(config)}:
            return validation_draw(config)
    return None
