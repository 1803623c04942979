"""One part of a data set, and the name by which the bytes of all its parts are known."""

import hashlib
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np


class Split(NamedTuple):
    """Images and their labels, in the data set's original order."""

    images_IxHxWxC: np.ndarray  # uint8, C is 1 or 3
    labels_I: np.ndarray  # int32

    def classes(self, first: int, count: int) -> "Split":
        """Return the images with labels of at least `first` and below `count`."""
        chosen_I = (first <= self.labels_I) & (self.labels_I < count)
        return Split(self.images_IxHxWxC[chosen_I], self.labels_I[chosen_I])


def cut(images: np.ndarray, labels_I: np.ndarray, sizes: Mapping[str, int]) -> dict[str, Split]:
    """Return splits of these sizes, one behind the other.

    Args:
      images: uint8 NxHxWxC, or NxHxW where they are grey.
      labels_I: of any integer type.
      sizes: images of each split; together they are all.
    """
    assert len(images) == len(labels_I) == sum(sizes.values())
    images_IxHxWxC = images[..., None] if images.ndim == 3 else images
    borders = np.cumsum(list(sizes.values()))[:-1]
    parts = zip(
        np.split(images_IxHxWxC, borders), np.split(labels_I.astype(np.int32), borders), strict=True
    )
    return {name: Split(*part) for name, part in zip(sizes, parts, strict=True)}


def drop_grey_axis(images_IxHxWxC: np.ndarray) -> np.ndarray:
    """Return grey images as NxHxW, the form in which they are hashed and stored."""
    return images_IxHxWxC[..., 0] if images_IxHxWxC.shape[-1] == 1 else images_IxHxWxC


def identity(name: str, splits: Mapping[str, Split]) -> str:
    """Return `name` and 16 hex digits that stand for these images, labels and split borders.

    Args:
      name: name of the data set.
      splits: every split by its name; the order counts.

    Returns:
      For example 'mnist:0123456789abcdef': the start of a SHA-256, the same on every machine.
    """
    digest = hashlib.sha256()
    for split_name, split in splits.items():
        images = drop_grey_axis(split.images_IxHxWxC)
        digest.update(f"{split_name}{images.shape}".encode())
        digest.update(np.ascontiguousarray(images).data)
        digest.update(split.labels_I.astype("<i4").data)  # little-endian on every machine
    return f"{name}:{digest.hexdigest()[:16]}"
