"""Reading gzipped IDX files, the form of MNIST and EMNIST, without trusting them."""

import gzip
import math
import zipfile
import zlib
from pathlib import Path

import numpy as np

from crnn_jax import UserError
from crnn_jax.data.split import Split

_LARGEST_BYTES = 2**27  # a third more than EMNIST's largest file
_CHUNK_BYTES = 2**20
_UINT8 = 0x08  # the type code in an IDX magic number
_IMAGE_SHAPE = (28, 28)


def read_pair(folder: Path | zipfile.Path, prefix: str, *, labels: range) -> Split:
    """Reads one pair of image and label files and checks that they fit each other.

    Args:
      folder: holds `{prefix}-images-idx3-ubyte.gz` and `{prefix}-labels-idx1-ubyte.gz`.
      prefix: 'train', say.
      labels: the labels that may occur.

    Returns:
      The images (28×28) and labels in original order.

    Raises:
      UserError: a file is damaged (see `read_idx`), the images are not 28×28, there are not as
        many labels as images, or a label is not among `labels`.
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
    if wrong := np.flatnonzero(~np.isin(labels_N, labels)).tolist():
        raise UserError(
            f"{labels_path}: found label {labels_N[wrong[0]]} at index {wrong[0]:,}, expected "
            f"{labels[0]}..{labels[-1]}"
        )
    return Split(images_NxHxW[..., None], labels_N.astype(np.int32))


def read_idx(path: Path | zipfile.Path, ndim: int) -> np.ndarray:
    """Reads one IDX file of unsigned bytes.

    No more is inflated than the header promises and one byte, and no memory is taken ahead of
    the bytes that are really there.

    Args:
      path: a gzipped IDX file.
      ndim: number of axes it must have: 3 for images, 1 for labels.

    Returns:
      A read-only uint8 array of `ndim` axes.

    Raises:
      UserError: the file cannot be read, is no gzip, is cut off or damaged, is no IDX file of
        unsigned bytes and `ndim` axes, or does not hold as many bytes as its header promises.
    """
    try:
        with path.open("rb") as compressed, gzip.open(compressed) as file:
            shape = _read_header(file, path, ndim)
            promised = math.prod(shape)
            # Beside a 0, too, sizes must be such that NumPy can take them.
            if math.prod(max(size, 1) for size in shape) > _LARGEST_BYTES:
                raise UserError(
                    f"{path}: the header promises {_times(shape)} bytes, expected at most "
                    f"{_LARGEST_BYTES:,}; fetch the file anew"
                )
            payload = _read_at_most(file, promised + 1)
    except (EOFError, zlib.error, OSError) as error:  # gzip.BadGzipFile is an OSError
        raise UserError(
            f"{path}: not a whole gzip file ({error}), expected gzipped IDX; fetch the file anew"
        ) from error
    if len(payload) != promised:
        found = "more" if len(payload) > promised else f"{len(payload):,}"
        raise UserError(
            f"{path}: found {found} bytes after the header, expected {_times(shape)} = "
            f"{promised:,}; fetch the file anew"
        )
    return np.frombuffer(payload, np.uint8).reshape(shape)


def _read_header(file: gzip.GzipFile, path: Path | zipfile.Path, ndim: int) -> tuple[int, ...]:
    expected = bytes([0, 0, _UINT8, ndim])
    size = 4 + 4 * ndim
    header = _read_at_most(file, size)
    if len(header) < size:
        raise UserError(
            f"{path}: ends after {len(header)} bytes, expected an IDX header of {size}; "
            "fetch the file anew"
        )
    if header[:4] != expected:
        raise UserError(
            f"{path}: starts with 0x{header[:4].hex()}, expected the IDX magic number "
            f"0x{expected.hex()} (bytes, {ndim} axes); is it the right file under this name?"
        )
    return tuple(int(size) for size in np.frombuffer(header, ">u4", offset=4))


def _read_at_most(file: gzip.GzipFile, size: int) -> bytes:
    """Grows with what is found: `file.read(size)` would take `size` bytes at once."""
    found = bytearray()
    while chunk := file.read(min(_CHUNK_BYTES, size - len(found))):
        found += chunk
    return bytes(found)


def _times(shape: tuple[int, ...]) -> str:
    return " × ".join(f"{size:,}" for size in shape)
