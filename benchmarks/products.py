"""How exact a run's products are, pair of digits by pair of digits, on the test images.

python benchmarks/products.py runs/product2 [runs/product2-mse ...]
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np
from rich.console import Console
from rich.table import Table

from crnn_jax import exit_status
from crnn_jax.data.dataset import Dataset
from crnn_jax.data.lanes import padded_lanes
from crnn_jax.runs.load import Restored, dataset_of, restore

DIGITS = 10
PAIRS = 800  # of images for each pair of digits; there are at least 892 test images of each digit


def exactness(restored: Restored, corpus: Dataset) -> np.ndarray:
    """Share of `PAIRS` pairs of test images whose product is answered right, 10x10."""

    @jax.jit
    def answer(frames_TxNxHxWxC: np.ndarray) -> jax.Array:
        lanes = padded_lanes(np.full(PAIRS, 2))
        output = restored.network.apply(restored.params, frames_TxNxHxWxC, lanes)
        return output.answers().answer[-1]

    images_IxHxWxC, labels_I = corpus.test.images_IxHxWxC, corpus.test.labels_I
    rng = np.random.default_rng(0)
    found = np.empty((DIGITS, DIGITS))
    for pair in np.ndindex(found.shape):
        chosen_TxN = [rng.permutation(np.flatnonzero(labels_I == digit))[:PAIRS] for digit in pair]
        product = pair[0] * pair[1]
        found[pair] = np.mean(answer(images_IxHxWxC[np.stack(chosen_TxN)]) == product)
    return found


def main(workdirs: Sequence[str]) -> None:
    """Print a table for each run, the first digit down and the second across."""
    for workdir in workdirs:
        restored = restore(Path(workdir))
        corpus = dataset_of(restored, restored.config, Path(workdir))
        table = Table("", *map(str, range(DIGITS)), padding=0, title=f"{workdir}: exact")
        for digit, row in enumerate(exactness(restored, corpus)):
            table.add_row(str(digit), *(f"{share:.3f}".removeprefix("0") for share in row))
        Console().print(table)


if __name__ == "__main__":
    sys.exit(exit_status(main, sys.argv[1:]))
