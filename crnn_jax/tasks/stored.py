"""Tasks about stored sequences, whose answers are given: a class, a number, or one a frame."""

import abc
import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
from jax import Array

from crnn_jax.data.batch import Batch
from crnn_jax.data.feed import Feed, Plan
from crnn_jax.data.lanes import Lanes
from crnn_jax.data.sequence_feed import SEQUENCE_FEEDS
from crnn_jax.data.sequences import Sequences
from crnn_jax.model.heads import Answers, Output
from crnn_jax.model.question import Question
from crnn_jax.tasks.scores import class_scores, frame_scores, value_scores
from crnn_jax.tasks.task import Account, Answered, Mark, Task


@dataclasses.dataclass(frozen=True)
class Stored(Task):
    """A task about stored sequences of any lengths.

    Attributes:
      class_weights: whether all classes weigh the same in the loss, however rare they are.
    """

    class_weights: bool

    answer: ClassVar[str]
    """The kind of answer that it is about (`DatasetInfo`)."""

    per_frame: ClassVar[bool] = False
    """Whether there is an answer for each frame."""

    gap: ClassVar[int] = 0
    """Steps that are left empty between two sequences of a lane."""

    @abc.abstractmethod
    def score(self, answered: Answered) -> dict[str, Any]:
        """How good answers are (`scores.py`)."""

    @abc.abstractmethod
    def rows(self, answers: Answers, lanes: Lanes, longest: int) -> Answers:
        """Answers about the sequences in lanes, one a row, as NumPy arrays.

        Args:
          answers: in the lanes.
          lanes: of NumPy arrays.
          longest: frames of the longest sequence of all, which answers for every frame fill.
        """

    @abc.abstractmethod
    def answered(self, right: np.ndarray, answers: Answers, lengths_B: np.ndarray) -> Answered:
        """The right answers, in the form of `encode`, and a network's, one sequence a row."""

    def encode(self, answers: np.ndarray) -> np.ndarray:
        """The right answers of `Sequences` in the form that is trained on."""
        return answers

    def feed(self, name: str, part: Sequences, plan: Plan, seed: int) -> Feed:
        about = {"per_frame": self.per_frame, "gap": self.gap}
        return SEQUENCE_FEEDS[name](part, self.encode(part.answers), plan, seed, **about)

    def mean_frames(self, part: Sequences) -> float:
        return float(part.lengths_B.mean())

    def batch(self, images: Array, labels: Array, lanes: Lanes, keys_B: Array | None) -> Batch:
        """See `Task`; an answer about a whole sequence is that at each of its frames."""
        del keys_B
        targets = labels if self.per_frame else labels[lanes.sequence_TxN]
        return Batch(images, lanes, targets)

    def loss(self, output: Output, batch: Batch) -> Array:
        """See `Task`: of the last frame's answer."""
        return jnp.sum(output.loss(batch.targets) * batch.lanes.ends_TxN)

    def check_frames(self, count: int) -> None:
        """Refuse a sequence that is too long for the network; here none is.

        Raises:
          UserError: says how many frames it may have.
        """


def last(x_TxN: Any, lanes: Lanes) -> np.ndarray:
    """What the lanes have at the last frame of each sequence, Bx1."""
    return np.asarray(x_TxN)[lanes.last_frames][:, None]


@dataclasses.dataclass(frozen=True)
class ClassOfSequence(Stored):
    """The class of a whole sequence."""

    answer: ClassVar[str] = "class"
    confusions_of: ClassVar[str] = "{:,} test sequences"
    asks: ClassVar[str] = "class"

    @property
    def question(self) -> Question:
        info = self.dataset
        return Question("class", info.frame_shape, info.longest, len(info.classes), reads="whole")

    def loss(self, output: Output, batch: Batch) -> Array:
        """See `Task`; a class weighs as much as its share of the training sequences is rare."""
        loss_TxN = output.loss(batch.targets) * batch.lanes.ends_TxN
        if self.class_weights:
            counts_K = np.maximum(self.dataset.counts, 1)
            weights_K = (counts_K.sum() / (len(counts_K) * counts_K)).astype(np.float32)
            loss_TxN = loss_TxN * jnp.asarray(weights_K)[batch.targets]
        return jnp.sum(loss_TxN)

    def rows(self, answers: Answers, lanes: Lanes, longest: int) -> Answers:
        del longest
        return Answers(last(answers.answer, lanes), None, last(answers.confidence, lanes))

    def answered(self, right: np.ndarray, answers: Answers, lengths_B: np.ndarray) -> Answered:
        target, answer, sure = right[:, None], answers.answer, answers.confidence
        wrong_B = (target != answer)[:, 0]
        return Answered(lengths_B, target, answer, None, sure, wrong_B, sure[:, 0])

    def score(self, answered: Answered) -> dict[str, Any]:
        return class_scores(answered, self.dataset.classes)

    def goal(self, report: dict[str, Any]) -> float:
        """See `Task`; where rare classes weigh as much, by how the classes do."""
        return 1 - report["balanced" if self.class_weights else "exact"]

    def explain(self, answered: Answered, names: Sequence[str]) -> dict[str, Any]:
        del names
        sure = float(answered.confidence[0, 0])
        return {"answer": self._name(answered.answers[0, 0]), "confidence": sure, "steps": []}

    def account(self, answered: Answered, i: int) -> Account:
        right, found = (self._name(x[i, 0]) for x in (answered.targets, answered.answers))
        title = f"true {right}, read {found} ({answered.confidence[i, 0]:.0%})"
        return Account(title, bool(answered.wrong_B[i]))

    def confusions(self, answered: Answered) -> tuple[np.ndarray, np.ndarray, Sequence[str]]:
        return answered.targets[:, 0], answered.answers[:, 0], self.dataset.classes

    def _name(self, number: int) -> str:
        return self.dataset.classes[int(number)]


@dataclasses.dataclass(frozen=True)
class NumberOfSequence(Stored):
    """One number, of any kind, about a whole sequence."""

    answer: ClassVar[str] = "number"
    asks: ClassVar[str] = "number"

    @property
    def question(self) -> Question:
        info = self.dataset
        return Question(
            "value",
            info.frame_shape,
            info.longest,
            classes=0,
            reads="whole",
            mean=info.mean,
            deviation=info.deviation,
        )

    def rows(self, answers: Answers, lanes: Lanes, longest: int) -> Answers:
        del longest
        estimate = last(answers.estimate, lanes)
        return Answers(estimate, estimate)

    def answered(self, right: np.ndarray, answers: Answers, lengths_B: np.ndarray) -> Answered:
        """See `Stored`; severe is what is far off."""
        right, found = right[:, None], answers.estimate
        off_B = np.abs(found - right)[:, 0]
        return Answered(lengths_B, right, found, found, None, None, off_B)

    def score(self, answered: Answered) -> dict[str, Any]:
        return value_scores(answered, self.dataset.mean)

    def explain(self, answered: Answered, names: Sequence[str]) -> dict[str, Any]:
        del names
        found = float(answered.estimates[0, 0])
        return {"answer": f"{found:.4g}", "estimate": found, "steps": []}

    def account(self, answered: Answered, i: int) -> Account:
        right, found = answered.targets[i, 0], answered.estimates[i, 0]
        return Account(f"true {right:.4g}, read {found:.4g}", False)

    def confusions(self, answered: Answered) -> None:
        """See `Task`; numbers are not taken for each other."""


@dataclasses.dataclass(frozen=True)
class NumberOfFrame(NumberOfSequence):
    """A number for every frame, such as how much it matters."""

    answer: ClassVar[str] = "numbers"
    per_frame: ClassVar[bool] = True
    asks: ClassVar[str] = "number for each frame"

    @property
    def question(self) -> Question:
        return dataclasses.replace(super().question, reads="each")

    @property
    def legend(self) -> str:
        return "\nbelow each frame: its number, and the right one"

    def loss(self, output: Output, batch: Batch) -> Array:
        """See `Task`: the mean over a sequence's frames."""
        lanes = batch.lanes
        length_TxN = jnp.maximum(jnp.asarray(lanes.length_B)[lanes.sequence_TxN], 1)
        return jnp.sum(output.loss(batch.targets) * lanes.real_TxN / length_TxN)

    def rows(self, answers: Answers, lanes: Lanes, longest: int) -> Answers:
        """See `Stored`; NaN behind a sequence's end."""
        estimate = np.asarray(lanes.rows(np.asarray(answers.estimate), longest))
        there = np.arange(longest)[None] < lanes.length_B[:, None]
        estimate = np.where(there, estimate, np.nan).astype(np.float32)
        return Answers(estimate, estimate)

    def answered(self, right: np.ndarray, answers: Answers, lengths_B: np.ndarray) -> Answered:
        target_BxL = _padded(np.split(right, np.cumsum(lengths_B)[:-1]))
        found_BxL = answers.estimate[:, : target_BxL.shape[1]]
        off_B = np.sqrt(np.nanmean(np.square(found_BxL - target_BxL), axis=1))
        return Answered(lengths_B, target_BxL, found_BxL, found_BxL, None, None, off_B)

    def score(self, answered: Answered) -> dict[str, Any]:
        return frame_scores(answered, self.dataset.mean)

    def explain(self, answered: Answered, names: Sequence[str]) -> dict[str, Any]:
        length = int(answered.lengths_B[0])
        numbers = answered.estimates[0, :length].tolist()
        steps = [
            {"name": name, "answer": f"{number:.4g}", "estimate": number}
            for name, number in zip(names, numbers, strict=True)
        ]
        top = int(np.argmax(numbers))
        return {"answer": f"largest at {names[top]}", "estimate": numbers[top], "steps": steps}

    def account(self, answered: Answered, i: int) -> Account:
        found, right = answered.estimates[i], answered.targets[i]
        pairs = zip(found, right, strict=True)
        notes = [Mark(f"{a:.2g} ({b:.2g})", False) for a, b in pairs]
        title = f"off by {answered.severity_B[i]:.3g} on average"
        return Account(title, False, notes[: answered.lengths_B[i]])


def _padded(rows: Sequence[np.ndarray]) -> np.ndarray:
    """Rows of any lengths as BxL, NaN behind their ends."""
    longest = max(map(len, rows), default=0)
    return np.stack([np.pad(row, (0, longest - len(row)), constant_values=np.nan) for row in rows])
