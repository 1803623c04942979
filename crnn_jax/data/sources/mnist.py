"""The four official files of MNIST: what they must be, reading and downloading them."""

import hashlib
import os
from pathlib import Path

from absl import logging

from crnn_jax import UserError
from crnn_jax.data.sources.download import DownloadError, check_sha256, download
from crnn_jax.data.sources.idx import read_pair
from crnn_jax.data.sources.source import DIGITS, Published, Source
from crnn_jax.data.split import Split

# The mirror of yann.lecun.com/exdb/mnist from which TFDS's own builder downloads.
URL = "https://storage.googleapis.com/cvdf-datasets/mnist/"

SHA256 = {
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
}

_VALIDATION_IMAGES = 5_000  # the last of the training images, never trained on
_LABELS = range(10)


def read_splits(folder: Path) -> dict[str, Split]:
    """Reads and checks the four official files.

    Args:
      folder: holds the four files.

    Returns:
      'train' (55,000 images), 'validation' (5,000) and 'test' (10,000), in original order.

    Raises:
      UserError: a file is missing, damaged or not the official one: see `read_pair` and
        `check_sha256`.
    """
    training = read_pair(folder, "train", labels=_LABELS)
    test = read_pair(folder, "t10k", labels=_LABELS)
    for name, expected in SHA256.items():
        check_sha256(folder / name, expected, corpus="MNIST", url=URL + name)
    return {
        "train": Split(*(array[:-_VALIDATION_IMAGES] for array in training)),
        "validation": Split(*(array[-_VALIDATION_IMAGES:] for array in training)),
        "test": test,
    }


def check_folder(folder: Path) -> None:
    """Checks that all four files are there; their content is not looked at.

    Raises:
      UserError: names the folder and the missing files.
    """
    if not os.path.isdir(folder):  # not `folder.is_dir`, which raises for names too long
        raise UserError(
            f"{folder}: no such folder, expected one with {', '.join(SHA256)}; "
            "correct --config.data.manual_dir or leave it empty to download MNIST"
        )
    if missing := [name for name in SHA256 if not os.path.exists(folder / name)]:
        raise UserError(
            f"{folder}: no {', '.join(missing)}; put the missing MNIST files there, or leave "
            "--config.data.manual_dir empty to download MNIST"
        )


def download_files(folder: Path) -> None:
    """Downloads the four official files into `folder`, which must exist.

    Raises:
      DownloadError: they cannot be had (see `download`), or what came is not the official file.
        Nothing is written then.
    """
    logging.info("Downloading MNIST, 12 MB, from %s", URL)
    contents = download([URL + name for name in SHA256])
    for (name, expected), content in zip(SHA256.items(), contents, strict=True):
        if hashlib.sha256(content).hexdigest() != expected:
            raise DownloadError(f"{URL}{name} is not the official file ({len(content):,} bytes)")
    for name, content in zip(SHA256, contents, strict=True):
        (folder / name).write_bytes(content)


MNIST = Source(
    classes=DIGITS,
    frame_shape=(28, 28, 1),
    glyphs=True,
    read=lambda folder: read_splits(folder),
    published=Published("MNIST", "four files", check_folder, lambda folder: download_files(folder)),
)
