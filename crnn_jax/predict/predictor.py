"""Using a trained network on people's own pictures and clips."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from crnn_jax import UserError, tasks
from crnn_jax.data.batch import Batch
from crnn_jax.data.lanes import Lanes, padded_lanes
from crnn_jax.data.packing import pack
from crnn_jax.evaluate.answer import ask
from crnn_jax.model.heads import Answers
from crnn_jax.pictures import Picture, find_pictures, frames_of, is_one_picture
from crnn_jax.pictures.clip import Frames, is_folder_of_frames, read_frames
from crnn_jax.pictures.line import Line, read_line
from crnn_jax.runs.load import Restored
from crnn_jax.tasks.task import Answered

BEST = 5
"""Classes whose probabilities are told, the most likely ones."""

SHORT = 64
"""Lines are filled up to so many strips, or twice, four times, … as many."""


class NamedFrames(NamedTuple):
    """Frames, and names of the pictures that they are of; None counts them."""

    frames: Frames
    names: Sequence[str] | None


class Predictor:
    """A trained network that answers about pictures or clips; threads may share it.

    Forked processes may not: JAX hangs after a fork. Load the network in each worker instead.

    Attributes:
      restored: the network with its parameters and its config.
      stored: whether it was trained on clips with answers, and not on composed sequences.
      per_frame: whether it answers about each frame.
      lines: whether it reads the line in a picture.
    """

    def __init__(self, restored: Restored) -> None:
        """Take a network that `restore` read."""
        self.restored = restored
        self.stored = tasks.is_stored(restored.config)
        task: Any = restored.task
        kind = task.question.kind
        self.lines = kind == "line"
        self.per_frame = task.per_frame if self.stored else kind not in ("symbols", "line")

        def answers(params: Any, batch: Batch) -> tuple[Answers, Any]:
            output = ask(restored.network, params, batch)
            return output.answers(), getattr(output, "probs_TxNxK", None)

        self._ask = jax.jit(answers)

    def __call__(
        self, pictures: Picture | Iterable[Picture], *, split: bool = False
    ) -> dict[str, Any]:
        """Answer about a sequence of pictures, or a clip.

        Args:
          pictures: one or several, in order, as `frames_of` takes them; or one picture of a row of
            glyphs, or of a line. Where clips were trained on: a video, an animation, a folder of
            frames, an array LxHxWxC, or frames in order.
          split: whether it is a row of glyphs.

        Returns:
          See `Task.explain`; and classes, the most likely first, where the answer is one. Of a
          line's symbols, pixels are the columns of the picture that each was read from.

        Raises:
          UserError: a picture cannot be used, or there are not as many as the network takes.
        """
        return self.explain(pictures, split=split, names=None)

    def explain(
        self,
        pictures: Picture | Iterable[Picture],
        *,
        split: bool,
        names: Sequence[str] | None,
    ) -> dict[str, Any]:
        """The same, with names for the pictures; None counts them."""
        return self.answer(self.read(pictures, split=split), names)

    def read(self, pictures: Picture | Iterable[Picture], *, split: bool = False) -> Frames:
        """The frames that the network sees of this; see `__call__`."""
        info = self.restored.dataset
        task: Any = self.restored.task
        if self.lines and split:
            raise UserError(
                "split is for networks that take one glyph a frame: this one reads a line whole, "
                "leave split out"
            )
        if self.lines:
            line = read_line(pictures, task.question.frame_shape, glyphs=info.glyphs)
            numbers = 1 + np.arange(len(line.strips_LxHxWxC))
            return Frames(line.strips_LxHxWxC, numbers, cut=False, line=line)
        form = info.form
        if form is None or (not self.stored and not task.composition.keeps_images):
            shape, glyphs = task.question.frame_shape, task.reads_glyphs
            kind = {"shape": shape, "glyphs": glyphs, "split": split}
            frames = frames_of(pictures, **kind, blank=self._parted)
        elif split:
            raise UserError("split needs a network that reads glyphs: give one picture a frame")
        elif self.stored:
            return read_frames(pictures, form)
        else:
            several: Any = [pictures] if is_one_picture(pictures) else pictures
            each = [read_frames(picture, form).frames_LxHxWxC for picture in several]
            frames = np.concatenate([np.zeros((0, *info.frame_shape), np.uint8), *each])
        return Frames(frames, 1 + np.arange(len(frames)), cut=False)

    def read_files(self, paths: Sequence[str | os.PathLike[str]], *, split: bool) -> NamedFrames:
        """The frames of files, and what their answers call them; see `__call__`."""
        clip = self.stored and not self.lines
        pictures = [*paths] if clip else find_pictures(paths)
        frames = self.read(pictures, split=split)
        named = not split and not self.stored
        return NamedFrames(frames, [Path(x).name for x in pictures] if named else None)

    def reads_folder(self, folder: Path) -> bool:
        """Whether a folder is a clip for the network: of frames, where it reads more than one.

        Raises:
          UserError: the folder cannot be listed.
        """
        return not self.lines and self.restored.dataset.longest > 1 and is_folder_of_frames(folder)

    def answer(self, frames: Frames, names: Sequence[str] | None = None) -> dict[str, Any]:
        """Answer about frames; see `explain`."""
        task: Any = self.restored.task
        count = len(frames.frames_LxHxWxC)
        steps = self._steps(count)
        frames_TxHxWxC = np.zeros((steps, *frames.frames_LxHxWxC.shape[1:]), np.uint8)
        frames_TxHxWxC[:count] = frames.frames_LxHxWxC
        lanes = self._lanes(steps, count)
        batch = Batch(frames_TxHxWxC[:, None], lanes, None)
        answers, probs_TxNxK = jax.device_get(self._ask(self.restored.params, batch))
        if names is None or len(names) != count:  # a file may have several pages
            word = "frame" if self.stored else "picture"
            names = [f"{word} {i}" for i in frames.numbers_L]
        found = task.explain(self._answered(answers, lanes, count), names)
        if task.question.kind == "class":
            found["classes"] = _best(probs_TxNxK[count - 1, 0], self.restored.dataset.classes)
        if frames.line is not None:
            for step in found["steps"]:
                step["pixels"] = frames.line.columns(step["pixels"])
        return found

    def warm_up(self) -> None:
        """Compile what answers about sequences as long as training's, and short lines, need."""
        task: Any = self.restored.task
        if self.lines:
            counts = (SHORT, 2 * SHORT)
        else:
            counts = (self.restored.dataset.longest if self.stored else task.most_pictures,)
        for count in counts:
            frames = np.zeros((count, *task.question.frame_shape), np.uint8)
            line = Line(frames, 0.0, 1.0, 1) if self.lines else None
            self.answer(Frames(frames, 1 + np.arange(count), cut=False, line=line))

    @property
    def _parted(self) -> bool:
        """Whether a blank frame parts the numbers in a sequence."""
        addends = self.restored.task.question.addends
        return addends is not None and addends.parted

    def _steps(self, count: int) -> int:
        """How many so many frames are filled up to, so that hardly anything is compiled twice.

        What follows a sequence changes no answer.

        Raises:
          UserError: the network does not take so many.
        """
        if self.lines:
            return max(SHORT, 1 << (count - 1).bit_length())
        task: Any = self.restored.task
        (self._check_frames if self.stored else task.check_pictures)(count)
        longest = self.restored.dataset.longest if self.stored else task.most_pictures
        return -(-count // longest) * longest

    def _check_frames(self, count: int) -> None:
        if count > 1 and self.restored.dataset.longest == 1:
            raise UserError(
                f"{count:,} pictures are given: expected 1, as in training; for an answer about "
                "each add --each (in Python, call it with each)"
            )
        task: Any = self.restored.task
        task.check_frames(count)

    def _lanes(self, steps: int, count: int) -> Lanes:
        """One lane; of most composed sequences of images it does not matter where they end."""
        if not self.stored and not self.lines and not self._parted:
            return padded_lanes(np.array([steps]))
        return pack(np.array([steps]), 1).lanes(0, np.array([count], np.int32))

    def _answered(self, answers: Answers, lanes: Lanes, count: int) -> Answered:
        """What is answered about the only sequence; what is right is not known, and not told."""
        task: Any = self.restored.task
        if not self.stored:
            answers = jax.tree.map(lambda x: x[None], answers)  # a chunk of its own
            return task.answered(answers.answer, answers, lanes, 1)
        rows = task.rows(answers, lanes, count)
        right = rows.answer if task.question.kind in ("symbols", "line") else rows.answer[0]
        return task.answered(right, rows, np.array([count]))


def _best(probs_K: np.ndarray, classes: Sequence[str]) -> list[dict[str, Any]]:
    order = np.argsort(-probs_K, kind="stable")[:BEST]
    return [{"class": classes[k], "probability": float(probs_K[k])} for k in order]
