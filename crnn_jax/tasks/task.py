"""What a task is: all that its callers use, whatever the sequences are."""

import abc
import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
from jax import Array
from ml_collections import ConfigDict

from crnn_jax.data.augment import augment
from crnn_jax.data.batch import Batch, Drawn
from crnn_jax.data.dataset import DatasetInfo
from crnn_jax.data.feed import Feed, Plan
from crnn_jax.data.lanes import Lanes
from crnn_jax.model.heads import Output
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
      wrong_B: whether the whole answer is wrong; None where answers are only nearer or further off.
      severity_B: how bad an error is: the probability of the answer, or the error of the estimate.
      steps: the same of `Answers`; None where there are none.
    """

    lengths_B: np.ndarray
    targets: np.ndarray
    answers: np.ndarray
    estimates: Any
    confidence: Any
    wrong_B: Any
    severity_B: np.ndarray
    steps: Any = None


def augmented(drawn: Drawn, settings: ConfigDict) -> Array:
    """The images in lanes that a feed gives, each changed at random (`augment`)."""
    shape = drawn.images_TxNxHxWxC.shape
    images = drawn.images_TxNxHxWxC.reshape(-1, *shape[2:])
    return augment(images, drawn.augmentation_keys_TxN.reshape(-1), settings).reshape(shape)


@dataclasses.dataclass(frozen=True)
class Task(abc.ABC):
    """What is asked of a sequence, and how an answer is judged and shown.

    Attributes:
      name: the config's `task.name`.
      dataset: what the images or sequences are.
    """

    name: str
    dataset: DatasetInfo

    @property
    @abc.abstractmethod
    def question(self) -> Question:
        """What the network must be able to answer."""

    @abc.abstractmethod
    def feed(self, name: str, part: Any, plan: Plan, seed: int) -> Feed:
        """What brings the training sequences to the device.

        Args:
          name: a config's `data.feed`.
          part: of the data set, to train on.
          plan: how a batch is divided.
          seed: of the order.
        """

    @abc.abstractmethod
    def mean_frames(self, part: Any) -> float:
        """Frames of a training sequence, on average."""

    @abc.abstractmethod
    def batch(self, images: Array, labels: Array, lanes: Lanes, keys_B: Array | None) -> Batch:
        """The batch of the images that a feed gives.

        Args:
          images: uint8 TxNxHxWxC in the lanes; or their encodings, TxNxD.
          labels: what is known of them.
          lanes: the layout.
          keys_B: one random key a sequence, where images are composed to scenes.
        """

    def training_batch(self, drawn: Drawn, settings: ConfigDict) -> Batch:
        """The batch to train on: the same, with each image changed at random.

        Args:
          drawn: what a feed gives.
          settings: the config's `data.augment`.
        """
        images = augmented(drawn, settings)
        return self.batch(images, drawn.labels, drawn.lanes, drawn.scene_keys_B)

    @abc.abstractmethod
    def loss(self, output: Output, batch: Batch) -> Array:
        """The mean loss of what is asked, times the number of sequences."""

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
    def confusions(self, answered: Answered) -> tuple[np.ndarray, np.ndarray, Sequence[str]] | None:
        """What was taken for what: right classes, answered classes, names of the classes.

        None where answers are no classes.
        """

    def goal(self, report: dict[str, Any]) -> float:
        """What the best checkpoint has least of, from its scores."""
        return report["rmse"] if "rmse" in report else 1 - report["exact"]

    @property
    def legend(self) -> str:
        """What stands below the frames in figures; begins with a line break."""
        return ""

    confusions_of: ClassVar[str] = "Symbols of {:,} test answers"
    """What `confusions` are of, with a place for the number of sequences."""

    asks: ClassVar[str] = "answer"
    """What an answer is, in a word or two."""
