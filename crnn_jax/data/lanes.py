"""Lanes: where each frame of each sequence of a batch stands. Time-major, T steps of N lanes."""

import flax.struct
import jax.numpy as jnp
import numpy as np
from jax import Array


@flax.struct.dataclass
class Lanes:
    """The layout of B sequences in N lanes of T steps, several in a lane.

    NumPy arrays where the layout is always the same, arrays of JAX where it follows from lengths
    that are known on the device alone.

    Attributes:
      sequence_TxN: the sequence in the batch that the frame belongs to; -1 where there is none.
      frame_TxN: the frame's index in its sequence; 0 where there is none.
      starts_TxN: bool, the first frame of a sequence.
      ends_TxN: bool, the last frame of a sequence.
      first_B, lane_B, length_B: step of each sequence's first frame, its lane, and its length in
        frames; 0 where the sequence is missing.
      one_each: whether each lane is one sequence from the first step to the last.
    """

    sequence_TxN: Array | np.ndarray
    frame_TxN: Array | np.ndarray
    starts_TxN: Array | np.ndarray
    ends_TxN: Array | np.ndarray
    first_B: Array | np.ndarray
    lane_B: Array | np.ndarray
    length_B: Array | np.ndarray
    one_each: bool = flax.struct.field(pytree_node=False)

    @property
    def count(self) -> int:
        """Number of sequences, missing ones counted."""
        return self.length_B.shape[0]  # in an export it has no value yet

    @property
    def real_TxN(self) -> Array | np.ndarray:
        """True where there is a frame."""
        return self.sequence_TxN >= 0

    @property
    def last_frames(self) -> tuple[Array | np.ndarray, Array | np.ndarray]:
        """Step and lane of the last frame of each sequence: two arrays of length B."""
        return self.first_B + self.length_B - 1, self.lane_B

    def rows(self, x_TxN: Array | np.ndarray, steps: int) -> Array:
        """What the sequences have in the lanes, one a row, B x `steps`.

        What is behind a sequence's end repeats its last frame.
        """
        frame_BxL = jnp.minimum(jnp.arange(steps)[None], self.length_B[:, None] - 1)
        step_BxL = jnp.maximum(self.first_B[:, None] + frame_BxL, 0)  # of missing ones too
        return x_TxN[step_BxL, self.lane_B[:, None]]


def lay_out(lanes: list[list[int]], lengths_B: np.ndarray) -> Lanes:
    """Lay sequences out in lanes.

    Args:
      lanes: the sequences of each lane, in order.
      lengths_B: length of each sequence, in frames.
    """
    steps = max(sum(lengths_B[i] for i in lane) for lane in lanes)
    sequence_TxN = np.full((steps, len(lanes)), -1, np.int32)
    frame_TxN = np.zeros((steps, len(lanes)), np.int32)
    ends_TxN = np.zeros((steps, len(lanes)), bool)
    first_B, lane_B = np.zeros((2, len(lengths_B)), np.int32)
    for n, lane in enumerate(lanes):
        t = 0
        for i in lane:
            length = lengths_B[i]
            first_B[i], lane_B[i] = t, n
            sequence_TxN[t : t + length, n] = i
            frame_TxN[t : t + length, n] = np.arange(length)
            t += length
            ends_TxN[t - 1, n] = True
    starts_TxN = (frame_TxN == 0) & (sequence_TxN >= 0)
    one_each = len(lanes) == len(lengths_B) and bool((lengths_B == steps).all())
    length_B = np.asarray(lengths_B, np.int32)
    return Lanes(sequence_TxN, frame_TxN, starts_TxN, ends_TxN, first_B, lane_B, length_B, one_each)


def padded_lanes(lengths_B: np.ndarray) -> Lanes:
    """One sequence a lane, with nothing behind it: any lengths, but frames that are not real."""
    return lay_out([[i] for i in range(len(lengths_B))], lengths_B)
