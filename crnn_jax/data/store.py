"""Corpora on disk: prepared once by TFDS, by one process at a time, and checked when read."""

import contextlib
import fcntl
import io
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import tensorflow_datasets as tfds
from absl import logging

from crnn_jax import UserError, user_path
from crnn_jax.data.sources import SOURCES
from crnn_jax.data.sources.source import Published
from crnn_jax.data.split import Split, identity
from crnn_jax.data.store_builder import Glyphs, config_name

_SCRATCH = "glyphs-scratch-"  # begins the name of the folder for downloads in a data folder


def load_splits(name: str, *, data_dir: Path, manual_dir: str) -> tuple[dict[str, Split], str]:
    """Reads a corpus from `data_dir`, where it is prepared first if it is not yet there.

    Args:
      name: 'mnist', 'optdigits' or 'emnist/letters'.
      data_dir: the folder for prepared corpora; is made.
      manual_dir: the folder with the official files of MNIST or EMNIST, or '' to download them.

    Returns:
      'train', 'validation' and 'test', in original order; and the corpus's identity.

    Raises:
      DownloadError: the official files were to be downloaded and cannot be had.
      UserError: `data_dir` cannot be written, `manual_dir` lacks a file or has a damaged one,
        or the prepared corpus is damaged.
    """
    folder = data_dir / Glyphs.name / config_name(name) / str(Glyphs.VERSION)
    try:
        published = SOURCES[name].published
        if not folder.exists() and published and manual_dir:
            # Read here too, before anything is made: a damaged file leaves no folder behind.
            SOURCES[name].read(_manual_folder(published, manual_dir))
        if not folder.exists():
            data_dir.mkdir(parents=True, exist_ok=True)
            with _locked(data_dir / "glyphs.lock"):
                if not folder.exists():  # another process may have prepared it in the meantime
                    _prepare(name, data_dir, manual_dir, folder)
    except OSError as error:
        raise UserError(
            f"{data_dir}: cannot be used ({error}), expected a folder to keep the prepared data "
            "in; give another by --config.data.data_dir=FOLDER"
        ) from error
    return _read(name, data_dir, folder)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("a") as file:  # closing it, or dying, frees the lock
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _prepare(name: str, data_dir: Path, manual_dir: str, folder: Path) -> None:
    """TFDS writes into a folder of another name and renames it when all is done."""
    killed = [*folder.parent.glob("incomplete.*"), *data_dir.glob(f"{_SCRATCH}*")]
    for leftover in killed:  # of a process that was killed: the lock is ours
        shutil.rmtree(leftover)
    logging.info("Preparing %s in %s, once.", name, folder)
    if not sys.stderr.isatty():
        tfds.disable_progress_bar()
    with tempfile.TemporaryDirectory(dir=data_dir, prefix=_SCRATCH) as scratch:
        published = SOURCES[name].published
        source = _find_files(published, manual_dir, Path(scratch)) if published else None
        with contextlib.redirect_stdout(io.StringIO()):  # TFDS prints where our answers belong
            Glyphs(data_dir=data_dir, config=config_name(name)).download_and_prepare(
                file_format="array_record",
                download_dir=scratch,
                download_config=tfds.download.DownloadConfig(manual_dir=source),
            )


def _find_files(published: Published, manual_dir: str, scratch: Path) -> Path:
    if not manual_dir:
        published.download(scratch)
        return scratch
    return _manual_folder(published, manual_dir)


def _manual_folder(published: Published, manual_dir: str) -> Path:
    folder = user_path(manual_dir)
    published.check(folder)
    return folder


def _read(name: str, data_dir: Path, folder: Path) -> tuple[dict[str, Split], str]:
    try:
        builder = Glyphs(data_dir=data_dir, config=config_name(name))
        splits = builder.read()
        expected = builder.info.metadata["identity"]
    except Exception as error:  # TFDS, protobuf and ArrayRecord raise nearly all there are
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"
        raise UserError(_damaged(folder, reason)) from error
    found = identity(name, splits)
    if found != expected:
        raise UserError(_damaged(folder, f"its content is {found}, expected {expected}"))
    return splits, found


def _damaged(folder: Path, reason: str) -> str:
    return f"{folder}: the prepared data is damaged ({reason}); delete this folder and start again"
