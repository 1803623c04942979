"""Epochs: in which order stored sequences are trained on, a pure function of (seed, epoch).

Sorted by length, the sequences are cut into B bands of equal size, and a step takes one of each, at
random: place i of a batch always has a sequence of band i. So all batches hold much the same
lengths, which lets the lanes be planned once (`packing.py`), and a step has exactly B sequences.
Sequences of one length are shuffled before the bands are cut. Within an epoch none is taken twice;
where B does not divide their number, a few are left out, others each time.
"""

import functools

import numpy as np


class Epochs:
    """The order of training.

    Attributes:
      longest_B: frames of the longest sequence that can stand in each place of a batch.
      steps: steps of an epoch.
    """

    def __init__(self, lengths_M: np.ndarray, batch_size: int, seed: int) -> None:
        """Plan epochs of M sequences of these lengths; at least `batch_size`."""
        count = len(lengths_M)
        assert count >= batch_size, (count, batch_size)
        self.lengths_M, self.seed = lengths_M, seed
        self.borders = np.arange(batch_size + 1) * count // batch_size
        self.longest_B = np.sort(lengths_M)[self.borders[1:] - 1]
        self.steps = count // batch_size
        self._epoch = functools.lru_cache(2)(self._shuffled)  # dispatches may lie in two

    def sequences(self, step: int) -> np.ndarray:
        """Numbers B of the sequences of a step."""
        epoch, step = divmod(step, self.steps)
        return self._epoch(epoch)[step]

    def _shuffled(self, epoch: int) -> np.ndarray:
        """The sequences of all steps of an epoch, steps x B."""
        random = np.random.Philox(key=np.array([self.seed, epoch], np.uint64))
        count = len(self.lengths_M)
        # Raw bits: how NumPy makes other numbers of them may change.
        by_length = np.lexsort((random.random_raw(count), self.lengths_M))
        band = np.repeat(np.arange(len(self.longest_B)), np.diff(self.borders))
        order = by_length[np.lexsort((random.random_raw(count), band))]
        return order[self.borders[:-1][None] + np.arange(self.steps)[:, None]]


def once(lengths_M: np.ndarray, batch_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Each sequence once, in batches of much the same lengths: for evaluation.

    Args:
      lengths_M: of all sequences, at least `batch_size`.
      batch_size: B.

    Returns:
      sequences, batches x B: -1 where the last batch has none; and longest_B, as in `Epochs`.
    """
    by_length = np.argsort(lengths_M, kind="stable")
    count = -(-len(lengths_M) // batch_size)
    borders = np.arange(batch_size + 1) * len(lengths_M) // batch_size
    place = borders[:-1][None] + np.arange(count)[:, None]
    found = by_length[np.minimum(place, len(by_length) - 1)]
    sequences = np.where(place < borders[1:][None], found, -1)
    return sequences, lengths_M[by_length[borders[1:] - 1]]
