"""The draw: which images, in which lanes, make the sequences of a step.

What is drawn is a pure function of (seed, step, index of the sequence in the global batch), so a
resumed run needs no iterator state and any number of devices draws the same global batch.

Lengths are stratified: sequence i has length `min_length + i % (max_length - min_length + 1)`, so
every batch holds each length equally often. The images behind a length are independent draws
with replacement, so this is the uniform distribution of lengths without its noise.

That makes the layout of a batch static, and lets it be packed without any padding: a short
sequence and its complement (length l, and max_length + min_length - l) share one lane. Lanes are
stored time-major, TxN: T steps, N lanes.
"""

import dataclasses
from typing import Self

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from crnn_jax.data.lanes import Lanes, lay_out, padded_lanes

IMAGES, DROPOUT, AUGMENTATION, SCENE = range(4)
"""What a sequence's random keys are for."""


def sequence_key(seed: int, step: int | Array, sequence: int | Array, purpose: int) -> Array:
    """The random key of one sequence of one step for one purpose, such as `IMAGES`."""
    key = jax.random.key(seed)
    for number in (step, sequence, purpose):
        key = jax.random.fold_in(key, number)
    return key


@dataclasses.dataclass(frozen=True)
class Draw:
    """What sequences of a split are made of.

    Attributes:
      seed: of the random keys.
      min_length: frames of the shortest sequence.
      max_length: frames of the longest sequence.
      images: number of images to draw from.
    """

    seed: int
    min_length: int
    max_length: int
    images: int

    @property
    def kinds(self) -> int:
        """Sequences in which each kind of layout is there once: here, each length."""
        return self.max_length - self.min_length + 1

    @property
    def period(self) -> int:
        """A batch of a multiple of this many sequences holds each kind equally often, packed."""
        return self.kinds if self.kinds == 1 or self.kinds % 2 == 0 else 2 * self.kinds

    def lengths(self, sequences: int) -> np.ndarray:
        """Lengths in frames of the first `sequences` sequences of any batch."""
        return self.min_length + np.arange(sequences) % (self.max_length - self.min_length + 1)

    def lanes(self, sequences: int) -> Lanes:
        """The packed layout of `sequences` sequences, a multiple of `period`: no padding at all."""
        assert sequences % self.period == 0, (sequences, self.period)
        if self.min_length == self.max_length:
            return padded_lanes(self.lengths(sequences))
        half = self.period // 2
        lanes = [
            [block + i, block + self.period - 1 - i]
            for block in range(0, sequences, self.period)
            for i in range(half)
        ]
        return lay_out(lanes, self.lengths(sequences))

    def image_indices(self, step: int | Array, sequences_B: Array) -> Array:
        """Indices of the images of some sequences of a step.

        Args:
          step: training step.
          sequences_B: indices of the sequences in the global batch.

        Returns:
          (B, max_length) int32; a sequence of length l uses the first l.
        """
        shape = (self.max_length,)
        return jax.vmap(
            lambda i: jax.random.randint(self.key(step, i, IMAGES), shape, 0, self.images, np.int32)
        )(sequences_B)

    def key(self, step: int | Array, sequence: int | Array, purpose: int) -> Array:
        """See `sequence_key`."""
        return sequence_key(self.seed, step, sequence, purpose)


@dataclasses.dataclass(frozen=True)
class EachImage(Draw):
    """Each image once, in order, as a sequence of length 1."""

    @classmethod
    def of(cls, draw: Draw) -> Self:
        """The images that a draw is from."""
        return cls(draw.seed, 1, 1, draw.images)

    def image_indices(self, step: int | Array, sequences_B: Array) -> Array:
        """Sequence i is image i; beyond the last image it begins anew."""
        del step
        return sequences_B[:, None] % self.images


@dataclasses.dataclass(frozen=True)
class Once(Draw):
    """Each image in one sequence only, of `max_length`: fixed sequences, drawn again and again."""

    @classmethod
    def of(cls, draw: Draw) -> Self:
        """The images that a draw is from, dealt out to sequences by its seed."""
        return cls(draw.seed, draw.min_length, draw.max_length, draw.images)

    @property
    def table(self) -> np.ndarray:
        """Images of all fixed sequences; what is left over is in none."""
        # Raw bits: how NumPy makes other numbers of them may change.
        order = np.argsort(np.random.Philox(key=self.seed).random_raw(self.images))
        count = self.images // self.max_length
        return order[: count * self.max_length].reshape(count, -1).astype(np.int32)

    def image_indices(self, step: int | Array, sequences_B: Array) -> Array:
        """See `Draw`: those of one of the fixed sequences, drawn with replacement."""
        table = self.table
        chosen_B = jax.vmap(
            lambda i: jax.random.randint(self.key(step, i, IMAGES), (), 0, len(table), np.int32)
        )(sequences_B)
        return jnp.asarray(table)[chosen_B]


@dataclasses.dataclass(frozen=True)
class TwoNumbers(Draw):
    """A number, the blank image behind all others, and a number; each of 1 to `digits` images.

    Both numbers of digits are stratified, each pair of them equally often. Complements share a
    lane: a and b images, and `digits` + 1 - a and `digits` + 1 - b.
    """

    @property
    def digits(self) -> int:
        """Images of the longest number."""
        return self.max_length // 2

    @property
    def kinds(self) -> int:
        """Pairs of numbers of digits."""
        return self.digits**2

    def lengths(self, sequences: int) -> np.ndarray:
        """See `Draw`; the blank counts."""
        i = np.arange(sequences)
        return 3 + i % self.digits + i // self.digits % self.digits

    def image_indices(self, step: int | Array, sequences_B: Array) -> Array:
        """See `Draw`; the blank image has the index `images`."""
        blank_BxL = np.arange(self.max_length)[None] == 1 + sequences_B[:, None] % self.digits
        return jnp.where(blank_BxL, self.images, super().image_indices(step, sequences_B))
