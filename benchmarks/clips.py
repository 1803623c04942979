"""The work on clips: what a digit does, in 5 to 60 frames of 40x40, is one of 13 classes.

Over time, two GRUs and dropout as in Keras's example "Video Classification with a CNN-RNN
Architecture"; a small CNN, trained with them, stands where the example has a pretrained one.
"""

import dataclasses
from pathlib import Path
from typing import Self

import numpy as np

from benchmarks import protocol

BATCH = 32
COUNT = 1000
SHORTEST, LONGEST = 5, 60
SIZE, CLASSES = 40, 13
CONVS = ((5, 1, 16), (3, 16, 32), (3, 32, 64))  # (size, input channels, features); all are pooled
GRUS = ((3 * 3 * 64, 16), (16, 8))  # (features, units)
DROPOUT = 0.4  # of the last state
LEARNING_RATE = 1e-3  # of Adam
LEAST_STEPS = 2  # that all systems make at once


@dataclasses.dataclass(frozen=True)
class Corpus:
    """Frames (F, 40, 40) uint8 of N clips one behind the other, lengths (N,), classes (N,)."""

    frames: np.ndarray
    lengths: np.ndarray
    answers: np.ndarray

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read what `write` wrote."""
        names = (field.name for field in dataclasses.fields(cls))
        return cls(*(np.load(folder / f"{name}.npy") for name in names))

    def write(self, folder: Path) -> None:
        """Write an .npy file of each array."""
        for field in dataclasses.fields(self):
            np.save(folder / f"{field.name}.npy", getattr(self, field.name))

    @property
    def offsets(self) -> np.ndarray:
        """The first frame of each clip."""
        return np.cumsum(self.lengths) - self.lengths

    def clips(self, chosen: np.ndarray) -> list[np.ndarray]:
        """The frames of these clips."""
        ends = self.offsets[chosen] + self.lengths[chosen]
        return [self.frames[a:b] for a, b in zip(self.offsets[chosen], ends, strict=True)]

    def padded(self, chosen: np.ndarray, longest: int) -> np.ndarray:
        """Frames (B, longest, 40, 40) uint8, black behind each clip's end."""
        found = np.zeros((len(chosen), longest, *self.frames.shape[1:]), np.uint8)
        for row, clip in zip(found, self.clips(chosen), strict=True):
            row[: len(clip)] = clip
        return found

    def first(self, batch: int) -> tuple[np.ndarray, np.ndarray]:
        """Padded frames and lengths of the first clips."""
        return self.padded(np.arange(batch), LONGEST), self.lengths[:batch]


def weights(seed: int = 0) -> dict[str, np.ndarray]:
    """See `protocol.weights`."""
    return protocol.random_weights(seed, CONVS, GRUS, {"class": (GRUS[-1][1], CLASSES)})
