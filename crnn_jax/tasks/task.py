"""What a task is: all that its callers use."""

import abc
import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
from jax import Array

from crnn_jax import UserError
from crnn_jax.data.batch import Batch, Composition
from crnn_jax.data.dataset import DatasetInfo
from crnn_jax.data.draw import Draw
from crnn_jax.data.lanes import Lanes
from crnn_jax.model.heads import Answers, Output
from crnn_jax.model.question import Question


class Mark(NamedTuple):
    """A few words of an answer, and whether they are wrong."""

    text: str
    wrong: bool


@dataclasses.dataclass(frozen=True)
class Account:
    """What was right about a sequence and what was answered, as people read it.

    Attributes:
      title: the right answer, the network's, and how sure it is.
      wrong: whether the answer is wrong.
      notes: below each frame; may be none.
      symbols: a written answer as people write it, and below each symbol its probability.
    """

    title: str
    wrong: bool
    notes: Sequence[Mark] = ()
    symbols: Sequence[tuple[Mark, str]] = ()


@dataclasses.dataclass(frozen=True)
class Answered:
    """The right answers about B sequences and a network's, one sequence a row.

    Attributes:
      lengths_B: frames of each sequence.
      targets, answers: BxL after every frame, or BxS symbols.
      estimates, confidence: the same of `Answers`; None where there are none.
      wrong_B: whether the whole answer is wrong.
      severity_B: how bad an error is: the probability of the answer, or the error of the estimate.
    """

    lengths_B: np.ndarray
    targets: np.ndarray
    answers: np.ndarray
    estimates: np.ndarray | None
    confidence: np.ndarray | None
    wrong_B: np.ndarray
    severity_B: np.ndarray


@dataclasses.dataclass(frozen=True)
class Task(abc.ABC):
    """What is asked of a sequence, and how an answer is judged and shown.

    Attributes:
      name: the config's `task.name`.
      min_length: images of the shortest sequence.
      max_length: images of the longest sequence.
      every_step: whether the answer after every frame is asked, or only the last.
      dataset: what the images are.
    """

    name: str
    min_length: int
    max_length: int
    every_step: bool
    dataset: DatasetInfo

    composition: ClassVar[Composition] = Composition()

    @property
    @abc.abstractmethod
    def question(self) -> Question:
        """What the network must be able to answer."""

    @abc.abstractmethod
    def check(self, tested: tuple[int, ...]) -> None:
        """Refuse what cannot be asked.

        Args:
          tested: images of other sequences that are tested, besides those of the task.

        Raises:
          UserError: these images or lengths do not go with the task.
        """

    @abc.abstractmethod
    def targets(self, labels: Array, starts_TxN: Array | np.ndarray) -> Array:
        """The right answers: TxN int32 after every frame, or NxS int32 symbols.

        Args:
          labels: of the images TxN, or what else the composition gives.
          starts_TxN: bool, true where a sequence starts.
        """

    @abc.abstractmethod
    def loss(self, output: Output, batch: Batch) -> Array:
        """The mean loss of what is asked, times the number of sequences."""

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

    @abc.abstractmethod
    def explain(self, answered: Answered, names: Sequence[str]) -> dict[str, Any]:
        """The answer about the only sequence of `answered`, as JSON can hold it.

        Args:
          answered: what was answered; its sequence may go on behind the pictures.
          names: of the pictures.

        Returns:
          answer (as people write it); estimate and confidence, where there are such; and steps:
          the same with a name, after each picture or for each symbol.
        """

    @abc.abstractmethod
    def account(self, answered: Answered, i: int) -> Account:
        """The answer about sequence i, as people read it under a picture of it."""

    @abc.abstractmethod
    def confusions(self, answered: Answered) -> tuple[np.ndarray, np.ndarray, Sequence[str]]:
        """What was taken for what: right classes, answered classes, names of the classes."""

    def batch(self, images: Array, labels_TxN: Array, lanes: Lanes, keys_N: Array) -> Batch:
        """The batch of drawn images.

        Args:
          images: uint8 TxNxHxWxC in the lanes; or their encodings, TxNxD.
          labels_TxN: their labels.
          lanes: the layout.
          keys_N: one random key a lane.
        """
        frames, labels = self.composition.render(images, labels_TxN, keys_N)
        lanes = self.composition.lanes(lanes)
        targets = self.targets(labels, lanes.starts_TxN)
        return Batch(frames, lanes, targets)

    def draw(self, seed: int, images: int) -> Draw:
        """The task's sequences, drawn with a seed from so many images."""
        return Draw(seed, self.min_length, self.max_length, images)

    def baseline(self, labels_I: np.ndarray) -> float | None:
        """The mean right answer, where answers have one.

        Args:
          labels_I: of the training images.
        """
        del labels_I
        return None

    def goal(self, report: dict[str, Any]) -> float:
        """What the best checkpoint has least of, from its scores."""
        return report.get("rmse", 1 - report["exact"])

    def shown(self, draw: Draw) -> Draw:
        """Which sequences figures show, of those that are drawn."""
        return draw

    def counted(self, draw: Draw) -> Draw:
        """Which sequences confusions are counted of."""
        return draw

    @property
    def legend(self) -> str:
        """What stands below the frames in figures; begins with a line break."""
        return ""

    confusions_of: ClassVar[str] = "Symbols of {:,} test answers"
    """What `confusions` are of, with a place for the number of sequences."""

    def check_pictures(self, count: int) -> None:
        """Refuse a number of pictures that the network was not trained on.

        Raises:
          UserError: says how many are expected.
        """
        least, most = self.fewest_pictures, self.max_length
        if not least <= count <= most:
            expected = f"{least}" if least == most else f"{least} to {most}"
            raise UserError(f"{count} pictures are given: expected {expected} for this network")

    @property
    def fewest_pictures(self) -> int:
        """The fewest pictures that can be answered about."""
        return 1
