"""Data sets: what is known of one, finding one or its stand-in, and reading it at every start."""

import dataclasses
from pathlib import Path
from typing import Any, Literal

from absl import logging

from crnn_jax import UserError, user_path
from crnn_jax.data.sources import SOURCES
from crnn_jax.data.sources.download import DownloadError
from crnn_jax.data.split import Split, identity

__all__ = ["Dataset", "DatasetInfo", "Split", "known_info", "load_dataset"]


@dataclasses.dataclass(frozen=True)
class DatasetInfo:
    """All that a trained network must know of its data.

    Attributes:
      name: of its source, such as 'mnist'.
      identity: the name and the start of a SHA-256 over all images and labels.
      frame_shape: height, width and channels of the images.
      classes: what people call the labels 0, 1, …
      glyphs: whether images show bright ink on black, centred as in MNIST; pictures that people
        bring are put into that form.
      kind: what a sample is.
    """

    name: str
    identity: str
    frame_shape: tuple[int, int, int]
    classes: tuple[str, ...]
    glyphs: bool
    kind: Literal["labelled_images", "stored_sequences"] = "labelled_images"

    def to_json(self) -> dict[str, Any]:
        """Returns what JSON can hold."""
        fields = dataclasses.asdict(self)
        return {name: list(x) if isinstance(x, tuple) else x for name, x in fields.items()}

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> "DatasetInfo":
        """Reads what `to_json` wrote; raises TypeError or KeyError for anything else."""
        shape, classes = tuple(stored["frame_shape"]), tuple(stored["classes"])
        return cls(**{**stored, "frame_shape": shape, "classes": classes})


@dataclasses.dataclass(frozen=True)
class Dataset:
    """Images and labels in memory, and what is known of them."""

    info: DatasetInfo
    train: Split
    validation: Split  # never trained on
    test: Split

    @property
    def identity(self) -> str:
        """See `DatasetInfo`."""
        return self.info.identity


def known_info(identity: str) -> DatasetInfo:
    """Returns what is known of a data set of which a run recorded the identity alone.

    Raises:
      UserError: this program has no such source.
    """
    name = identity.partition(":")[0]
    if name not in SOURCES:
        raise UserError(
            f"the data set {identity} is unknown to this version, expected one of "
            f"{', '.join(SOURCES)}"
        )
    source = SOURCES[name]
    return DatasetInfo(name, identity, source.frame_shape, source.classes, source.glyphs)


def load_dataset(name: str, *, data_dir: str, manual_dir: str, fallback: bool) -> Dataset:
    """Loads a data set, preparing it in `data_dir` the first time.

    MNIST and EMNIST are looked for in `data_dir`, where they were prepared before; then in
    `manual_dir`, if that is not empty; then on the network.

    Args:
      name: one of `SOURCES`.
      data_dir: the folder for prepared data; is made, `~` is expanded.
      manual_dir: the folder with the published files, or '' to download them.
      fallback: whether 'optdigits' stands in, with a warning, where MNIST cannot be downloaded.

    Returns:
      The data set in original order.

    Raises:
      UserError: `name` is unknown, `data_dir` cannot be written, `manual_dir` lacks a file or
        has a damaged one, the prepared data is damaged, or it cannot be downloaded and nothing
        stands in.
    """
    if name not in SOURCES:
        raise UserError(
            f"unknown corpus {name!r}, expected one of {', '.join(SOURCES)}; "
            "give for example --config.data.corpus=mnist"
        )
    folder = user_path(data_dir)
    try:
        return _load(name, folder, manual_dir)
    except DownloadError as error:
        published = SOURCES[name].published
        reason = (
            f"{published.title} could not be had: it is not in {folder}, no folder with its "
            f"{published.files} is given, and the download failed ({error})"
        )
        remedy = f"put its {published.files} into a folder and give --config.data.manual_dir=FOLDER"
        if name != "mnist":
            raise UserError(f"{reason}; {remedy}") from error
        if not fallback:
            raise UserError(f"{reason}; {remedy}, or allow --config.data.fallback") from error
        logging.warning("%s. GOING ON WITH optdigits INSTEAD. For MNIST, %s.", reason, remedy)
        return _load("optdigits", folder, manual_dir)


def _load(name: str, data_dir: Path, manual_dir: str) -> Dataset:
    from crnn_jax.data import store  # imports TFDS, 0.5 s: not for whoever needs the types

    source = SOURCES[name]
    stored = source.subset_of or name
    splits, found = store.load_splits(stored, data_dir=data_dir, manual_dir=manual_dir)
    if source.subset_of:
        splits = {part: _first_classes(x, len(source.classes)) for part, x in splits.items()}
        found = identity(name, splits)
    return Dataset(known_info(found), **splits)


def _first_classes(split: Split, count: int) -> Split:
    chosen_N = split.labels_N < count
    return Split(split.images_NxHxWxC[chosen_N], split.labels_N[chosen_N])
