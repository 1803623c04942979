import hashlib
import json
import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tensorflow_datasets as tfds

from crnn_jax import UserError
from tests.own_clips import listing, noise, prepared, write_folder

CLIPS = [noise(1 + i % 5, 40, 40, seed=i) for i in range(40)]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder of clips and one of prepared data."""
    folder = tmp_path_factory.mktemp("made")
    clips = []
    for i, frames in enumerate(CLIPS):
        part = ("train", "train", "train", "validation", "test")[i % 5]
        clips.append((f"{i}", write_folder(folder / f"{i}", frames), "ab"[i % 2], part))
    prepared(listing(clips), folder / "data")
    return clips, folder / "data"


@pytest.fixture
def copy(made, tmp_path):
    """Opens a copy of what is prepared, which may be damaged; and its folder."""
    clips, data = made
    shutil.copytree(data, tmp_path / "data")
    (index,) = (tmp_path / "data").rglob("index.npz")
    return lambda: prepared(listing(clips), tmp_path / "data"), index.parent


def test_tfds_reads_what_is_prepared_in_the_order_of_the_listing(copy):
    open_, folder = copy
    del open_
    stored = tfds.builder_from_directory(folder).as_data_source()
    for part, rest in [("train", (0, 1, 2)), ("validation", (3,)), ("test", (4,))]:
        expected = [i for i in range(len(CLIPS)) if i % 5 in rest]
        assert [int(record["name"]) for record in stored[part]] == expected
        for record, i in zip(stored[part], expected, strict=True):
            np.testing.assert_array_equal(record["frames"], CLIPS[i], strict=True)
            assert record["answer"].decode() == "ab"[i % 2]


def test_threads_read_at_once_in_any_order(copy):
    train = copy[0]().parts["train"]
    clips = [frames for i, frames in enumerate(CLIPS) if i % 5 < 3]
    order = np.random.default_rng(0).integers(0, len(clips), 200)
    with ThreadPoolExecutor(8) as pool:
        for i, found in zip(order, pool.map(lambda i: train.read([i])[0], order), strict=True):
            np.testing.assert_array_equal(found, clips[i], strict=True)
    np.testing.assert_array_equal(train.frames(), np.concatenate(clips), strict=True)


def flip(path, place):
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def swap(folder):
    """Two whole files of records of the same size, each in the other's place."""
    first, second = sorted(folder.glob("*-train.*"))
    content = first.read_bytes()
    assert len(content) == len(second.read_bytes())
    first.write_bytes(second.read_bytes())
    second.write_bytes(content)


AT_ONCE = [
    lambda folder: flip(folder / "index.npz", 200),
    lambda folder: (folder / "index.npz").write_bytes(b""),
    lambda folder: (folder / "index.npz").unlink(),
    lambda folder: (folder / "metadata.json").write_text("{}"),
    lambda folder: next(folder.glob("*-train.*00001-of*")).unlink(),
    lambda folder: next(folder.glob("*-train.*00001-of*")).write_bytes(b"short"),
]
IN_READING = [
    lambda folder: (folder / "dataset_info.json").write_text("{"),
    lambda folder: flip(next(folder.glob("*-train.*00000-of*")), 20_000),
    swap,
]


@pytest.mark.parametrize("damage", AT_ONCE + IN_READING)
def test_damage_is_one_line(copy, damage):
    open_, folder = copy
    damage(folder)
    found = open_() if damage in IN_READING else None
    with pytest.raises(UserError, match=f"^{folder}: the prepared data is damaged") as error:
        found.parts["train"].frames() if found else open_()
    assert "\n" not in str(error.value)
    assert "delete this folder" in str(error.value)


def test_opening_reads_no_record(copy):
    open_, folder = copy
    for path in folder.glob("*.array_record*"):
        path.write_bytes(bytes(path.stat().st_size))
    found = open_()
    assert found.info.longest == 5
    assert len(found.parts["train"]) == 24


def test_the_checksum_of_the_index_stands_in_the_metadata(copy):
    stored = json.loads((copy[1] / "metadata.json").read_text())
    content = (copy[1] / "index.npz").read_bytes()
    assert stored == {"index_sha256": hashlib.sha256(content).hexdigest()}
