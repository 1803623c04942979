"""One part of a data set, and the name by which the bytes of all its parts are known."""

import hashlib
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np


class Split(NamedTuple):
    """Images and their labels, in the data set's original order."""

    images_NxHxWxC: np.ndarray  # uint8, C is 1 or 3
    labels_N: np.ndarray  # int32


def without_grey_axis(images_NxHxWxC: np.ndarray) -> np.ndarray:
    """Returns grey images as NxHxW: so they are hashed and stored."""
    return images_NxHxWxC[..., 0] if images_NxHxWxC.shape[-1] == 1 else images_NxHxWxC


def identity(name: str, splits: Mapping[str, Split]) -> str:
    """Returns `name` and 16 hex digits that stand for these images, labels and split borders.

    Args:
      name: name of the data set.
      splits: every split by its name; the order counts.

    Returns:
      For example 'mnist:0123456789abcdef': the start of a SHA-256, the same on every machine.
    """
    digest = hashlib.sha256()
    for split_name, split in splits.items():
        images = without_grey_axis(split.images_NxHxWxC)
        digest.update(f"{split_name}{images.shape}".encode())
        digest.update(np.ascontiguousarray(images))
        digest.update(split.labels_N.astype("<i4"))  # little-endian wherever it runs
    return f"{name}:{digest.hexdigest()[:16]}"
