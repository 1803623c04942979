"""EMNIST's letters: the files that NIST publishes, finding, reading and downloading them.

NIST itself publishes no checksum. TFDS pins one of the whole `gzip.zip`, which is used here; of
the four files in it none is known, so where they lie loose, form and numbers are all that is
checked.
"""

import dataclasses
import os
import zipfile
from pathlib import Path

import numpy as np

from crnn_jax import UserError
from crnn_jax.data.sources.download import check_sha256, download_file
from crnn_jax.data.sources.idx import read_pair
from crnn_jax.data.sources.source import Published, Source
from crnn_jax.data.split import Split

URL = "https://biometrics.nist.gov/cs_links/EMNIST/gzip.zip"
ZIP = "gzip.zip"
ZIP_BYTES = 561_753_746
ZIP_SHA256 = "fb9bb67e33772a9cc0b895e4ecf36d2cf35be8b709693c3564cea2a019fcda8e"

FILES = (  # of which `ZIP` has a folder `gzip/`
    "emnist-letters-train-images-idx3-ubyte.gz",
    "emnist-letters-train-labels-idx1-ubyte.gz",
    "emnist-letters-test-images-idx3-ubyte.gz",
    "emnist-letters-test-labels-idx1-ubyte.gz",
)
TRAINING_IMAGES, TEST_IMAGES = 124_800, 20_800

_VALIDATION_IMAGES = 5_000  # the last of the training images, never trained on
_LABELS = range(1, 27)  # NIST's, of A to Z; capitals and small letters are one class


def read_splits(folder: Path) -> dict[str, Split]:
    """Reads and checks the four files, or the zip file where they do not all lie loose.

    Nothing in a zip file is looked at before its checksum is found right, so it needs no other
    check, of the sizes in its directory for one.

    Args:
      folder: holds the four files or `gzip.zip`.

    Returns:
      'train' (119,800 images), 'validation' (5,000) and 'test' (20,800), see `read_files`.

    Raises:
      UserError: a file is missing or damaged (see `read_files`), or the zip file is not the
        official one.
    """
    if not _missing(folder):
        return read_files(folder, training_images=TRAINING_IMAGES, test_images=TEST_IMAGES)
    check_sha256(folder / ZIP, ZIP_SHA256, corpus="EMNIST", url=URL)
    with zipfile.ZipFile(folder / ZIP) as archive:
        inside = zipfile.Path(archive, "gzip/")
        return read_files(inside, training_images=TRAINING_IMAGES, test_images=TEST_IMAGES)


def read_files(
    folder: Path | zipfile.Path, *, training_images: int, test_images: int
) -> dict[str, Split]:
    """Reads the four files, brought into MNIST's form: upright letters, labels from 0.

    Args:
      folder: holds the four files.
      training_images: how many there must be.
      test_images: likewise.

    Returns:
      'train', 'validation' (the last 5,000 of the training images; of fewer than 50,000 the last
      tenth) and 'test', in original order: images of 28×28, labels 0 (A) to 25 (Z).

    Raises:
      UserError: a file is damaged (see `read_pair`) or has another number of images.
    """
    training = _read_pair(folder, "emnist-letters-train", training_images)
    test = _read_pair(folder, "emnist-letters-test", test_images)
    border = training_images - min(_VALIDATION_IMAGES, training_images // 10)
    return {
        "train": Split(*(array[:border] for array in training)),
        "validation": Split(*(array[border:] for array in training)),
        "test": test,
    }


def check_folder(folder: Path) -> None:
    """Checks that the four files or the zip file are there; their content is not looked at.

    Raises:
      UserError: names the folder and what is missing.
    """
    remedy = "or leave --config.data.manual_dir empty to download EMNIST"
    if not os.path.isdir(folder):  # not `folder.is_dir`, which raises for names too long
        raise UserError(
            f"{folder}: no such folder, expected one with {ZIP} or {', '.join(FILES)}; "
            f"correct --config.data.manual_dir {remedy}"
        )
    if (missing := _missing(folder)) and not os.path.exists(folder / ZIP):
        raise UserError(
            f"{folder}: neither {ZIP} nor {', '.join(missing)}; put {ZIP} from {URL} or the "
            f"missing files there, {remedy}"
        )


def download_files(folder: Path) -> None:
    """Downloads the zip file into `folder`, which must exist.

    Raises:
      DownloadError: it cannot be had, or what came is not the official file (see
        `download_file`). Nothing is written then.
      OSError: `folder` cannot be written.
    """
    download_file(URL, folder / ZIP, size=ZIP_BYTES, sha256=ZIP_SHA256)


def _missing(folder: Path) -> list[str]:
    return [name for name in FILES if not os.path.exists(folder / name)]


def _read_pair(folder: Path | zipfile.Path, prefix: str, images: int) -> Split:
    stored = read_pair(folder, prefix, labels=_LABELS)
    if len(stored.labels_N) != images:
        raise UserError(
            f"{folder / prefix}-images-idx3-ubyte.gz: found {len(stored.labels_N):,} images, "
            f"expected {images:,}; fetch the files anew, they are in {URL}"
        )
    upright_NxHxWxC = stored.images_NxHxWxC.swapaxes(1, 2)  # stored column by column
    return Split(np.ascontiguousarray(upright_NxHxWxC), stored.labels_N - _LABELS.start)


LETTERS = Source(
    classes=tuple("abcdefghijklmnopqrstuvwxyz"),
    frame_shape=(28, 28, 1),
    glyphs=True,
    read=lambda folder: read_splits(folder),
    published=Published("EMNIST", ZIP, check_folder, lambda folder: download_files(folder)),
)
LETTERS_A_J = dataclasses.replace(LETTERS, classes=LETTERS.classes[:10], subset_of="emnist/letters")
