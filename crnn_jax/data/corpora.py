"""Corpora: finding MNIST or its stand-in, preparing it once, reading it at every start."""

import dataclasses
from pathlib import Path

from absl import logging

from crnn_jax.data.download import DownloadError
from crnn_jax.data.split import Split
from crnn_jax.errors import UserError

__all__ = ["Corpus", "Split", "load_corpus"]

NUM_CLASSES = {"mnist": 10, "optdigits": 10}


@dataclasses.dataclass(frozen=True)
class Corpus:
    """Images of single glyphs and their labels, in memory."""

    name: str  # 'mnist' or 'optdigits': the one really used
    identity: str  # the name and the start of a SHA-256 over all images and labels
    num_classes: int
    train: Split
    validation: Split  # never trained on
    test: Split


def load_corpus(name: str, *, data_dir: str, manual_dir: str, fallback: bool) -> Corpus:
    """Loads a corpus, preparing it in `data_dir` the first time.

    MNIST is looked for in `data_dir`, where it was prepared before; then in `manual_dir`, if
    that is not empty; then on the network.

    Args:
      name: 'mnist' (55,000 + 5,000 + 10,000 images) or 'optdigits' (1,297 + 200 + 300).
      data_dir: the folder for prepared corpora; is made, `~` is expanded.
      manual_dir: the folder with MNIST's four official files, or '' to download them.
      fallback: whether 'optdigits' stands in, with a warning, where MNIST cannot be downloaded.

    Returns:
      The corpus with images of 28×28 in original order.

    Raises:
      UserError: `name` is unknown, `data_dir` cannot be written, `manual_dir` lacks a file or
        has a damaged one, the prepared corpus is damaged, or MNIST cannot be downloaded and
        `fallback` is off.
    """
    if name not in NUM_CLASSES:
        raise UserError(
            f"unknown corpus {name!r}, expected one of {', '.join(NUM_CLASSES)}; "
            "give for example --config.data.corpus=mnist"
        )
    folder = Path(data_dir).expanduser()
    try:
        return _load(name, folder, manual_dir)
    except DownloadError as error:
        reason = (
            f"MNIST could not be had: it is not in {folder}, no folder with its files is given, "
            f"and the download failed ({error})"
        )
        remedy = "put its four files into a folder and give --config.data.manual_dir=FOLDER"
        if not fallback:
            raise UserError(f"{reason}; {remedy}, or allow --config.data.fallback") from error
        logging.warning("%s. GOING ON WITH optdigits INSTEAD. For MNIST, %s.", reason, remedy)
        return _load("optdigits", folder, manual_dir)


def _load(name: str, data_dir: Path, manual_dir: str) -> Corpus:
    from crnn_jax.data import prepared  # brings in TFDS, 0.5 s: not for whoever needs the types

    splits, identity = prepared.load_splits(name, data_dir=data_dir, manual_dir=manual_dir)
    return Corpus(name=name, identity=identity, num_classes=NUM_CLASSES[name], **splits)
