"""Tasks about sequences that are composed of labelled images, from whose labels answers follow."""

import abc
import dataclasses
from typing import Any, ClassVar

import numpy as np
from jax import Array

from crnn_jax import UserError
from crnn_jax.data.batch import Batch, Composition
from crnn_jax.data.draw import Draw, Once
from crnn_jax.data.feed import FEEDS, Feed, Plan
from crnn_jax.data.lanes import Lanes
from crnn_jax.data.split import Split
from crnn_jax.model.heads import Answers
from crnn_jax.tasks.task import Answered, Task


@dataclasses.dataclass(frozen=True)
class Composed(Task):
    """A task about drawn images.

    Attributes:
      min_length: images of the shortest sequence.
      max_length: images of the longest sequence.
      every_step: whether the answer after every frame is asked, or only the last.
      once: whether each training image stands in one sequence only (`Once`).
    """

    min_length: int
    max_length: int
    every_step: bool
    once: bool = False

    composition: ClassVar[Composition] = Composition()
    drawn: ClassVar[type[Draw]] = Draw

    @abc.abstractmethod
    def check(self, tested: tuple[int, ...]) -> None:
        """Refuse what cannot be asked.

        Args:
          tested: images of other sequences that are tested, besides those of the task.

        Raises:
          UserError: these images or lengths do not go with the task.
        """

    @abc.abstractmethod
    def targets(self, labels: Array, lanes: Lanes) -> Array:
        """The right answers: TxN int32 after every frame, or BxS int32 symbols.

        Args:
          labels: of the images TxN, or what else the composition gives.
          lanes: where the sequences stand.
        """

    @abc.abstractmethod
    def scores(
        self,
        targets: np.ndarray,
        answers: Answers,
        lanes: Lanes,
        sequences: int,
        baseline: float | None,
    ) -> dict[str, Any]:
        """How good answers are (`scores.py`).

        Args:
          targets: the right answers of M chunks, each in `lanes`.
          answers: the network's.
          lanes: of a chunk.
          sequences: sequences scored; the rest is padding.
          baseline: see `baseline`.
        """

    @abc.abstractmethod
    def answered(
        self, targets: np.ndarray, answers: Answers, lanes: Lanes, sequences: int
    ) -> Answered:
        """The same, one sequence a row."""

    def mean_frames(self, part: Any) -> float:
        del part
        images = (self.min_length + self.max_length) / 2
        return images * self.question.steps / self.max_length

    def feed(self, name: str, part: Any, plan: Plan, seed: int) -> Feed:
        draw = self.draw(seed, len(part.labels_I))
        return FEEDS[name](self.images(part), Once.of(draw) if self.once else draw, plan)

    def batch(self, images: Array, labels: Array, lanes: Lanes, keys_B: Array | None) -> Batch:
        """See `Task`."""
        frames, shown, lanes = self.composition.render(images, labels, lanes, keys_B)
        return Batch(frames, lanes, self.targets(shown, lanes))

    def images(self, part: Split) -> Split:
        """The images to put sequences together from: those of a part, and what else they show."""
        return part

    def draw(self, seed: int, images: int) -> Draw:
        """The task's sequences, drawn with a seed from so many images."""
        return self.drawn(seed, self.min_length, self.max_length, images)

    def baseline(self, labels_I: np.ndarray) -> float | None:
        """The mean right answer, where answers have one.

        Args:
          labels_I: of the training images.
        """
        del labels_I
        return None

    def shown(self, draw: Draw) -> Draw:
        """Which sequences figures show, of those that are drawn."""
        return draw

    def counted(self, draw: Draw) -> Draw:
        """Which sequences confusions are counted of."""
        return draw

    def check_pictures(self, count: int) -> None:
        """Refuse a number of pictures that the network was not trained on.

        Raises:
          UserError: says how many are expected.
        """
        least, most = self.fewest_pictures, self.most_pictures
        if not least <= count <= most:
            expected = f"{least}" if least == most else f"{least} to {most}"
            raise UserError(f"{count} pictures are given: expected {expected} for this network")

    @property
    def fewest_pictures(self) -> int:
        """The fewest pictures that can be answered about."""
        return 1

    @property
    def most_pictures(self) -> int:
        """The most pictures that can be answered about."""
        return self.max_length

    @property
    def reads_glyphs(self) -> bool:
        """Whether a frame is a glyph in MNIST's form, that can be cut out of a picture."""
        return self.dataset.glyphs and self.composition.keeps_images
