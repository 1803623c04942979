"""Data sets that TFDS has prepared as array_record, read without TensorFlow.

TFDS's own readers import the classes that features.json names, and its Video feature needs
TensorFlow. Here images are read as the bytes that they are stored as, and Pillow decodes them.
"""

import contextlib
import functools
import io
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from ml_collections import ConfigDict
from PIL import Image

from crnn_jax import UserError, shown, user_path
from crnn_jax.data.sources.listing import (
    PATH_COLUMNS,
    SPLIT_NAMES,
    Clip,
    Listing,
    Problem,
    Record,
    answer_column,
    column,
    entries,
    parse_answer,
    parse_numbers,
    stem,
)

_NAMES = ("name", "filename", "file_name", "path", "id", "index")  # of the feature to name clips by
_NUMBERS = ("uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64", "bool")
_LARGEST = 2**31  # bytes of the frames of a clip
_BLOCK = 64  # records read at once


class _Prepared(NamedTuple):
    splits: tuple[str, ...]
    readers: dict[str, Any]  # what reads each feature as it is stored
    frames: str  # the feature that is the clip


def fits(data: ConfigDict) -> bool:
    """Whether data.name is a data set of TFDS, or data.path the folder of a prepared one."""
    return _is_prepared(user_path(data.path)) if data.path else data.name.startswith("tfds:")


def read(data: ConfigDict, answer: str) -> Listing:
    """List the clips of all splits.

    Raises:
      UserError: the data set is not prepared as array_record, is damaged, or has no image or video
        with such an answer.
    """
    folder = user_path(data.path) if data.path else _find(data)
    prepared = _load(folder)
    others = [name for name in prepared.readers if name != prepared.frames]
    label = answer_column(str(folder), others, data.answer)
    named_by = next((name for name in _NAMES if name in others and name != label), "")
    labels = folder / f"{label}.labels.txt"
    classes = labels.read_text("utf-8").splitlines() if labels.is_file() else []
    parts = {split: SPLIT_NAMES.get(split.lower()) for split in prepared.splits}
    clips, problems = [], []
    for split, part in parts.items():
        if part is None and any(parts.values()):
            problems.append(Problem(split, "no split of train, validation, test: left out", False))
            continue
        wanted = {name for name in (label, named_by, "group") if name in others}
        for index, row in enumerate(_rows(folder, split, wanted)):
            name = f"{split}/{row.get(named_by, index)}"
            group = str(row.get("group", stem(name)))
            try:
                value = _answer(row[label], answer, classes)
            except UserError as error:
                problems.append(Problem(name, str(error), True))
            else:
                clips.append(Clip(name, Record(folder, split, index), value, part, group))
    name = folder.name if data.path else data.name
    return Listing(name, "prepared by TFDS", answer, tuple(clips), (), tuple(problems))


def read_record(record: Record) -> np.ndarray:
    """Read the frames of a clip.

    Returns:
      uint8 LxHxWxC, where C is 1 or 3; L is 1 for an image.

    Raises:
      UserError: they are damaged, too large, not 8 bits deep or of several sizes.
    """
    from tensorflow_datasets import features

    name = f"{record.folder}, {record.split}, record {record.index}"
    prepared = _load(record.folder)
    reader = features.FeaturesDict({prepared.frames: prepared.readers[prepared.frames]})
    with _refusing(name):
        source = _open(record.folder, record.split)
        stored = reader.deserialize_example_np(source[record.index])[prepared.frames]
        if isinstance(stored, bytes):
            stored = [stored]
        if isinstance(stored, list):
            stored = _decode(stored)
    frames = np.asarray(stored)
    if frames.ndim == 2 or (frames.ndim == 3 and frames.shape[-1] in (1, 3)):  # an image
        frames = frames[None]
    frames = frames[..., None] if frames.ndim == 3 else frames
    if frames.ndim != 4 or frames.dtype != np.uint8 or frames.shape[-1] not in (1, 3):
        raise UserError(
            f"{name}: found {frames.dtype} {frames.shape}, expected uint8 frames with height, "
            "width, and 1 or 3 channels"
        )
    return frames


def _find(data: ConfigDict) -> Path:
    """Find the newest version of a data set that is prepared."""
    name = data.name.removeprefix("tfds:")
    if not re.fullmatch(r"\w+(/\w[\w.+-]*)?", name):
        raise UserError(f"--config.data.name={data.name}: expected tfds:NAME or tfds:NAME/CONFIG")
    own = os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    places = [user_path(place) / name for place in (data.data_dir, own, data.manual_dir) if place]
    inside = [path for place in places if place.is_dir() for path in entries(place, None)]
    versions = [path for path in inside if re.fullmatch(r"\d+\.\d+\.\d+", path.name)]
    prepared = [path for path in versions if _is_prepared(path)]
    if prepared:
        return prepared[-1]
    configs = [f"tfds:{name}/{path.name}" for path in inside if path.is_dir()]
    remedy = f"expected {' or '.join(configs)}, or " * bool(configs) + (
        f"run `tfds build {name} --file_format=array_record` in an environment with TensorFlow"
    )
    found = f"not prepared in {' or '.join(map(str, places))}"
    raise UserError(f"--config.data.name={data.name}: {found}; {remedy}")


def _is_prepared(folder: Path) -> bool:
    return all((folder / name).is_file() for name in ("features.json", "dataset_info.json"))


@functools.cache
def _load(folder: Path) -> _Prepared:
    with _refusing(f"{folder}, perhaps prepared by an old TFDS"):
        info = json.loads((folder / "dataset_info.json").read_text("utf-8"))
        features = json.loads((folder / "features.json").read_text("utf-8"))
        specs = features["featuresDict"]["features"]
        readers = {name: _reader(spec) for name, spec in specs.items()}
        splits = tuple(str(split["name"]) for split in info["splits"])
        file_format = str(info.get("fileFormat", "tfrecord"))
    if file_format != "array_record":
        raise UserError(
            f"{folder}: prepared as {shown(file_format)}, expected array_record; run `tfds "
            f"convert_format --dataset_dir={folder} --out_file_format=array_record` in an "
            "environment with TensorFlow"
        )
    pictures = [name for name, (reader, is_picture) in readers.items() if reader and is_picture]
    frames = column(str(folder), pictures, PATH_COLUMNS, "there is no such image or video")
    return _Prepared(splits, {name: x for name, (x, _) in readers.items() if x}, frames)


def _reader(spec: dict[str, Any]) -> tuple[Any, bool]:
    """What reads a feature as it is stored, if anything here does, and whether it is a picture."""
    from tensorflow_datasets import features  # takes 0.5 s: not for whoever reads other data

    kind, tensor = spec["pythonClassName"].rpartition(".")[2], spec.get("tensor", {})
    sizes = [int(size) for size in tensor.get("shape", {}).get("dimensions", [])]
    if kind == "Sequence":
        inner, is_picture = _reader(spec["sequence"]["feature"])
        return (inner and features.Sequence(inner)), is_picture
    if kind == "Video":
        return features.Sequence(features.Text()), True
    if kind in ("Image", "Text") or tensor.get("dtype") in ("string", "object"):
        return features.Text(), kind == "Image"
    if kind == "ClassLabel":
        return features.Scalar(np.int64), False
    encoding = tensor.get("encoding", "none")
    if tensor.get("dtype") not in _NUMBERS or encoding not in ("none", "bytes"):
        return None, False
    shape = tuple(None if size < 0 else size for size in sizes)
    reader = features.Tensor(shape=shape, dtype=np.dtype(tensor["dtype"]), encoding=encoding)
    return reader, len(shape) > 1


@functools.lru_cache(maxsize=8)
def _open(folder: Path, split: str) -> Any:
    """Open the records of a split. What reads them hangs in forked processes, not in spawned."""
    from array_record.python.array_record_data_source import ArrayRecordDataSource

    name = re.compile(rf"\w+-{re.escape(split)}\.array_record(-\d+-of-\d+)?")
    return ArrayRecordDataSource(
        [str(path) for path in entries(folder, None) if name.fullmatch(path.name)]
    )


def _rows(folder: Path, split: str, wanted: set[str]) -> Iterator[dict[str, Any]]:
    """Read some features of all records, texts as such; frames are not decoded."""
    from tensorflow_datasets import features

    readers = _load(folder).readers
    reader = features.FeaturesDict({name: readers[name] for name in wanted})
    with _refusing(f"{folder}, {split}"):
        source = _open(folder, split)
        for first in range(0, len(source), _BLOCK):
            for record in source.__getitems__(range(first, min(first + _BLOCK, len(source)))):
                row = reader.deserialize_example_np(record)
                yield {n: x.decode() if isinstance(x, bytes) else x for n, x in row.items()}


@contextlib.contextmanager
def _refusing(name: str) -> Iterator[None]:
    """Turn what TFDS, ArrayRecord and Pillow raise on damaged files into a `UserError`."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{name}: {error}") from error
    except Exception as error:  # nearly anything
        reason = shown(f"{type(error).__name__}: {error}")
        raise UserError(f"{name}: cannot be read ({reason}); prepare it anew") from error


def _answer(value: Any, answer: str, classes: list[str]) -> str | float | np.ndarray:
    value = value if isinstance(value, str) else np.asarray(value).tolist()
    if answer == "numbers":
        if not isinstance(value, list) or not value:
            raise UserError(f"the answer is {shown(value)}, expected a number for every frame")
        return parse_numbers(value)
    if classes and answer != "number":
        if not 0 <= value < len(classes):
            raise UserError(f"the label is {value}, expected 0 to {len(classes) - 1}")
        value = classes[value]
    return parse_answer(value, answer)


def _decode(pictures: list[bytes]) -> np.ndarray:
    frames, size = [], 0
    for picture in pictures:
        with Image.open(io.BytesIO(picture), formats=("BMP", "JPEG", "PNG")) as image:
            size += 3 * image.width * image.height
            if size > _LARGEST:
                raise UserError(f"expected frames of at most {_LARGEST:,} bytes together")
            if image.mode[0] in "IF":
                raise UserError("more than 8 bits a pixel, expected 8")
            frame = np.asarray(image.convert("L" if image.mode in ("1", "L") else "RGB"))
        frames.append(frame.reshape(*frame.shape[:2], -1))
    return np.stack(frames)
