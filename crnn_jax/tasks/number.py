"""Numbers that every frame changes: the sum so far, the product so far, the class of this frame."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
from jax import Array

from crnn_jax import UserError
from crnn_jax.data.batch import Batch
from crnn_jax.data.draw import Draw, EachImage
from crnn_jax.data.lanes import Lanes
from crnn_jax.model.heads import Answers, Output
from crnn_jax.model.question import Question, Recurrence
from crnn_jax.model.recurrent import unrolled
from crnn_jax.tasks.composed import Composed
from crnn_jax.tasks.scores import number_scores
from crnn_jax.tasks.task import Account, Answered, Mark


def _add(number: Array, label: Array) -> Array:
    return number + label


def _multiply(number: Array, label: Array) -> Array:
    return number * label


def _replace(number: Array, label: Array) -> Array:
    return label + 0 * number


def _is_number(name: str) -> bool:
    try:
        return math.isfinite(float(name))
    except ValueError:
        return False


SUM = Recurrence(0, _add)
PRODUCT = Recurrence(1, _multiply)
LAST = Recurrence(0, _replace)


@dataclasses.dataclass(frozen=True)
class Number(Composed):
    """A whole number after every frame.

    Attributes:
      recurrence: how a frame's class changes it.
    """

    recurrence: Recurrence = SUM

    confusions_of: ClassVar[str] = "Each of {:,} test images read alone"

    @property
    def question(self) -> Question:
        return Question(
            "number",
            self.composition.frame_shape(self.dataset.frame_shape),
            self.max_length,
            len(self.dataset.classes),
            self.recurrence,
        )

    def check(self, tested: tuple[int, ...]) -> None:
        """See `Composed`: classes that are numbers are those; a number must fit into 32 bits.

        Those of longer sequences, which are tested alone, must be numbers of float32.
        """
        names = self.dataset.classes
        numbers = tuple(str(number) for number in range(len(names)))
        if names != numbers and any(map(_is_number, names)):
            raise UserError(
                f"{self.dataset.name} has the classes {', '.join(names)}: expected "
                f"{', '.join(numbers)}, or names that are no numbers, which count so in their order"
            )
        if (most := self._longest(self.max_length)) < self.max_length:
            raise UserError(
                f"--config.task.max_length={self.max_length}: a {self.name} over so many frames "
                f"can exceed 32 bits, expected {most} or fewer"
            )
        longest = max(tested, default=1)
        if (most := self._longest(longest, most=float(np.finfo(np.float32).max))) < longest:
            raise UserError(
                f"--config.eval.lengths={tested}: a {self.name} over {longest} frames can exceed "
                f"a float of 32 bits, expected {most} or fewer"
            )

    def targets(self, labels: Array, lanes: Lanes) -> Array:
        """See `Composed`; float32 where numbers do not fit into int32."""
        fits = self._longest(self.max_length) == self.max_length
        labels = labels if fits else labels.astype(jnp.float32)
        return self.recurrence.after_each(labels, lanes.starts_TxN, unrolled())

    def _longest(self, length: int, **most: float) -> int:
        """The most frames, up to `length`, that lead to no larger number; see `Recurrence`."""
        return self.recurrence.longest(len(self.dataset.classes), length, **most)

    def loss(self, output: Output, batch: Batch) -> Array:
        lanes = batch.lanes
        asked_TxN = lanes.real_TxN if self.every_step else lanes.ends_TxN
        share = lanes.ends_TxN.sum() / asked_TxN.sum()  # sequences to an answer
        return jnp.sum(output.loss(batch.targets) * asked_TxN) * share

    def scores(
        self,
        targets: np.ndarray,
        answers: Answers,
        lanes: Lanes,
        sequences: int,
        baseline: float | None,
    ) -> dict[str, Any]:
        """See `number_scores`."""
        return number_scores(targets, answers, lanes, sequences, baseline)

    def baseline(self, labels_I: np.ndarray) -> float | None:
        return self.recurrence.mean(labels_I, np.arange(self.min_length, self.max_length + 1))

    def answered(
        self, targets: np.ndarray, answers: Answers, lanes: Lanes, sequences: int
    ) -> Answered:
        """See `Task`; what is behind a sequence's end repeats its last frame."""
        lengths_B = np.bincount(lanes.sequence_TxN[lanes.real_TxN])
        starts_2xB = np.argwhere(lanes.starts_TxN)[
            np.argsort(lanes.sequence_TxN[lanes.starts_TxN])
        ].T
        frame_BxL = np.minimum(np.arange(lengths_B.max())[None], lengths_B[:, None] - 1)
        t_BxL, n_BxL = starts_2xB[0][:, None] + frame_BxL, starts_2xB[1][:, None]

        def rows(x_MxTxN: Any) -> np.ndarray:
            return x_MxTxN[:, t_BxL, n_BxL].reshape(-1, frame_BxL.shape[1])[:sequences]

        target, answer = rows(targets), rows(answers.answer)
        estimate = None if answers.estimate is None else rows(answers.estimate)
        confidence = None if answers.confidence is None else rows(answers.confidence)
        if confidence is not None:
            severity_B = confidence[:, -1]
        else:
            assert estimate is not None, "a head without probabilities gives an estimate"
            severity_B = np.abs(estimate[:, -1] - target[:, -1])
        return Answered(
            lengths_B=np.tile(lengths_B, len(targets))[:sequences],
            targets=target,
            answers=answer,
            estimates=estimate,
            confidence=confidence,
            wrong_B=answer[:, -1] != target[:, -1],
            severity_B=severity_B,
        )

    def explain(self, answered: Answered, names: Sequence[str]) -> dict[str, Any]:
        steps = []
        for t in range(len(names)):
            step: dict[str, Any] = {"answer": self.text(int(answered.answers[0, t]))}
            if answered.estimates is not None:
                step["estimate"] = float(answered.estimates[0, t])
            if answered.confidence is not None:
                step["confidence"] = float(answered.confidence[0, t])
            steps.append(step)
        named = [{"name": f"after {name}", **step} for name, step in zip(names, steps, strict=True)]
        return {**steps[-1], "steps": named}

    def text(self, number: int) -> str:
        """A number as people write it."""
        return f"{number}"

    def account(self, answered: Answered, i: int) -> Account:
        length = answered.lengths_B[i]
        target_L, answer_L = answered.targets[i, :length], answered.answers[i, :length]
        if answered.confidence is not None:
            sure = f"{answered.confidence[i, -1]:.0%}"
        else:
            sure = f"{answered.estimates[i, -1]:.2f}" if answered.estimates is not None else "?"
        title = f"true {self._long(target_L[-1])}, read {self._long(answer_L[-1])} ({sure})"
        notes = self.notes(answered, i) if self.max_length > 1 else ()
        return Account(title, bool(answered.wrong_B[i]), notes)

    def notes(self, answered: Answered, i: int) -> Sequence[Mark]:
        """The answer after each frame."""
        pairs = zip(answered.answers[i], answered.targets[i], strict=True)
        marks = [Mark(self._long(answer), bool(answer != target)) for answer, target in pairs]
        return marks[: answered.lengths_B[i]]

    def _long(self, number: int) -> str:
        return f"{number:,}"

    @property
    def legend(self) -> str:
        return "\nbelow each frame: the answer after it" if self.max_length > 1 else ""

    def shown(self, draw: Draw) -> Draw:
        """See `Task`: where a sequence is one image, the images in order."""
        return EachImage.of(draw) if self.max_length == 1 else draw

    def counted(self, draw: Draw) -> Draw:
        """See `Task`: each image read alone."""
        return EachImage.of(draw)

    def confusions(self, answered: Answered) -> tuple[np.ndarray, np.ndarray, Sequence[str]]:
        return answered.targets[:, -1], answered.answers[:, -1], self.dataset.classes


@dataclasses.dataclass(frozen=True)
class Sum(Number):
    """The sum of the classes so far."""

    asks: ClassVar[str] = "sum"

    def notes(self, answered: Answered, i: int) -> Sequence[Mark]:
        """How much each frame adds to the estimate so far, which begins at 0."""
        length = answered.lengths_B[i]
        assert answered.estimates is not None, "sums are numbers"
        shares_L = np.diff(answered.estimates[i, :length], prepend=0)
        labels_L = np.diff(answered.targets[i, :length], prepend=0)
        return [
            Mark(f"{share:+.1f}", bool(round(float(share)) != label))
            for share, label in zip(shares_L, labels_L, strict=True)
        ]

    @property
    def legend(self) -> str:
        return "\nbelow each frame: what it adds to the estimate"


@dataclasses.dataclass(frozen=True)
class Product(Number):
    """The product of the classes so far."""

    recurrence: Recurrence = PRODUCT
    asks: ClassVar[str] = "product"


@dataclasses.dataclass(frozen=True)
class Class(Number):
    """The class of the last frame: classes have no order, so no mean and no near miss."""

    recurrence: Recurrence = LAST
    asks: ClassVar[str] = "class"

    @property
    def question(self) -> Question:
        return dataclasses.replace(super().question, kind="class")

    def baseline(self, labels_I: np.ndarray) -> None:
        """See `Task`: classes have no mean."""
        del labels_I

    def answered(
        self, targets: np.ndarray, answers: Answers, lanes: Lanes, sequences: int
    ) -> Answered:
        """See `Task`: the mean of classes means nothing."""
        answers = dataclasses.replace(answers, estimate=None)
        return super().answered(targets, answers, lanes, sequences)

    def text(self, number: int) -> str:
        """The class's name."""
        return self.dataset.classes[number]

    _long = text
