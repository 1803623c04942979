"""Data sets: what is known of one, finding one or its stand-in, and reading it at every start."""

import dataclasses
from typing import Any, Literal

from crnn_jax import UserError, say, user_path
from crnn_jax.data.form import Form
from crnn_jax.data.sources import SOURCES
from crnn_jax.data.sources.listing import PARTS
from crnn_jax.data.sources.published import DownloadError
from crnn_jax.data.split import Split, identity

__all__ = ["STAND_INS", "Dataset", "DatasetInfo", "Split", "known_info", "load_dataset"]

STAND_INS = ("mnist-5k", "optdigits")
"""What stands in for MNIST: the first one; the other did so for runs of earlier versions."""


@dataclasses.dataclass(frozen=True)
class DatasetInfo:
    """All that a trained network must know of its data."""

    name: str  # of its source, such as 'mnist'
    identity: str  # the name and the start of a SHA-256 over all images and labels
    frame_shape: tuple[int, int, int]  # height, width and channels of the images
    classes: tuple[str, ...]  # what people call the labels 0, 1, …; () where answers are no classes
    glyphs: bool  # bright ink on black, centred as in MNIST: pictures are put into that form
    # Of stored sequences, whose answers are given; "label": sequences are composed of images.
    answer: Literal["label", "class", "number", "numbers", "text"] = "label"
    form: Form | None = None  # how frames were made of files
    longest: int = 1  # frames of the longest sequence
    counts: tuple[int, ...] = ()  # training sequences of each class
    mean: float = 0.0  # of the numbers that are training answers
    deviation: float = 1.0  # their standard deviation; 1 where they are all the same
    vocabulary: tuple[str, ...] = ()  # words or characters of training answers, then END
    symbols: int = 0  # of the longest training answer, END counted

    def to_json(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        fields = dataclasses.asdict(self)
        return {n: list(x) if isinstance(x, tuple) else x for n, x in fields.items()}

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> "DatasetInfo":
        """Read what `to_json` wrote; raises KeyError or TypeError for anything else."""
        form = stored.get("form")
        lists = {name: tuple(value) for name, value in stored.items() if isinstance(value, list)}
        return cls(**{**stored, **lists, "form": None if form is None else Form(**form)})


@dataclasses.dataclass(frozen=True)
class Dataset:
    """Images with labels in memory, or sequences in files; and what is known of them."""

    info: DatasetInfo
    train: Any  # a `Split` where sequences are composed, else `Sequences`
    validation: Any  # never trained on
    test: Any

    @property
    def identity(self) -> str:
        """See `DatasetInfo`."""
        return self.info.identity


def known_info(identity: str) -> DatasetInfo:
    """Return what is known of a data set of which a run recorded the identity alone.

    Raises:
      UserError: this program has no such source.
    """
    name = identity.partition(":")[0]
    if name not in SOURCES:
        raise UserError(f"the data set {identity} is unknown, expected one of {', '.join(SOURCES)}")
    source = SOURCES[name]
    return DatasetInfo(name, identity, source.frame_shape, source.classes, source.glyphs)


def as_images(dataset: Dataset) -> Dataset:
    """Single images with classes as labelled images, to compose sequences of.

    Raises:
      UserError: there are clips among them.
    """
    info = dataset.info
    if info.longest > 1:
        raise UserError(
            f"{info.name} holds clips of up to {info.longest} frames: expected single images to "
            "compose sequences of; or ask for the class of each clip by --config.task.name=class"
        )
    parts = {
        name: Split(part.frames(), part.answers)
        for name in PARTS
        for part in [getattr(dataset, name)]
    }
    return Dataset(dataclasses.replace(info, answer="label"), **parts)


def load_dataset(name: str, *, data_dir: str, manual_dir: str, fallback: bool) -> Dataset:
    """Load a data set, preparing it in `data_dir` the first time.

    Args:
      name: one of `SOURCES`.
      data_dir: the folder for prepared data; is made, `~` is expanded.
      manual_dir: the folder with the published files, or '' to download them.
      fallback: whether 'mnist-5k' stands in, with a warning, where MNIST cannot be downloaded.

    Returns:
      The data set, images in original order.

    Raises:
      UserError: `name` is unknown, `data_dir` cannot be written, `manual_dir` lacks a file or
        has a damaged one, the prepared data is damaged, or it cannot be downloaded and nothing
        stands in.
    """
    from crnn_jax.data import store  # imports TFDS, 0.5 s: not for whoever needs the types

    known_info(name)
    source, folder = SOURCES[name], user_path(data_dir)
    stored = source.subset_of or name
    try:
        splits, found = store.load_splits(stored, data_dir=folder, manual_dir=manual_dir)
    except DownloadError as error:
        published = source.published
        assert published  # else nothing would be downloaded
        reason = (
            f"{published.title} is not available: it is not in {folder}, no folder with its files "
            f"is given, and the download failed ({error})"
        )
        files = ", ".join(published.sha256)
        remedy = f"put {files} into a folder and give --config.data.manual_dir=FOLDER"
        if name != "mnist":
            raise UserError(f"{reason}; {remedy}") from error
        if not fallback:
            raise UserError(f"{reason}; {remedy}, or allow --config.data.fallback") from error
        found = STAND_INS[0]
        say(f"warning: {reason}. GOING ON WITH {found} INSTEAD. For MNIST, {remedy}.")
        return load_dataset(found, data_dir=data_dir, manual_dir=manual_dir, fallback=False)
    if source.subset_of:
        kept = (source.first, len(source.classes))
        splits = {part: split.classes(*kept) for part, split in splits.items()}
        found = identity(name, splits)
    return Dataset(known_info(found), **splits)
