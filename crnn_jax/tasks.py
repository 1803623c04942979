"""What is asked of a sequence: the right answer, from the labels of its images.

A task is a `Running` number, which every frame changes, or an answer written in symbols.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import ClassVar

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from crnn_jax.data.sources import clips


class Task:
    """What all tasks have in common.

    Attributes:
      written: whether the answer is written in symbols, one answer a lane, and not a number.
      films: whether frames are made of the images, differently every time.
      measures: whether answers are numbers that can be nearly right.
    """

    written: ClassVar[bool] = False
    films: ClassVar[bool] = False
    measures: bool = False

    def answers(self, labels_TxN: Array, starts_TxN: Array) -> Array:
        """The right answers: TxN int32, after every frame; or the right symbols, NxS int32.

        Args:
          labels_TxN: labels of the frames.
          starts_TxN: bool, true where a sequence starts.
        """
        raise NotImplementedError

    def show(
        self, images_TxNxHxWxC: Array, labels_TxN: Array, starts_TxN: Array, keys_N: Array
    ) -> tuple[Array, Array, Array]:
        """What the network sees of the images in the lanes, and the right answers.

        Args:
          images_TxNxHxWxC: uint8.
          labels_TxN: the images' labels.
          starts_TxN: bool, true where a sequence starts.
          keys_N: one random key a lane.

        Returns:
          frames, starts and answers, in the same N lanes.
        """
        del keys_N
        return images_TxNxHxWxC, starts_TxN, self.answers(labels_TxN, starts_TxN)


@dataclasses.dataclass(frozen=True)
class Running(Task):
    """A whole number that every frame changes, such as the sum so far.

    Attributes:
      first: the number before any frame.
      combine: the next number, from the one so far and a frame's label; of NumPy and JAX arrays.
        Linear in each of the two (`mean`), and such that from the next number and the label either
        one number before follows or any (the head `marginal`): not the larger of the two.
      measures: see `Task`.
    """

    first: int
    combine: Callable
    measures: bool = True

    def answers(self, labels_TxN: Array, starts_TxN: Array) -> Array:
        """See `Task`."""

        def step(number_N: Array, inputs: tuple[Array, Array]) -> tuple[Array, Array]:
            labels_N, starts_N = inputs
            number_N = self.combine(jnp.where(starts_N, self.first, number_N), labels_N)
            return number_N, number_N

        return lax.scan(step, jnp.zeros_like(labels_TxN[0]), (labels_TxN, starts_TxN))[1]

    def numbers(self, digits: int, max_length: int) -> np.ndarray:
        """All numbers that 0 … `max_length` frames can lead to, in ascending order."""
        numbers = np.array([self.first])
        for _ in range(max_length):
            following = self.combine(numbers[:, None], np.arange(digits))
            numbers = np.union1d(numbers, following)
        return numbers

    def longest(self, digits: int, length: int) -> int:
        """The most frames, up to `length`, whose numbers all fit into int32.

        Args:
          digits: number of classes of the corpus.
          length: where to stop.
        """
        number = self.first
        for frames in range(length):
            number = self.combine(number, digits - 1)
            if number > np.iinfo(np.int32).max:
                return frames
        return length

    def mean(self, labels_N: np.ndarray, lengths_B: np.ndarray) -> float:
        """Mean of the right numbers of sequences of independently drawn labels.

        The combinations are linear in the label and in the number before, so the mean label
        stands for all of them.
        """
        number_of_length = [float(self.first)]
        for _ in range(lengths_B.max()):
            number_of_length.append(self.combine(number_of_length[-1], float(labels_N.mean())))
        return float(np.mean(np.asarray(number_of_length)[lengths_B]))


@dataclasses.dataclass(frozen=True)
class Addition(Task):
    """The sum of two numbers of equally many digits, written in digits, the units first.

    The first half of the frames are the digits of the one number, the second half of the other,
    as they are read; shorter numbers are padded with zeros. The answer has a digit more. It is
    written from the units on, as on paper, so that a writer can carry as it goes.
    """

    written: ClassVar[bool] = True
    vocabulary: ClassVar[tuple[str, ...]] = tuple("0123456789")

    def symbols(self, max_length: int) -> int:
        """Number of symbols of an answer about so many frames."""
        return max_length // 2 + 1

    def answers(self, labels_TxN: Array, starts_TxN: Array) -> Array:
        """See `Task`; a lane holds one sequence."""
        del starts_TxN
        digits = labels_TxN.shape[0] // 2
        carry_N, symbols = jnp.zeros_like(labels_TxN[0]), []
        for i in reversed(range(digits)):
            total_N = labels_TxN[i] + labels_TxN[digits + i] + carry_N
            symbols.append(total_N % 10)
            carry_N = total_N // 10
        return jnp.stack([*symbols, carry_N], axis=1)

    def text(self, symbols_S: Sequence[int]) -> str:
        """An answer as people write it."""
        return "".join(self.vocabulary[symbol] for symbol in reversed(symbols_S))


@dataclasses.dataclass(frozen=True)
class Caption(Task):
    """A sentence about a clip in which a digit moves, grows or stands still (`data/clips.py`)."""

    written: ClassVar[bool] = True
    films: ClassVar[bool] = True
    vocabulary: ClassVar[tuple[str, ...]] = clips.VOCABULARY

    def symbols(self, max_length: int) -> int:
        """Number of words of a caption, END counted."""
        del max_length
        return clips.WORDS

    def show(
        self, images_TxNxHxWxC: Array, labels_TxN: Array, starts_TxN: Array, keys_N: Array
    ) -> tuple[Array, Array, Array]:
        """See `Task`: the clip of one image a lane, and its caption."""
        frames_TxNxHxWxC, symbols_NxS = clips.make_clips(images_TxNxHxWxC[0], labels_TxN[0], keys_N)
        steps = jnp.arange(len(frames_TxNxHxWxC))[:, None]
        return frames_TxNxHxWxC, (steps == 0) & starts_TxN[:1], symbols_NxS

    def text(self, symbols_S: Sequence[int]) -> str:
        """A caption up to END."""
        words = [self.vocabulary[symbol] for symbol in symbols_S]
        return " ".join(words[: words.index(clips.END)] if clips.END in words else words)


def _add(number: Array, label: Array) -> Array:
    return number + label


def _multiply(number: Array, label: Array) -> Array:
    return number * label


def _replace(number: Array, label: Array) -> Array:
    return label + 0 * number


TASKS: dict[str, Task] = {
    "sum": Running(0, _add),
    "product": Running(1, _multiply),
    "classify": Running(0, _replace, measures=False),  # which glyph the last frame is
    "addition": Addition(),
    "caption": Caption(),
}
"""The task of a config, by its `task.name`."""
