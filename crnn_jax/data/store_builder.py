"""The TFDS builder that keeps the corpora on disk; it needs no TensorFlow.

TFDS's own `mnist` unpacks its files and encodes its images by TensorFlow. Here they are read with
gzip and kept as raw bytes in ArrayRecord files. A record holds a block of 1,000 images: a record
for each image would take seven times as long to read, at every start of the program.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from crnn_jax.data.sources import SOURCES
from crnn_jax.data.split import Split, identity

_BLOCK = 1_000  # images in a record


def config_name(corpus: str) -> str:
    """Name of a corpus in TFDS, which allows no '/': 'emnist_letters' for 'emnist/letters'."""
    return corpus.replace("/", "_")


class Glyphs(tfds.core.GeneratorBasedBuilder):
    """Images of single glyphs and their labels, in the splits train, validation and test.

    The records of a split come back shuffled: `read` restores the original order. The corpus's
    identity stands in the metadata.
    """

    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS = [  # noqa: RUF012 - TFDS's own form
        tfds.core.BuilderConfig(name="mnist", description="MNIST: 70,000 digits"),
        tfds.core.BuilderConfig(name="optdigits", description="scikit-learn's 1,797 digits"),
        tfds.core.BuilderConfig(
            name=config_name("emnist/letters"), description="EMNIST: 145,600 letters"
        ),
    ]
    MANUAL_DOWNLOAD_INSTRUCTIONS = "The official files, see mnist.py and emnist.py."

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(
                {
                    "images": tfds.features.Tensor(
                        shape=(None, 28, 28), dtype=np.uint8, encoding="bytes"
                    ),
                    "labels": tfds.features.Tensor(shape=(None,), dtype=np.int32, encoding="bytes"),
                    "first_index": tfds.features.Scalar(np.int32),
                }
            ),
            metadata=tfds.core.MetadataDict(),
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
        corpus = self.builder_config.name.replace("_", "/")  # undoes `config_name`
        source = SOURCES[corpus]
        splits = source.read(Path(dl_manager.manual_dir) if source.published else Path())
        self.info.metadata["identity"] = identity(corpus, splits)
        return {name: self._generate_examples(split) for name, split in splits.items()}

    def _generate_examples(self, split: Split) -> Iterator[tuple[int, dict[str, Any]]]:
        for first in range(0, len(split.labels_N), _BLOCK):
            block = slice(first, first + _BLOCK)
            yield (
                first,
                {
                    "images": split.images_NxHxWxC[block, ..., 0],
                    "labels": split.labels_N[block],
                    "first_index": first,
                },
            )

    def read(self) -> dict[str, Split]:
        """Reads all splits of a prepared corpus, in original order.

        Returns:
          'train', 'validation' and 'test'.

        Raises:
          Exception: whatever TFDS and ArrayRecord raise on files that are missing or damaged.
        """
        return {name: self._read_split(name) for name in ("train", "validation", "test")}

    def _read_split(self, name: str) -> Split:
        source = self.as_data_source(name)
        # One by one: as many as dataset_info.json says would take memory before any is found.
        blocks = [source[index] for index in range(len(source))]
        blocks.sort(key=lambda block: block["first_index"])
        return Split(
            np.concatenate([block["images"] for block in blocks])[..., None],
            np.concatenate([block["labels"] for block in blocks]),
        )
