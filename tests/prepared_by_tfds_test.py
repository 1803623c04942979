import io
import json
import re
import shutil
import struct
import sys
import zlib

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from crnn_jax import UserError
from crnn_jax.data.sources import prepared_by_tfds
from crnn_jax.data.sources.layouts import list_clips
from crnn_jax.data.sources.prepared_by_tfds import read_record
from tests.listings import data_config, fatal, listed


def png(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels.squeeze()).save(file, "PNG")
    file.seek(0)
    return file


def clip(i):
    return np.random.default_rng(i).integers(0, 256, (i + 1, 4, 5, 3), np.uint8)


FEATURES = {
    "label": tfds.features.ClassLabel(names=["dog", "cat", "bird"]),
    "caption": tfds.features.Text(),
    "speed": tfds.features.Scalar(np.float32),
    "speeds": tfds.features.Sequence(np.float32),
    "name": tfds.features.Text(),
}


class Clips(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Clips as one of TFDS's own features holds them, encoded without TensorFlow."""

    name = "clips"
    VERSION = tfds.core.Version("1.0.0")

    def __init__(self, data_dir, feature, encode, version="1.0.0"):
        self.feature, self.encode = feature, encode
        self.VERSION = tfds.core.Version(version)
        super().__init__(data_dir=data_dir, file_format="array_record")

    def _info(self):
        features = tfds.features.FeaturesDict({**FEATURES, **self.feature})
        return tfds.core.DatasetInfo(builder=self, features=features)

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(0, 5), "test": self._generate_examples(5, 8)}

    def _generate_examples(self, first, last):
        (feature,) = self.feature
        for i in range(first, last):
            yield (
                i,
                {
                    "label": i % 3,
                    "caption": f"clip ü {i}",
                    "speed": i / 2,
                    "speeds": [i, 0.5],
                    "name": f"clip_{i + 5}.avi",
                    feature: self.encode(clip(i)),
                },
            )


def images(shape):
    return tfds.features.Image(shape=shape)


KINDS = {
    "image": ("image", images((4, 5, 3)), lambda x: png(x[0])),
    "grey": ("image", images((4, 5, 1)), lambda x: png(x[0, ..., :1])),
    "pixels": ("image", tfds.features.Tensor(shape=(4, 5), dtype=np.uint8), lambda x: x[0, ..., 0]),
    "video": ("video", tfds.features.Sequence(images((4, 5, 3))), lambda x: list(map(png, x))),
    "bytes": (
        "video",
        tfds.features.Tensor(shape=(None, 4, 5, 3), dtype=np.uint8, encoding="bytes"),
        lambda x: x,
    ),
}
EXPECTED = {
    "image": lambda x: x[:1],
    "grey": lambda x: x[:1, ..., :1],
    "pixels": lambda x: x[:1, ..., :1],
    "video": lambda x: x,
    "bytes": lambda x: x,
}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Folders in which TFDS has prepared clips, by their kind."""
    folders = {}
    for kind, (name, feature, encode) in KINDS.items():
        folders[kind] = tmp_path_factory.mktemp(kind)
        Clips(folders[kind], {name: feature}, encode).download_and_prepare()
    # TFDS makes no Video without TensorFlow, but stores it as a Sequence of Images.
    path = folders["video"] / "clips" / "1.0.0" / "features.json"
    features = json.loads(path.read_text())
    video = "tensorflow_datasets.core.features.video_feature.Video"
    features["featuresDict"]["features"]["video"] = {
        "pythonClassName": video,
        "video": {"shape": {"dimensions": ["-1", "4", "5", "3"]}, "dtype": "uint8"},
    }
    path.write_text(json.dumps(features))
    return folders


def read(folder, answer="class", name="tfds:clips", column=""):
    data = data_config(name=name, manual_dir=str(folder), answer=column)
    return list_clips(data, answer)


@pytest.mark.parametrize("kind", KINDS)
def test_clips_are_read_as_they_were_prepared(prepared, kind):
    listing = read(prepared[kind])
    assert [clip.name for clip in listing.clips] == [
        *(f"test/clip_{i}.avi" for i in (10, 11, 12)),
        *(f"train/clip_{i}.avi" for i in range(5, 10)),
    ]
    for listed_clip, i in zip(listing.clips, [5, 6, 7, 0, 1, 2, 3, 4], strict=True):
        frames = read_record(listed_clip.source)
        np.testing.assert_array_equal(frames, EXPECTED[kind](clip(i)), strict=True)
        assert listed_clip.answer == ["dog", "cat", "bird"][i % 3]
        assert listed_clip.split == ("train" if i < 5 else "test")
        assert listed_clip.group == f"clip_{i + 5}"
    assert listing.classes == ("bird", "cat", "dog")
    assert listing.name == "tfds:clips"
    assert not fatal(listing)
    assert "tensorflow" not in sys.modules


def test_other_answers(prepared):
    def answers(answer, column):
        return [clip.answer for clip in read(prepared["image"], answer, column=column).clips[3:]]

    assert answers("number", "speed") == [0, 0.5, 1, 1.5, 2]
    assert answers("number", "label") == [0, 1, 2, 0, 1]
    assert answers("text", "caption") == [f"clip ü {i}" for i in range(5)]
    np.testing.assert_array_equal(answers("numbers", "speeds")[3], np.float32([3, 0.5]))


def test_a_prepared_folder_by_its_path(prepared):
    listing = listed(prepared["video"] / "clips" / "1.0.0")
    assert len(listing.clips) == 8


def test_the_newest_version_is_read(prepared, tmp_path):
    name, feature, encode = KINDS["image"]
    for version in ("1.9.0", "1.10.0"):
        Clips(tmp_path, {name: feature}, encode, version).download_and_prepare()
    assert read(tmp_path).clips[0].source.folder.name == "1.10.0"


def changed(prepared, tmp_path, name, change):
    """A copy of what was prepared, with one file changed."""
    folder = shutil.copytree(prepared["image"] / "clips", tmp_path / "clips") / "1.0.0"
    found = next(folder.glob(name))
    content = found.read_bytes()
    assert change(content) != content
    found.write_bytes(change(content))
    return tmp_path


def put(old, new):
    return lambda content: content.replace(old, new)


IMAGE = b"tensorflow_datasets.core.features.image_feature.Image"


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        (
            "dataset_info.json",
            put(b"array_record", b"tfrecord"),
            "prepared as tfrecord.*convert_fo",
        ),
        ("dataset_info.json", put(b"{", b""), "cannot be read .*prepare it anew"),
        ("features.json", put(b"featuresDict", b"content"), "perhaps prepared by an old TFDS: can"),
        ("features.json", put(IMAGE, b"antigravity.Im"), "columns none; .*no such image or video"),
        (
            "features.json",
            put(b'"label"', b'"kind"'),
            "expected one of answer, label, .*by --config",
        ),
        (
            "*train.array_record*",
            lambda content: content[: len(content) // 2],
            "train: cannot be re",
        ),
        ("*train.array_record*", put(b"\0", b"\1"), "train: cannot be read"),
    ],
)
def test_what_cannot_be_read(prepared, tmp_path, name, change, message):
    folder = changed(prepared, tmp_path, name, change)
    with pytest.raises(UserError, match=message):
        read(folder)
    assert "antigravity" not in sys.modules  # no class that a file names is imported


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("tfds:nix", "not prepared in .*tfds build nix --file_format=array_record` in an env"),
        ("tfds:clips/big", "not prepared in .*tfds build clips/big"),
        ("tfds:../x", "expected tfds:NAME or tfds:NAME/CONFIG"),
        ("tfds:", "expected tfds:NAME"),
    ],
)
def test_names_of_what_is_not_prepared(prepared, name, message):
    with pytest.raises(UserError, match=message):
        read(prepared["image"], name=name)


def test_a_config_is_to_be_named(prepared, tmp_path):
    shutil.copytree(prepared["image"] / "clips", tmp_path / "clips" / "all")
    with pytest.raises(UserError, match=re.escape("expected tfds:clips/all, or run")):
        read(tmp_path)
    assert len(read(tmp_path, name="tfds:clips/all").clips) == 8


def lying_png():
    """A picture whose header tells of 40,000 by 40,000 pixels."""
    content = bytearray(png(np.zeros((4, 5), np.uint8)).getvalue())
    content[16:24] = struct.pack(">II", 40_000, 40_000)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    return io.BytesIO(content)


@pytest.mark.parametrize(
    ("encode", "message"),
    [
        (lambda x: png(x[0, ..., 0].astype(np.uint16)), "more than 8 bits a pixel"),
        (lambda x: lying_png(), "DecompressionBombError"),
        (lambda x: io.BytesIO(b"GIF89a"), "UnidentifiedImageError"),
    ],
)
def test_pictures_that_are_too_deep_too_large_or_none(tmp_path, encode, message):
    Clips(tmp_path, {"image": images((None, None, 3))}, encode).download_and_prepare()
    source = read(tmp_path).clips[0].source
    with pytest.raises(UserError, match=rf"test, record \d: .*{message}"):
        read_record(source)


def test_clips_that_would_fill_memory(prepared, monkeypatch):
    monkeypatch.setattr(prepared_by_tfds, "_LARGEST", 7 * 4 * 5 * 3)
    short, *_, long = read(prepared["video"]).clips[:3]  # of 6, 7 and 8 frames
    assert len(read_record(short.source)) == 6
    with pytest.raises(UserError, match="expected frames of at most 420 bytes together"):
        read_record(long.source)
