"""Answers that are written in symbols: sums of long numbers, captions of clips."""

import abc
import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
from jax import Array

from crnn_jax import UserError
from crnn_jax.data import clips
from crnn_jax.data.batch import Batch, Composition
from crnn_jax.data.lanes import Lanes
from crnn_jax.model.heads import Answers, Output
from crnn_jax.model.question import Addends, Question
from crnn_jax.tasks.composed import Composed
from crnn_jax.tasks.scores import text_scores
from crnn_jax.tasks.task import Account, Answered, Mark


@dataclasses.dataclass(frozen=True)
class Written(Composed):
    """One answer a lane, in symbols of a vocabulary."""

    vocabulary: ClassVar[tuple[str, ...]]

    @property
    @abc.abstractmethod
    def symbols(self) -> int:
        """Symbols of an answer."""

    @abc.abstractmethod
    def text(self, symbols_S: Sequence[int]) -> str:
        """An answer as people write it."""

    @property
    def question(self) -> Question:
        return Question(
            "symbols",
            self.composition.frame_shape(self.dataset.frame_shape),
            self.composition.steps(self.max_length, self.dataset.frame_shape),
            len(self.dataset.classes),
            vocabulary=len(self.vocabulary),
            symbols=self.symbols,
            reads="each",
        )

    def check(self, tested: tuple[int, ...]) -> None:
        if self.dataset.classes != tuple("0123456789"):
            raise UserError(
                f"--config.data.name={self.dataset.name} does not show the digits 0 to 9, which "
                f"the task {self.name} is about: expected a corpus of digits, such as mnist"
            )
        if self.every_step or tested:
            raise UserError(
                f"--config.task.every_step and --config.eval.lengths are not for the task "
                f"{self.name}: expected false and ()"
            )

    def loss(self, output: Output, batch: Batch) -> Array:
        return jnp.sum(output.loss(batch.targets))

    def scores(
        self,
        targets: np.ndarray,
        answers: Answers,
        lanes: Lanes,
        sequences: int,
        baseline: float | None,
    ) -> dict[str, Any]:
        """See `text_scores`."""
        del lanes, baseline
        return text_scores(_rows(targets, sequences), _rows(answers.answer, sequences))

    def answered(
        self, targets: np.ndarray, answers: Answers, lanes: Lanes, sequences: int
    ) -> Answered:
        del lanes
        target, answer = _rows(targets, sequences), _rows(answers.answer, sequences)
        confidence = _rows(answers.confidence, sequences)
        return Answered(
            lengths_B=np.full(len(target), self.question.steps),
            targets=target,
            answers=answer,
            estimates=None,
            confidence=confidence,
            wrong_B=(answer != target).any(axis=1),
            severity_B=confidence.astype(np.float64).prod(axis=1),
        )

    def explain(self, answered: Answered, names: Sequence[str]) -> dict[str, Any]:
        del names
        assert answered.confidence is not None, "decoders give probabilities"
        symbols_S, confidence_S = answered.answers[0], answered.confidence[0]
        return {
            "answer": self.text(symbols_S),
            "confidence": float(answered.severity_B[0]),
            "steps": [
                {"name": f"symbol {i}", "answer": self.vocabulary[s], "confidence": float(p)}
                for i, (s, p) in enumerate(zip(symbols_S, confidence_S, strict=True), 1)
            ],
        }

    def confusions(self, answered: Answered) -> tuple[np.ndarray, np.ndarray, Sequence[str]]:
        return answered.targets.reshape(-1), answered.answers.reshape(-1), self.vocabulary


def written_sum(first_DxB: Array, second_DxB: Array) -> Array:
    """The digits of the sum of two numbers, the units first: BxS, one more than theirs."""
    carry_B, symbols = jnp.zeros_like(first_DxB[0]), []
    for first_B, second_B in zip(first_DxB, second_DxB, strict=True):
        total_B = first_B + second_B + carry_B
        symbols.append(total_B % 10)
        carry_B = total_B // 10
    return jnp.stack([*symbols, carry_B], axis=1)


def _rows(x_MxNxS: Any, sequences: int) -> np.ndarray:
    return x_MxNxS.reshape(-1, x_MxNxS.shape[-1])[:sequences]


@dataclasses.dataclass(frozen=True)
class Addition(Written):
    """The sum of two numbers of equally many digits, written in digits, the units first.

    The first half of the frames are the digits of the one number, the second half of the other,
    as they are read; shorter numbers are padded with zeros. The answer has a digit more. It is
    written from the units on, as on paper, so that a decoder can carry as it goes.
    """

    vocabulary: ClassVar[tuple[str, ...]] = tuple("0123456789")
    asks: ClassVar[str] = "sum of two numbers"

    @property
    def symbols(self) -> int:
        return self.max_length // 2 + 1

    @property
    def question(self) -> Question:
        addends = Addends(self.max_length // 2, parted=False)
        return dataclasses.replace(super().question, addends=addends)

    @property
    def fewest_pictures(self) -> int:
        return self.max_length

    def check(self, tested: tuple[int, ...]) -> None:
        super().check(tested)
        if self.min_length != self.max_length or self.max_length % 2:
            raise UserError(
                f"--config.task.min_length={self.min_length} and max_length={self.max_length}: "
                "expected the same even number, the frames of two numbers of as many digits"
            )

    def targets(self, labels: Array, lanes: Lanes) -> Array:
        """See `Task`; a lane holds one sequence."""
        del lanes
        digits = labels.shape[0] // 2
        return written_sum(labels[:digits][::-1], labels[digits:][::-1])

    def text(self, symbols_S: Sequence[int]) -> str:
        return "".join(self.vocabulary[symbol] for symbol in reversed(symbols_S))

    def account(self, answered: Answered, i: int) -> Account:
        """See `Task`; the units are written first and read last."""
        assert answered.confidence is not None, "decoders give probabilities"
        target_S, answer_S = answered.targets[i], answered.answers[i]
        right, written = self.text(target_S), self.text(answer_S)
        symbols = [
            (Mark(self.vocabulary[answer], bool(answer != target)), f"{probability:.0%}")
            for target, answer, probability in zip(
                target_S, answer_S, answered.confidence[i], strict=True
            )
        ]
        title = f"true {right}, read {written} ({answered.severity_B[i]:.0%})"
        return Account(title, bool(answered.wrong_B[i]), symbols=symbols[::-1])


@dataclasses.dataclass(frozen=True)
class Caption(Written):
    """A sentence about a clip in which a digit moves, grows or stands still."""

    vocabulary: ClassVar[tuple[str, ...]] = clips.VOCABULARY
    composition: ClassVar[Composition] = clips.Clips()
    asks: ClassVar[str] = "caption"

    @property
    def symbols(self) -> int:
        """Words of a caption, END counted."""
        return clips.WORDS

    def check(self, tested: tuple[int, ...]) -> None:
        super().check(tested)
        if self.max_length > 1:
            raise UserError(
                f"--config.task.max_length={self.max_length}: expected 1, a clip is made of one "
                "image"
            )

    def targets(self, labels: Array, lanes: Lanes) -> Array:
        """The captions of what the clips show."""
        del lanes
        return jnp.asarray(clips.CAPTIONS)[labels]

    def text(self, symbols_S: Sequence[int]) -> str:
        """A caption up to END."""
        words = [self.vocabulary[symbol] for symbol in symbols_S]
        return " ".join(words[: words.index(clips.END)] if clips.END in words else words)

    def account(self, answered: Answered, i: int) -> Account:
        right, read = self.text(answered.targets[i]), self.text(answered.answers[i])
        title = f"true: {right}\nread: {read} ({answered.severity_B[i]:.0%})"
        return Account(title, bool(answered.wrong_B[i]))

    @property
    def fewest_pictures(self) -> int:
        """The frames of a clip."""
        return clips.FRAMES

    @property
    def most_pictures(self) -> int:
        """The frames of a clip."""
        return clips.FRAMES
