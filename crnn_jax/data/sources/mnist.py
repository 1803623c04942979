"""MNIST: 70,000 handwritten digits in four official files."""

import dataclasses
from pathlib import Path

import numpy as np

from crnn_jax.data.sources.idx import read_pair
from crnn_jax.data.sources.published import Published
from crnn_jax.data.sources.source import DIGITS, Source
from crnn_jax.data.split import Split, cut

PUBLISHED = Published(
    title="MNIST",
    # The mirror of yann.lecun.com/exdb/mnist from which TFDS's own builder downloads.
    url="https://storage.googleapis.com/cvdf-datasets/mnist/",
    sha256={
        "train-images-idx3-ubyte.gz": (
            "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"
        ),
        "train-labels-idx1-ubyte.gz": (
            "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"
        ),
        "t10k-images-idx3-ubyte.gz": (
            "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"
        ),
        "t10k-labels-idx1-ubyte.gz": (
            "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"
        ),
    },
)


def read(folder: Path) -> dict[str, Split]:
    """Read the four files; the last 5,000 training images are for validation.

    Raises:
      UserError: a file is damaged, see `read_pair`.
    """
    pairs = [read_pair(folder, prefix, labels=range(10)) for prefix in ("train", "t10k")]
    images_IxHxW, labels_I = map(np.concatenate, zip(*pairs, strict=True))
    return cut(images_IxHxW, labels_I, {"train": 55_000, "validation": 5_000, "test": 10_000})


MNIST = Source(DIGITS, frame_shape=(28, 28, 1), glyphs=True, read=read, published=PUBLISHED)

MNIST_1_9 = dataclasses.replace(MNIST, subset_of="mnist", first=1)
"""Without zeros, with which most long products would be 0."""
