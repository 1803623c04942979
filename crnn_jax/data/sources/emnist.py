"""EMNIST's letters, from the files that NIST publishes.

NIST publishes no checksum. TFDS pins one of the whole `gzip.zip`, which is used here; of the four
files inside none is known, so where they lie loose, form and numbers are all that is checked.
"""

import dataclasses
import zipfile
from pathlib import Path

import numpy as np

from crnn_jax import UserError
from crnn_jax.data.sources.idx import read_pair
from crnn_jax.data.sources.published import Published
from crnn_jax.data.sources.source import Source
from crnn_jax.data.split import Split, cut

PUBLISHED = Published(
    title="EMNIST",
    url="https://biometrics.nist.gov/cs_links/EMNIST/",
    sha256={"gzip.zip": "fb9bb67e33772a9cc0b895e4ecf36d2cf35be8b709693c3564cea2a019fcda8e"},
    instead=(  # the zip file has them in a folder `gzip/`
        "emnist-letters-train-images-idx3-ubyte.gz",
        "emnist-letters-train-labels-idx1-ubyte.gz",
        "emnist-letters-test-images-idx3-ubyte.gz",
        "emnist-letters-test-labels-idx1-ubyte.gz",
    ),
)
SIZES = {"train": 119_800, "validation": 5_000, "test": 20_800}
_LABELS = range(1, 27)  # NIST's, of A to Z; capitals and small letters are one class


def read(folder: Path) -> dict[str, Split]:
    """Read the four files or, where not all of them lie loose, the zip file.

    The last training images are for validation.

    Returns:
      The splits in original order, in MNIST's form: upright letters, labels 0 (A) to 25 (Z).

    Raises:
      UserError: a file is damaged (see `read_pair`) or has another number of images.
    """
    if PUBLISHED.has_instead(folder):
        return _read_files(folder)
    with zipfile.ZipFile(folder / "gzip.zip") as archive:
        return _read_files(zipfile.Path(archive, "gzip/"))


def _read_files(folder: Path | zipfile.Path) -> dict[str, Split]:
    counts = {"train": SIZES["train"] + SIZES["validation"], "test": SIZES["test"]}
    pairs = []
    for part, count in counts.items():
        images_IxHxW, labels_I = read_pair(folder, f"emnist-letters-{part}", labels=_LABELS)
        if len(labels_I) != count:
            raise UserError(
                f"{folder / f'emnist-letters-{part}-images-idx3-ubyte.gz'}: found "
                f"{len(labels_I):,} images, expected {count:,}; fetch the files anew, they are in "
                f"{PUBLISHED.url}gzip.zip"
            )
        pairs.append((images_IxHxW.swapaxes(1, 2), labels_I - 1))  # stored column by column
    images_IxHxW, labels_I = map(np.concatenate, zip(*pairs, strict=True))
    return cut(images_IxHxW, labels_I, SIZES)


LETTERS = Source(
    classes=tuple("abcdefghijklmnopqrstuvwxyz"),
    frame_shape=(28, 28, 1),
    glyphs=True,
    read=read,
    published=PUBLISHED,
)
LETTERS_A_J = dataclasses.replace(LETTERS, classes=LETTERS.classes[:10], subset_of="emnist/letters")
