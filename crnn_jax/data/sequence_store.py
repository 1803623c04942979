"""Prepared clips on disk: ArrayRecord files that TFDS reads, and an index that opens at once.

One record holds one clip. The index holds what must be known of each before any record is read;
its checksum stands in TFDS's metadata. The frames of a clip are checked by theirs when read.
"""

import dataclasses
import functools
import hashlib
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from crnn_jax import UserError
from crnn_jax.data.form import Form
from crnn_jax.data.sources.listing import PARTS, Problem

NAME = "sequences"  # of the data set, to TFDS
_INDEX, _METADATA, _CHECKSUM = "index.npz", "metadata.json", "index_sha256"


@dataclasses.dataclass(frozen=True)
class Index:
    """What is known of the C clips of a listing, in its order.

    Attributes:
      lengths_C: int32, frames of each clip; 0 for one that could not be read and has no record.
      totals_C: int32, frames of the file or folder that it was made of.
      digests_Cx32: uint8, SHA-256 of the frames and their shape.
      form: of the frames.
      problems: found in preparing them.
      sizes: bytes of each file of records.
    """

    lengths_C: np.ndarray
    totals_C: np.ndarray
    digests_Cx32: np.ndarray
    form: Form
    problems: tuple[Problem, ...]
    sizes: dict[str, int]


def digest_of(frames_LxHxWxC: np.ndarray) -> bytes:
    """SHA-256 of a clip's frames and their shape."""
    digest = hashlib.sha256(f"{frames_LxHxWxC.shape}".encode())
    digest.update(np.ascontiguousarray(frames_LxHxWxC).data)
    return digest.digest()


def features(form: Form, answer: str) -> Any:
    """TFDS's description of a record; of frames of a form and answers of a kind."""
    import tensorflow_datasets as tfds  # takes half a second

    of_answer: dict[str, Any] = {
        "number": tfds.features.Scalar(np.float32),
        "numbers": tfds.features.Tensor(shape=(None,), dtype=np.float32, encoding="bytes"),
    }
    shape = (None, *form.frame_shape)
    return tfds.features.FeaturesDict(
        {
            "frames": tfds.features.Tensor(shape=shape, dtype=np.uint8, encoding="bytes"),
            "answer": of_answer.get(answer, tfds.features.Text()),
            "name": tfds.features.Text(),
        }
    )


def shard_path(folder: Path, part: str, number: int, count: int) -> Path:
    """The file of some of a part's records, named as TFDS expects it."""
    return folder / f"{NAME}-{part}.array_record-{number:05d}-of-{count:05d}"


def write_index(
    folder: Path, index: Index, answer: str, shard_lengths: dict[str, list[int]]
) -> None:
    """Write the index and TFDS's metadata beside the records.

    Args:
      folder: holds the records.
      index: of all clips.
      answer: their kind.
      shard_lengths: number of records in each file of each part.
    """
    import tensorflow_datasets as tfds

    about = {
        "form": index.form.to_json(),
        "problems": [list(problem) for problem in index.problems],
        "sizes": index.sizes,
    }
    content = io.BytesIO()
    np.savez_compressed(
        content,
        lengths_C=index.lengths_C,
        totals_C=index.totals_C,
        digests_Cx32=index.digests_Cx32,
        about=np.frombuffer(json.dumps(about).encode(), np.uint8),
    )
    (folder / _INDEX).write_bytes(content.getvalue())
    template = tfds.core.ShardedFileTemplate(
        data_dir=folder, dataset_name=NAME, filetype_suffix="array_record"
    )
    splits = [
        tfds.core.SplitInfo(
            name=part,
            shard_lengths=lengths,
            num_bytes=sum(size for name, size in index.sizes.items() if f"-{part}." in name),
            filename_template=template,
        )
        for part, lengths in shard_lengths.items()
    ]
    checksum = hashlib.sha256(content.getvalue()).hexdigest()
    tfds.folder_dataset.write_metadata(
        data_dir=folder,
        features=features(index.form, answer),
        split_infos=splits,
        check_data=False,
        metadata=tfds.core.MetadataDict({_CHECKSUM: checksum}),
    )


def read_index(folder: Path) -> Index:
    """Read what `write_index` wrote.

    Raises:
      UserError: it is damaged, or a file of records is absent or has another size.
    """
    try:
        content = (folder / _INDEX).read_bytes()
        expected = json.loads((folder / _METADATA).read_text())[_CHECKSUM]
        found = hashlib.sha256(content).hexdigest()
        if found != expected:
            raise ValueError(f"the checksum of {_INDEX} is {found}, expected {expected}")
        with np.load(io.BytesIO(content)) as stored:
            arrays = {name: stored[name] for name in ("lengths_C", "totals_C", "digests_Cx32")}
            about = json.loads(stored["about"].tobytes())
        for name, size in about["sizes"].items():
            if (folder / name).stat().st_size != size:
                raise ValueError(f"the size of {name} is not {size}")
        problems = tuple(Problem(*problem) for problem in about["problems"])
        return Index(**arrays, form=Form(**about["form"]), problems=problems, sizes=about["sizes"])
    except Exception as error:  # NumPy and JSON raise many kinds
        raise damaged(folder, error) from error


def unusable(data_dir: Path, error: OSError) -> UserError:
    """What to say of a folder for prepared data that cannot be made or written."""
    return UserError(
        f"{data_dir}: cannot be used ({error}), expected a folder to keep the prepared data in; "
        "give another by --config.data.data_dir=FOLDER"
    )


def damaged(folder: Path, error: Exception) -> UserError:
    """What to say of prepared data that cannot be read."""
    reason = f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"
    return UserError(
        f"{folder}: the prepared data is damaged ({reason}); delete this folder and start again"
    )


class Records:
    """The clips of one part of a prepared data set; nothing is read before it is asked for."""

    def __init__(
        self, folder: Path, part: str, digests_Bx32: np.ndarray, records_B: np.ndarray
    ) -> None:
        """Take what the index says of these clips, and their numbers among the part's records."""
        assert part in PARTS
        self.folder, self.part = folder, part
        self.digests_Bx32, self.records_B = digests_Bx32, records_B

    @functools.cached_property
    def _source(self) -> Any:
        import tensorflow_datasets as tfds

        return tfds.builder_from_directory(self.folder).as_data_source(self.part)

    def read(self, indices: Sequence[int]) -> list[np.ndarray]:
        """Read the frames of some clips, uint8 LxHxWxC each; threads may call it at once.

        Raises:
          UserError: the prepared data is damaged.
        """
        return [self._read(int(index)) for index in indices]

    def _read(self, index: int) -> np.ndarray:
        try:
            frames = self._source[int(self.records_B[index])]["frames"]
            if digest_of(frames) != self.digests_Bx32[index].tobytes():
                raise ValueError(f"the frames of record {index} of {self.part} are others")
        except Exception as error:  # TFDS, protobuf and ArrayRecord raise nearly all there are
            raise damaged(self.folder, error) from error
        return frames
