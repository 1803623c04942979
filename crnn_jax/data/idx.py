"""Reading gzipped IDX files, the format in which MNIST is published, without trusting them."""

import gzip
import math
import zlib
from pathlib import Path

import numpy as np

from crnn_jax.errors import UserError

_LARGEST_BYTES = 2**30  # twenty times MNIST's largest file
_CHUNK_BYTES = 2**20
_UINT8 = 0x08  # the type code in an IDX magic number


def read_idx(path: Path, ndim: int) -> np.ndarray:
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
        with gzip.open(path) as file:
            shape = _read_header(file, path, ndim)
            promised = math.prod(shape)
            if promised > _LARGEST_BYTES:
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
    return np.frombuffer(bytes(payload), np.uint8).reshape(shape)


def _read_header(file: gzip.GzipFile, path: Path, ndim: int) -> tuple[int, ...]:
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
