"""Stored sequences: one part of a data set of clips, or of single images, each with its answer."""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np


@dataclasses.dataclass(frozen=True)
class Sequences:
    """One part of a data set: what is known of each of B sequences, and how to read its frames.

    Attributes:
      lengths_B: int32, frames of each sequence.
      answers: the right answers. int32 B, indices of classes; float32 B, numbers; float32 F,
        numbers for every frame, of all sequences one behind the other; or B strings.
      frame_shape: height, width and channels of all frames.
      names: the sequences' names, as messages say them.
      read: gives the frames of the sequences of these numbers: uint8 LxHxWxC each. Threads may
        call it at once.
    """

    lengths_B: np.ndarray
    answers: np.ndarray
    frame_shape: tuple[int, int, int]
    names: tuple[str, ...]
    read: Callable[[Sequence[int]], list[np.ndarray]]

    def __len__(self) -> int:
        """Number of sequences."""
        return len(self.lengths_B)

    @property
    def offsets_B(self) -> np.ndarray:
        """int64, the first frame of each sequence among the frames of all."""
        return np.cumsum(self.lengths_B, dtype=np.int64) - self.lengths_B

    def frames(self) -> np.ndarray:
        """All frames FxHxWxC, one sequence behind the other."""
        return np.concatenate(self.read(range(len(self))))
