"""Corpora: finding one or its stand-in, preparing it once, reading it at every start."""

import dataclasses
from pathlib import Path

from absl import logging

from crnn_jax import UserError, user_path
from crnn_jax.data.sources.download import DownloadError
from crnn_jax.data.sources.emnist import first_letters
from crnn_jax.data.split import Split, identity

__all__ = ["Corpus", "Split", "load_corpus"]

NUM_CLASSES = {"mnist": 10, "optdigits": 10, "emnist/letters": 26, "emnist/letters-a-j": 10}
DIGITS = ("mnist", "optdigits")
"""Corpora whose labels are what the glyphs stand for."""


def glyph_name(corpus: str, label: int) -> str:
    """What people call a glyph of a corpus: a digit, or a letter."""
    return str(label) if corpus in DIGITS else "abcdefghijklmnopqrstuvwxyz"[label]


@dataclasses.dataclass(frozen=True)
class Corpus:
    """Images of single glyphs and their labels, in memory."""

    name: str  # one of NUM_CLASSES: the one really used
    identity: str  # the name and the start of a SHA-256 over all images and labels
    num_classes: int
    train: Split
    validation: Split  # never trained on
    test: Split


def load_corpus(name: str, *, data_dir: str, manual_dir: str, fallback: bool) -> Corpus:
    """Loads a corpus, preparing it in `data_dir` the first time.

    MNIST and EMNIST are looked for in `data_dir`, where they were prepared before; then in
    `manual_dir`, if that is not empty; then on the network.

    Args:
      name: 'mnist' (55,000 + 5,000 + 10,000 images), 'optdigits' (1,297 + 200 + 300),
        'emnist/letters' (119,800 + 5,000 + 20,800) or, of the same, only the letters A to J:
        'emnist/letters-a-j'.
      data_dir: the folder for prepared corpora; is made, `~` is expanded.
      manual_dir: the folder with the official files of MNIST or EMNIST, or '' to download them.
      fallback: whether 'optdigits' stands in, with a warning, where MNIST cannot be downloaded.
        Nothing stands in for EMNIST.

    Returns:
      The corpus with images of 28×28 in original order.

    Raises:
      UserError: `name` is unknown, `data_dir` cannot be written, `manual_dir` lacks a file or
        has a damaged one, the prepared corpus is damaged, EMNIST cannot be downloaded, or MNIST
        cannot and `fallback` is off.
    """
    if name not in NUM_CLASSES:
        raise UserError(
            f"unknown corpus {name!r}, expected one of {', '.join(NUM_CLASSES)}; "
            "give for example --config.data.corpus=mnist"
        )
    folder = user_path(data_dir)
    try:
        return _load(name, folder, manual_dir)
    except DownloadError as error:
        title, files = ("MNIST", "four files") if name == "mnist" else ("EMNIST", "gzip.zip")
        reason = (
            f"{title} could not be had: it is not in {folder}, no folder with its {files} is "
            f"given, and the download failed ({error})"
        )
        remedy = f"put its {files} into a folder and give --config.data.manual_dir=FOLDER"
        if name != "mnist":
            raise UserError(f"{reason}; {remedy}") from error
        if not fallback:
            raise UserError(f"{reason}; {remedy}, or allow --config.data.fallback") from error
        logging.warning("%s. GOING ON WITH optdigits INSTEAD. For MNIST, %s.", reason, remedy)
        return _load("optdigits", folder, manual_dir)


def _load(name: str, data_dir: Path, manual_dir: str) -> Corpus:
    from crnn_jax.data import store  # imports TFDS, 0.5 s: not for whoever needs the types

    stored = name.removesuffix("-a-j")  # on disk there are all letters
    splits, found = store.load_splits(stored, data_dir=data_dir, manual_dir=manual_dir)
    num_classes = NUM_CLASSES[name]
    if name != stored:
        splits = {part: first_letters(split, num_classes) for part, split in splits.items()}
        found = identity(name, splits)
    return Corpus(name=name, identity=found, num_classes=num_classes, **splits)
