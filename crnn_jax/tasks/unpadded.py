"""The sum of two numbers as people write them: of any lengths, with a blank between them."""

import dataclasses
from collections.abc import Sequence
from typing import ClassVar

import jax.numpy as jnp
import numpy as np
from jax import Array

from crnn_jax import UserError
from crnn_jax.data.draw import Draw, TwoNumbers
from crnn_jax.data.lanes import Lanes
from crnn_jax.data.split import Split
from crnn_jax.model.heads import Answers
from crnn_jax.model.question import Addends, Question
from crnn_jax.tasks.task import Account, Answered
from crnn_jax.tasks.written import Addition, written_sum

BLANK = 10
"""Label of the image between the numbers, on which there is nothing."""


@dataclasses.dataclass(frozen=True)
class UnpaddedAddition(Addition):
    """The sum of two numbers with a blank frame between them, written in digits, the units first.

    Each number has 1 to (max_length - 1) / 2 digits. The answer has one more than the longest
    number, whatever the lengths: it begins with zeros where the sum is short.
    """

    drawn: ClassVar[type[Draw]] = TwoNumbers

    @property
    def question(self) -> Question:
        question, digits = super().question, self.max_length // 2
        addends = Addends(digits, parted=True)
        return dataclasses.replace(question, classes=question.classes + 1, addends=addends)

    @property
    def fewest_pictures(self) -> int:
        return self.min_length

    def check(self, tested: tuple[int, ...]) -> None:
        longest = self.max_length
        if self.min_length != 3 or longest < 3 or longest % 2 == 0 or self.once:
            raise UserError(
                f"--config.task.min_length={self.min_length}, max_length={longest} and "
                f"data.once={self.once}: expected 3, an odd number (the frames of the two longest "
                "numbers and a blank) and false"
            )
        even = dataclasses.replace(self, min_length=longest - 1, max_length=longest - 1)
        super(UnpaddedAddition, even).check(tested)

    def images(self, part: Split) -> Split:
        """See `Composed`: the blank is behind all others."""
        blank = np.zeros_like(part.images_IxHxWxC[:1])
        return Split(
            np.concatenate([part.images_IxHxWxC, blank]),
            np.append(part.labels_I, np.int32(BLANK)),
        )

    def targets(self, labels: Array, lanes: Lanes) -> Array:
        labels_BxL, length_B = lanes.rows(labels, self.max_length), jnp.asarray(lanes.length_B)
        blank_B = jnp.argmax(labels_BxL == BLANK, axis=1)

        def number(begin_B: Array, end_B: Array) -> Array:
            """Digits DxB of the frames from `begin_B` to `end_B`, the units first."""
            frame_BxD = end_B[:, None] - 1 - jnp.arange(self.max_length // 2)[None]
            digits_BxD = jnp.take_along_axis(labels_BxL, jnp.maximum(frame_BxD, 0), axis=1)
            return jnp.where(frame_BxD >= begin_B[:, None], digits_BxD, 0).T

        return written_sum(number(0 * blank_B, blank_B), number(blank_B + 1, length_B))

    def answered(
        self, targets: np.ndarray, answers: Answers, lanes: Lanes, sequences: int
    ) -> Answered:
        found = super().answered(targets, answers, lanes, sequences)
        lengths_B = np.tile(np.asarray(lanes.length_B), len(targets))[:sequences]
        return dataclasses.replace(found, lengths_B=lengths_B)

    def text(self, symbols_S: Sequence[int]) -> str:
        return super().text(symbols_S).lstrip("0") or "0"

    def account(self, answered: Answered, i: int) -> Account:
        """See `Task`: the title alone, for the frames show where the numbers are parted."""
        return dataclasses.replace(super().account(answered, i), symbols=())
