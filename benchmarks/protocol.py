"""The work that every system is given: sums of 1..8 digits, with the network of 2016.

Protocol A of mnistCRNN: digits drawn with replacement, sequences padded with black frames to 8.
"""

import dataclasses

import numpy as np

LENGTH = 8
CONVS = ((4, 1, 8), (3, 8, 8))  # (size, input channels, features); the first is pooled
GRUS = ((800, 100), (100, 50))  # (features, units)
LEARNING_RATE = 1e-3
DECAY = 0.9  # of RMSprop
DROPOUT = 0.2  # of the last state
AIM = 1.17  # RMSE that mnistCRNN published


@dataclasses.dataclass(frozen=True)
class Corpus:
    """Images (N, 28, 28) uint8 and labels (N,), in memory."""

    images: np.ndarray
    labels: np.ndarray

    def draw(self, rng: np.random.Generator, batch: int) -> tuple[np.ndarray, ...]:
        """A batch as one draws it: image numbers (B, 8), lengths (B,), sums (B,)."""
        lengths = rng.integers(1, LENGTH + 1, batch)
        chosen = rng.integers(0, len(self.images), (batch, LENGTH))
        real = np.arange(LENGTH) < lengths[:, None]
        return chosen, lengths, (self.labels[chosen] * real).sum(1).astype(np.float32)

    def padded(self, chosen: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """Frames (B, 8, 28, 28) uint8, black behind each sequence's end."""
        real = np.arange(LENGTH) < lengths[:, None]
        return self.images[chosen] * real[..., None, None]

    def first(self, batch: int) -> tuple[np.ndarray, np.ndarray]:
        """Frames of as many sequences of eight as a batch has, and their lengths."""
        chosen = np.arange(batch * LENGTH).reshape(batch, LENGTH)
        return self.images[chosen], np.full(batch, LENGTH)


def least_steps(batch: int) -> int:
    """Steps that all systems make at once: ten of small batches, and no more frames of large ones.

    Args:
      batch: sequences of a step.
    """
    return max(1, min(10, 640 // batch))


def weights(seed: int = 0) -> dict[str, np.ndarray]:
    """Random weights for all systems; GRU kernels hold reset, update and candidate side by side."""
    return random_weights(seed, CONVS, GRUS, {"value": (GRUS[-1][1], 1)})


def random_weights(
    seed: int,
    convs: tuple[tuple[int, int, int], ...],
    grus: tuple[tuple[int, int], ...],
    dense: dict[str, tuple[int, int]],
) -> dict[str, np.ndarray]:
    """Random weights of layers as `CONVS` and `GRUS` describe them, and of dense ones by name."""
    rng = np.random.default_rng(seed)

    def kernel(*shape: int) -> np.ndarray:
        return rng.normal(0, np.prod(shape[:-1]) ** -0.5, shape).astype(np.float32)

    def bias(*shape: int) -> np.ndarray:
        return rng.normal(0, 0.1, shape).astype(np.float32)

    found = {}
    for i, (size, channels, features) in enumerate(convs):
        found[f"conv{i}_kernel"] = kernel(size, size, channels, features)
        found[f"conv{i}_bias"] = bias(features)
    for i, (features, units) in enumerate(grus):
        found[f"gru{i}_input"] = kernel(features, 3 * units)
        found[f"gru{i}_recurrent"] = kernel(units, 3 * units)
        found[f"gru{i}_bias"] = bias(3 * units)
        found[f"gru{i}_candidate_bias"] = bias(units)  # of the state's share of the candidate
    for name, (features, units) in dense.items():
        found[f"{name}_kernel"], found[f"{name}_bias"] = kernel(features, units), bias(units)
    return found
