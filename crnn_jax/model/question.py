"""What the network is asked: all that it must know of a task and its data."""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

import jax.numpy as jnp
import numpy as np
from jax import Array, lax


@dataclasses.dataclass(frozen=True)
class Recurrence:
    """A whole number that every frame changes, such as the sum so far.

    Attributes:
      first: the number before any frame.
      combine: the next number, from the one so far and a frame's class; works on NumPy and JAX
        arrays. Linear in each of the two (`mean`). Given the next number and the class, either
        exactly one number before is possible or every number is: a maximum is not allowed.
    """

    first: int
    combine: Callable

    def numbers(self, classes: int, max_length: int) -> np.ndarray:
        """All numbers that 0 … `max_length` frames can lead to, in ascending order."""
        numbers = np.array([self.first])
        for _ in range(max_length):
            following = self.combine(numbers[:, None], np.arange(classes))
            numbers = np.union1d(numbers, following)
        return numbers

    def after_each(
        self, values_TxN: Array, starts_TxN: Any, unroll: int = 1, so_far_N: Array | None = None
    ) -> Array:
        """The number after each frame, TxN, where frames have values of any kind.

        Args:
          values_TxN: of the frames; the numbers are of their dtype.
          starts_TxN: bool, true where a sequence starts.
          unroll: steps that one turn of the loop over time makes.
          so_far_N: the numbers before these frames, where there were any.
        """

        def step(number_N: Array, inputs: tuple[Array, Array]) -> tuple[Array, Array]:
            values_N, starts_N = inputs
            number_N = self.combine(jnp.where(starts_N, self.first, number_N), values_N)
            return number_N, number_N

        before_N = jnp.zeros_like(values_TxN[0]) if so_far_N is None else so_far_N
        return lax.scan(step, before_N, (values_TxN, jnp.asarray(starts_TxN)), unroll=unroll)[1]

    def longest(self, classes: int, length: int, most: float = np.iinfo(np.int32).max) -> int:
        """The most frames, up to `length`, whose numbers are all at most `most`: fit into int32."""
        number = self.first
        for frames in range(length):
            number = self.combine(number, classes - 1)
            if number > most:
                return frames
        return length

    def mean(self, labels_I: np.ndarray, lengths_B: np.ndarray) -> float:
        """Mean of the right numbers of sequences of independently drawn labels.

        `combine` is linear, so the mean label stands for all of them.
        """
        number_of_length = [float(self.first)]
        for _ in range(lengths_B.max()):
            number_of_length.append(self.combine(number_of_length[-1], float(labels_I.mean())))
        return float(np.mean(np.asarray(number_of_length)[lengths_B]))


@dataclasses.dataclass(frozen=True)
class Addends:
    """Two numbers whose sum is asked for, in digits, the units first.

    Attributes:
      digits: of the longest number.
      parted: whether a frame of the last class stands between the numbers, which then have 1 to
        `digits` digits each; else each has `digits`, and nothing is between them.
    """

    digits: int
    parted: bool


@dataclasses.dataclass(frozen=True)
class Question:
    """What is asked of a sequence, for those who build a network.

    Attributes:
      kind: what an answer is: a whole number that frames lead to, any other number, a class, or a
        row of symbols, or a line: symbols in the order in which the frames show them.
      frame_shape: height, width and channels of the frames that the network sees.
      steps: frames of the longest sequence.
      classes: number of classes that a frame can be of.
      recurrence: how each frame's class changes the answer; None where no such rule is known.
      addends: what the frames are, where the answer is a written sum; else None.
      vocabulary: number of symbols V that an answer is written in; 0 for other kinds.
      symbols: symbols S of an answer, of a line the most; 0 for other kinds.
      reads: which states the head reads an answer off: after every frame that frame's, which must
        not have seen later ones; that of the last frame alone, for the whole sequence; or each
        frame's, which may have seen the whole sequence.
      mean, deviation: of the right values, where answers are such.
    """

    kind: Literal["number", "value", "class", "symbols", "line"]
    frame_shape: tuple[int, int, int]
    steps: int
    classes: int
    recurrence: Recurrence | None = None
    addends: Addends | None = None
    vocabulary: int = 0
    symbols: int = 0
    reads: Literal["so_far", "whole", "each"] = "so_far"
    mean: float = 0.0
    deviation: float = 1.0
