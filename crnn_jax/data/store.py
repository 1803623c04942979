"""Data sets on disk: prepared once by TFDS, by one process at a time, and checked when read.

TFDS's own `mnist` unpacks its files and encodes its images by TensorFlow. Here raw bytes are kept
in ArrayRecord files, which needs none. A record holds a block of 1,000 images: a record for each
image would take seven times as long to read, at every start of the program.
"""

import contextlib
import io
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from crnn_jax import UserError, user_path
from crnn_jax.data.sequence_store import damaged, unusable
from crnn_jax.data.sources import SOURCES
from crnn_jax.data.sources.listing import PARTS
from crnn_jax.data.sources.source import Source
from crnn_jax.data.split import Split, drop_grey_axis, identity
from crnn_jax.distributed.files import locked

_BLOCK = 1_000  # images in a record
_SCRATCH = "glyphs-scratch-"  # begins the name of the folder for downloads in a data folder


class LabelledImages(  # pyright: ignore[reportGeneralTypeIssues] TFDS does take the keyword
    tfds.core.GeneratorBasedBuilder,
    skip_registration=True,  # pyright: ignore[reportCallIssue]
):
    """Labelled images of any height and width, grey or RGB.

    The records of a split come back shuffled: `read` restores the original order. The data set's
    identity stands in the metadata.
    """

    name = "glyphs"  # of the folder: what was prepared before images could be in colour stays valid
    VERSION = tfds.core.Version("1.0.0")

    def __init__(
        self, name: str, source: Source, data_dir: Path, splits: dict[str, Split] | None = None
    ) -> None:
        """Open what was prepared in `data_dir`; `splits` are needed to prepare it."""
        self.source_name, self.source, self.given = name, source, splits or {}
        super().__init__(data_dir=data_dir, config=name.replace("/", "_"))  # TFDS allows no '/'

    @classmethod
    def get_builder_config(
        cls, name: str, version: tfds.core.Version | str | None = None
    ) -> tfds.core.BuilderConfig:
        """Take the name of every source for a config."""
        del version
        return tfds.core.BuilderConfig(name=name)

    def _info(self) -> tfds.core.DatasetInfo:
        *size, channels = self.source.frame_shape
        shape = (None, *size) if channels == 1 else (None, *size, channels)
        about = {"identity": identity(self.source_name, self.given)} if self.given else {}
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(
                {
                    "images": tfds.features.Tensor(shape=shape, dtype=np.uint8, encoding="bytes"),
                    "labels": tfds.features.Tensor(shape=(None,), dtype=np.int32, encoding="bytes"),
                    "first_index": tfds.features.Scalar(np.int32),
                }
            ),
            metadata=tfds.core.MetadataDict(about),
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
        del dl_manager
        return {part: self._generate_examples(split) for part, split in self.given.items()}

    def _generate_examples(self, split: Split) -> Iterator[tuple[int, dict[str, Any]]]:
        images = drop_grey_axis(split.images_IxHxWxC)
        for first in range(0, len(images), _BLOCK):
            block = slice(first, first + _BLOCK)
            record = {"images": images[block], "labels": split.labels_I[block]}
            yield first, {**record, "first_index": first}

    def read(self) -> dict[str, Split]:
        """Read all splits that were prepared, in original order.

        Raises:
          Exception: whatever TFDS and ArrayRecord raise on files that are missing or damaged.
        """
        stored: Any = self.as_data_source()
        return {part: self._join(stored[part]) for part in PARTS}

    def _join(self, records: Sequence[dict[str, Any]]) -> Split:
        # One by one: as many as dataset_info.json says would take memory before any is found.
        blocks = [records[index] for index in range(len(records))]
        blocks.sort(key=lambda block: block["first_index"])
        images = np.concatenate([block["images"] for block in blocks])
        labels_I = np.concatenate([block["labels"] for block in blocks])
        return Split(images.reshape(-1, *self.source.frame_shape), labels_I)


def load_splits(name: str, *, data_dir: Path, manual_dir: str) -> tuple[dict[str, Split], str]:
    """Read a data set from `data_dir`, where it is prepared first if it is not yet there.

    Args:
      name: one of `SOURCES`, no subset of another.
      data_dir: the folder for prepared data; is made.
      manual_dir: the folder with the published files, or '' to download them.

    Returns:
      'train', 'validation' and 'test', in original order; and the data set's identity.

    Raises:
      DownloadError: the published files are not in `manual_dir` and cannot be downloaded.
      UserError: `data_dir` cannot be written or is full, `manual_dir` lacks a file or has a
        damaged one, or the prepared data is damaged.
    """
    folder = data_dir / LabelledImages.name / name.replace("/", "_") / str(LabelledImages.VERSION)
    if not folder.exists():
        # Before anything is made: a damaged file leaves no folder behind.
        splits = _read_given(SOURCES[name], manual_dir)
        try:
            _prepare(name, splits, data_dir, folder)
        except OSError as error:
            raise unusable(data_dir, error) from error
    return _read(name, data_dir, folder)


def _read_given(source: Source, manual_dir: str) -> dict[str, Split] | None:
    """Read what is on this machine; None where it has to be downloaded."""
    if not source.published:
        return source.read(Path())
    if not manual_dir:
        return None
    source.published.check(user_path(manual_dir))
    return source.read(user_path(manual_dir))


def _prepare(name: str, splits: dict[str, Split] | None, data_dir: Path, folder: Path) -> None:
    source = SOURCES[name]
    data_dir.mkdir(parents=True, exist_ok=True)
    with locked(data_dir / "glyphs.lock", wait=True):
        if folder.exists():  # another process has prepared it in the meantime
            return
        killed = [*folder.parent.glob("incomplete.*"), *data_dir.glob(f"{_SCRATCH}*")]
        for leftover in killed:  # of a process that was killed: the lock is ours
            shutil.rmtree(leftover)
        with tempfile.TemporaryDirectory(dir=data_dir, prefix=_SCRATCH) as scratch:
            if splits is None:
                assert source.published  # else `_read_given` would have read it
                source.published.download(Path(scratch))
                splits = source.read(Path(scratch))
            _check(name, source, splits)
            _write(LabelledImages(name, source, data_dir, splits), Path(scratch))


def _check(name: str, source: Source, splits: dict[str, Split]) -> None:
    """Check that a source reads what it says, which mistakes in a new one contradict.

    Raises:
      UserError: names the source, what it reads and what it says.
    """
    if tuple(splits) != PARTS:
        raise UserError(f"the source {name} reads {', '.join(splits)}, expected {', '.join(PARTS)}")
    expected = f"uint8 {source.frame_shape}, labels 0..{len(source.classes) - 1}"
    for part in PARTS:
        images, labels_I = splits[part]
        if not len(images):
            raise UserError(f"the source {name} reads no images for {part}, expected some")
        found = f"{images.dtype} {images.shape[1:]}, labels {labels_I.min()}..{labels_I.max()}"
        right = images.dtype == np.uint8 and images.shape[1:] == source.frame_shape
        if not (right and np.isin(labels_I, range(len(source.classes))).all()):
            raise UserError(f"the source {name} reads {part} as {found}, expected {expected}")


def _write(builder: LabelledImages, scratch: Path) -> None:
    """Write into a folder of another name, which TFDS renames when all is done."""
    if not sys.stderr.isatty():
        tfds.disable_progress_bar()
    with contextlib.redirect_stdout(io.StringIO()):  # TFDS prints where our answers belong
        try:
            builder.download_and_prepare(file_format="array_record", download_dir=scratch)
        except RuntimeError as error:  # so ArrayRecord says that the disk is full
            raise OSError(str(error).partition(";")[0]) from error


def _read(name: str, data_dir: Path, folder: Path) -> tuple[dict[str, Split], str]:
    try:
        builder = LabelledImages(name, SOURCES[name], data_dir)
        splits = builder.read()
        found, expected = identity(name, splits), (builder.info.metadata or {})["identity"]
        if found != expected:
            raise ValueError(f"its content is {found}, expected {expected}")
    except Exception as error:  # TFDS, protobuf and ArrayRecord raise nearly all there are
        raise damaged(folder, error) from error
    return splits, found
