"""Written answers about stored sequences, in words or characters."""

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
from jax import Array

from crnn_jax import UserError
from crnn_jax.data.batch import Batch
from crnn_jax.data.lanes import Lanes
from crnn_jax.model.heads import Answers, Output
from crnn_jax.model.question import Question
from crnn_jax.tasks.scores import text_scores
from crnn_jax.tasks.stored import Stored
from crnn_jax.tasks.task import Account, Answered

UNKNOWN = -1
"""In place of a symbol that no training answer has: no network writes it."""


@dataclasses.dataclass(frozen=True)
class TextOfSequence(Stored):
    """A text about a whole sequence, which ends with END; after it nothing counts.

    Attributes:
      unit: "words" or "characters".
    """

    unit: str
    asks: ClassVar[str] = "text"

    answer: ClassVar[str] = "text"

    @property
    def question(self) -> Question:
        info = self.dataset
        return Question(
            "symbols",
            info.frame_shape,
            info.longest,
            0,
            vocabulary=len(info.vocabulary),
            symbols=info.symbols,
            reads="each",
        )

    @property
    def _end(self) -> int:
        """The symbol that ends an answer: the vocabulary's last one."""
        return len(self.dataset.vocabulary) - 1

    def _length(self, symbols_S: Sequence[int]) -> int:
        """How many symbols stand before END."""
        return [*symbols_S, self._end].index(self._end)

    def encode(self, answers: np.ndarray) -> np.ndarray:
        """See `Stored`: BxS symbols, filled up with END; longer answers are cut and never right."""
        numbers = {symbol: i for i, symbol in enumerate(self.dataset.vocabulary)}
        longest = self.dataset.symbols
        encoded = np.full((len(answers), longest), self._end, np.int32)
        for i, text in enumerate(answers):
            symbols = [numbers.get(symbol, UNKNOWN) for symbol in self.split(text)]
            if len(symbols) >= longest:
                symbols = [*symbols[: longest - 1], UNKNOWN]
            encoded[i, : len(symbols)] = symbols
        return encoded

    def split(self, text: str) -> list[str]:
        """The symbols of a text."""
        return text.split() if self.unit == "words" else list(text)

    def text(self, symbols_S: Sequence[int]) -> str:
        """An answer up to END, as people write it; "?" for what is unknown."""
        symbols = symbols_S[: self._length(symbols_S)]
        written = [self.dataset.vocabulary[s] if s != UNKNOWN else "?" for s in symbols]
        return (" " if self.unit == "words" else "").join(written)

    def batch(self, images: Array, labels: Array, lanes: Lanes, keys_B: Array | None) -> Batch:
        """See `Task`: the symbols of each sequence, BxS."""
        del keys_B
        return Batch(images, lanes, labels)

    def loss(self, output: Output, batch: Batch) -> Array:
        return jnp.sum(output.loss(batch.targets) * (jnp.asarray(batch.lanes.length_B) > 0))

    def rows(self, answers: Answers, lanes: Lanes, longest: int) -> Answers:
        """See `Stored`; what is written behind END is nothing."""
        del lanes, longest
        written_BxS, end = np.asarray(answers.answer), self._end
        over_BxS = np.cumsum(written_BxS == end, axis=1) > 0
        sure_BxS = np.where(over_BxS & (written_BxS != end), 1, np.asarray(answers.confidence))
        return Answers(np.where(over_BxS, end, written_BxS), None, sure_BxS)

    def answered(self, right: np.ndarray, answers: Answers, lengths_B: np.ndarray) -> Answered:
        found, sure = answers.answer, answers.confidence
        wrong_B = (found != right).any(axis=1)
        return Answered(
            lengths_B, right, found, None, sure, wrong_B, sure.astype(np.float64).prod(axis=1)
        )

    def score(self, answered: Answered) -> dict[str, Any]:
        """See `Stored`; of the symbols, those up to END in both count."""
        right_N, found_N = (x[self._counts(answered)] for x in (answered.targets, answered.answers))
        scores = text_scores(answered.targets, answered.answers)
        return {**scores, "per_symbol": float((right_N == found_N).mean())}

    def _counts(self, answered: Answered) -> np.ndarray:
        """Where an answer or the right one goes on, or ends: BxS."""
        over_BxS = (answered.targets == self._end) & (answered.answers == self._end)
        return np.cumsum(over_BxS, axis=1) - over_BxS == 0

    def explain(self, answered: Answered, names: Sequence[str]) -> dict[str, Any]:
        del names
        symbols_S = answered.answers[0]
        steps = [
            {"name": f"symbol {i}", "answer": self.dataset.vocabulary[s], "confidence": float(p)}
            for i, (s, p) in enumerate(zip(symbols_S, answered.confidence[0], strict=True), 1)
        ]
        return {
            "answer": self.text(symbols_S),
            "confidence": float(answered.severity_B[0]),
            "steps": steps[: self._length(symbols_S)],
        }

    def account(self, answered: Answered, i: int) -> Account:
        right, read = self.text(answered.targets[i]), self.text(answered.answers[i])
        title = f"true: {right}\nread: {read} ({answered.severity_B[i]:.0%})"
        return Account(title, bool(answered.wrong_B[i]))

    def confusions(self, answered: Answered) -> tuple[np.ndarray, np.ndarray, Sequence[str]]:
        known_BxS = (answered.targets != UNKNOWN) & self._counts(answered)
        right, read = (x[known_BxS] for x in (answered.targets, answered.answers))
        return right, read, self.dataset.vocabulary

    def check_frames(self, count: int) -> None:
        """See `Stored`: where frames are has been learned for as many as training had."""
        if count > self.dataset.longest:
            raise UserError(
                f"a clip of {count:,} frames: expected at most {self.dataset.longest:,}, as in "
                "training"
            )
