"""Lines of one's own: pictures of any width, and the texts that stand in them."""

import dataclasses
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from jax import Array

from crnn_jax.data.batch import Batch
from crnn_jax.data.lanes import Lanes
from crnn_jax.data.packing import GAP
from crnn_jax.model.heads import Answers
from crnn_jax.model.question import Question
from crnn_jax.tasks.line import Lines
from crnn_jax.tasks.stored import Stored
from crnn_jax.tasks.task import Answered


@dataclasses.dataclass(frozen=True)
class LineOfPicture(Lines, Stored):
    """The text of a line, in characters: code points, as they are given."""

    answer: ClassVar[str] = "text"
    gap: ClassVar[int] = GAP

    @property
    def vocabulary(self) -> Sequence[str]:
        return self.dataset.vocabulary

    @property
    def question(self) -> Question:
        info = self.dataset
        return Question(
            "line",
            info.frame_shape,
            info.longest,
            0,
            vocabulary=len(info.vocabulary),
            symbols=info.symbols,
            reads="each",
        )

    def encode(self, answers: np.ndarray) -> np.ndarray:
        """See `Stored`: -1 behind the end; V for what is not in the alphabet, which is never read.

        Texts longer than any in training have room.
        """
        numbers = {symbol: i for i, symbol in enumerate(self.vocabulary)}
        longest = max([self.dataset.symbols, *map(len, answers)])
        encoded_BxS = np.full((len(answers), longest), -1, np.int32)
        for row_S, text in zip(encoded_BxS, answers, strict=True):
            row_S[: len(text)] = [numbers.get(symbol, len(numbers)) for symbol in text]
        return encoded_BxS

    def batch(self, images: Array, labels: Array, lanes: Lanes, keys_B: Array | None) -> Batch:
        """See `Task`; the symbols of each line, BxS."""
        del keys_B
        return Batch(images, lanes, labels)

    def rows(self, answers: Answers, lanes: Lanes, longest: int) -> Answers:
        """See `Stored`; the head gives them so."""
        del lanes, longest
        return answers

    def answered(self, right: np.ndarray, answers: Answers, lengths_B: np.ndarray) -> Answered:
        return self.of_lines(right, answers, lengths_B)
