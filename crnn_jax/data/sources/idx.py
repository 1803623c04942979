"""Reading gzipped IDX files, the form of MNIST and EMNIST, without trusting them."""

import gzip
import math
import zipfile
import zlib
from pathlib import Path

import numpy as np

from crnn_jax import UserError

_LARGEST_BYTES = 2**27  # a third more than EMNIST's largest file
_CHUNK_BYTES = 2**20


def read_pair(
    folder: Path | zipfile.Path, prefix: str, *, labels: range
) -> tuple[np.ndarray, np.ndarray]:
    """Read `{prefix}-images-idx3-ubyte.gz` and `{prefix}-labels-idx1-ubyte.gz` of a folder.

    Returns:
      images_IxHxW of 28×28 and labels_I, uint8, in original order.

    Raises:
      UserError: a file is damaged (see `read_idx`), the images are not 28×28, there are not as
        many labels as images, or a label is not among `labels`.
    """
    images_path = folder / f"{prefix}-images-idx3-ubyte.gz"
    labels_path = folder / f"{prefix}-labels-idx1-ubyte.gz"
    images_IxHxW, labels_I = read_idx(images_path, ndim=3), read_idx(labels_path, ndim=1)
    count, height, width = images_IxHxW.shape
    if (height, width) != (28, 28):
        raise UserError(f"{images_path}: found images of {height}×{width}, expected 28×28")
    if count != len(labels_I):
        raise UserError(
            f"{labels_path}: found {len(labels_I):,} labels, expected {count:,}: one for each "
            f"image in {images_path.name}"
        )
    if wrong := np.flatnonzero(~np.isin(labels_I, labels)).tolist():
        raise UserError(
            f"{labels_path}: found label {labels_I[wrong[0]]} at index {wrong[0]:,}, expected "
            f"{labels[0]}..{labels[-1]}"
        )
    return images_IxHxW, labels_I


def read_idx(path: Path | zipfile.Path, ndim: int) -> np.ndarray:
    """Read one gzipped IDX file of unsigned bytes with `ndim` axes: 3 for images, 1 for labels.

    No more is inflated than the header promises and one byte, and no memory is taken ahead of
    the bytes that are really there.

    Raises:
      UserError: the file cannot be read, is no gzip, is cut off or damaged, is no IDX file of
        unsigned bytes and `ndim` axes, or does not hold as many bytes as its header promises.
    """
    magic, size = bytes([0, 0, 0x08, ndim]), 4 + 4 * ndim  # 0x08 stands for unsigned bytes
    try:
        with path.open("rb") as compressed, gzip.open(compressed) as file:
            header = file.read(size)
            if len(header) < size or header[:4] != magic:
                raise UserError(
                    f"{path}: starts with 0x{header.hex()}, expected {size} bytes from "
                    f"0x{magic.hex()} on (IDX, {ndim} axes); is it the right file under this name?"
                )
            shape = np.frombuffer(header, ">u4", offset=4).tolist()
            promised = math.prod(shape)
            # Even beside a 0, sizes must be such that NumPy can take them.
            if math.prod(max(size, 1) for size in shape) > _LARGEST_BYTES:
                raise UserError(
                    f"{path}: the header promises {shape} bytes, expected at most "
                    f"{_LARGEST_BYTES:,}; fetch the file anew"
                )
            content = bytearray()  # `file.read(promised)` would take all that memory at once
            while chunk := file.read(min(_CHUNK_BYTES, promised + 1 - len(content))):
                content += chunk
    except (EOFError, zlib.error, OSError) as error:  # gzip.BadGzipFile is an OSError
        raise UserError(
            f"{path}: not a whole gzip file ({error}), expected gzipped IDX; fetch the file anew"
        ) from error
    if len(content) != promised:
        found = "more" if len(content) > promised else f"{len(content):,}"
        raise UserError(
            f"{path}: found {found} bytes after the header, expected {shape} = {promised:,}; "
            "fetch the file anew"
        )
    return np.frombuffer(content, np.uint8).reshape(shape)
