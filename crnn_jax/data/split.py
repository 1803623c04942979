"""One part of a corpus, and the name by which the bytes of all its parts are known."""

import hashlib
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np


class Split(NamedTuple):
    """Images and their labels, in the corpus's original order."""

    images_NxHxW: np.ndarray  # uint8
    labels_N: np.ndarray  # int32


def identity(name: str, splits: Mapping[str, Split]) -> str:
    """Returns `name` and 16 hex digits that stand for these images, labels and split borders.

    Args:
      name: name of the corpus.
      splits: every split by its name; the order counts.

    Returns:
      For example 'mnist:0123456789abcdef': the start of a SHA-256, the same on every machine.
    """
    digest = hashlib.sha256()
    for split_name, split in splits.items():
        digest.update(f"{split_name}{split.images_NxHxW.shape}".encode())
        digest.update(np.ascontiguousarray(split.images_NxHxW))
        digest.update(split.labels_N.astype("<i4"))  # little-endian wherever it runs
    return f"{name}:{digest.hexdigest()[:16]}"
