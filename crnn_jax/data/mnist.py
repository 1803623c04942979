"""The four official files of MNIST: what they must be, reading and downloading them."""

import hashlib
from pathlib import Path

import numpy as np
from absl import logging

from crnn_jax.data.download import DownloadError, download
from crnn_jax.data.idx import read_idx
from crnn_jax.data.split import Split
from crnn_jax.errors import UserError

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
_IMAGE_SHAPE = (28, 28)
_NUM_CLASSES = 10


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
    training = read_pair(folder, "train")
    test = read_pair(folder, "t10k")
    for name, expected in SHA256.items():
        check_sha256(folder / name, expected)
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
    if not folder.is_dir():
        raise UserError(
            f"{folder}: no such folder, expected one with {', '.join(SHA256)}; "
            "correct --config.data.manual_dir or leave it empty to download MNIST"
        )
    if missing := [name for name in SHA256 if not (folder / name).exists()]:
        raise UserError(
            f"{folder}: no {', '.join(missing)}; put the missing MNIST files there, or leave "
            "--config.data.manual_dir empty to download MNIST"
        )


def read_pair(folder: Path, prefix: str) -> Split:
    """Reads one pair of image and label files and checks that they fit each other.

    Args:
      folder: holds `{prefix}-images-idx3-ubyte.gz` and `{prefix}-labels-idx1-ubyte.gz`.
      prefix: 'train' or 't10k'.

    Returns:
      The images (28×28) and labels (0..9) in original order.

    Raises:
      UserError: a file is damaged (see `read_idx`), the images are not 28×28, there are not as
        many labels as images, or a label is above 9.
    """
    images_path = folder / f"{prefix}-images-idx3-ubyte.gz"
    labels_path = folder / f"{prefix}-labels-idx1-ubyte.gz"
    images_NxHxW = read_idx(images_path, ndim=3)
    labels_N = read_idx(labels_path, ndim=1)
    if images_NxHxW.shape[1:] != _IMAGE_SHAPE:
        height, width = images_NxHxW.shape[1:]
        raise UserError(f"{images_path}: found images of {height}×{width}, expected 28×28")
    if len(images_NxHxW) != len(labels_N):
        raise UserError(
            f"{labels_path}: found {len(labels_N):,} labels, expected {len(images_NxHxW):,}: one "
            f"for each image in {images_path.name}"
        )
    if wrong := np.flatnonzero(labels_N >= _NUM_CLASSES).tolist():
        raise UserError(
            f"{labels_path}: found label {labels_N[wrong[0]]} at index {wrong[0]:,}, expected 0..9"
        )
    return Split(images_NxHxW, labels_N.astype(np.int32))


def check_sha256(path: Path, expected: str) -> None:
    """Checks that a file is the official one, byte for byte.

    Raises:
      UserError: names the file, the SHA-256 found and the one expected.
    """
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != expected:
        raise UserError(
            f"{path}: SHA-256 {found}, expected {expected}: not the official MNIST file; "
            f"fetch it anew, for example from {URL}{path.name}"
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
