import dataclasses
import gzip
import hashlib
import zipfile

import numpy as np
import pytest

from crnn_jax import UserError
from crnn_jax.data import store
from crnn_jax.data.dataset import load_dataset
from crnn_jax.data.sources import SOURCES, emnist
from tests.files import content, idx_bytes, served

FILES = emnist.PUBLISHED.instead
RNG = np.random.default_rng(0)
PIXELS = {"train": RNG.integers(0, 256, (60, 28, 28), np.uint8)}  # as stored, column by column
PIXELS["test"] = RNG.integers(0, 256, (26, 28, 28), np.uint8)
LABELS = {"train": np.arange(60, dtype=np.uint8)[::-1] % 26 + 1}
LABELS["test"] = np.arange(26, dtype=np.uint8) + 1


@pytest.fixture(autouse=True)
def sizes(monkeypatch):
    """The small files of this test pass for NIST's."""
    monkeypatch.setattr(emnist, "SIZES", {"train": 54, "validation": 6, "test": 26})


def idx(array):
    return gzip.compress(idx_bytes(array), mtime=0)


def write_loose(folder, **changed):
    """Small files that have EMNIST's form, changed ones by the names of their arrays."""
    folder.mkdir(exist_ok=True)
    for part in ("train", "test"):
        pixels = changed.get(f"{part}_pixels", PIXELS[part])
        labels = changed.get(f"{part}_labels", LABELS[part])
        (folder / f"emnist-letters-{part}-images-idx3-ubyte.gz").write_bytes(idx(pixels))
        (folder / f"emnist-letters-{part}-labels-idx1-ubyte.gz").write_bytes(idx(labels))
    return folder


@pytest.fixture
def loose(tmp_path):
    return write_loose(tmp_path / "loose")


@pytest.fixture
def publish(monkeypatch):
    """Takes changes for what NIST publishes."""

    def change(**changes):
        published = dataclasses.replace(emnist.PUBLISHED, **changes)
        letters = dataclasses.replace(emnist.LETTERS, published=published)
        monkeypatch.setitem(SOURCES, "emnist/letters", letters)

    return change


@pytest.fixture
def zipped(tmp_path, loose, publish):
    """Folder of a zip file of the small files, which passes for NIST's."""
    folder = tmp_path / "zipped"
    folder.mkdir()
    with zipfile.ZipFile(folder / "gzip.zip", "w") as archive:
        archive.writestr("gzip/emnist-digits-mapping.txt", "0 48")
        for name in FILES:
            archive.write(loose / name, f"gzip/{name}")
    sha256 = hashlib.sha256((folder / "gzip.zip").read_bytes()).hexdigest()
    publish(sha256={"gzip.zip": sha256})
    return folder


def load(name, data_dir, manual_dir="", *, fallback=True):
    return load_dataset(name, data_dir=str(data_dir), manual_dir=str(manual_dir), fallback=fallback)


def test_letters_stand_upright_and_count_from_0(tmp_path):
    stroke = np.zeros((60, 28, 28), np.uint8)
    stroke[7, 3, 20] = 255  # as NIST stores it: column 3, row 20
    splits = emnist.read(write_loose(tmp_path, train_pixels=stroke))
    assert np.argwhere(splits["train"].images_IxHxWxC).tolist() == [[7, 20, 3, 0]]
    upright = PIXELS["test"].transpose(0, 2, 1)[..., None]
    np.testing.assert_array_equal(splits["test"].images_IxHxWxC, upright, strict=True)
    labels_I = np.arange(26, dtype=np.int32)
    np.testing.assert_array_equal(splits["test"].labels_I, labels_I, strict=True)


def test_another_number_of_images_is_refused(tmp_path):
    for part in ("train", "test"):
        fewer = {f"{part}_pixels": PIXELS[part][1:], f"{part}_labels": LABELS[part][1:]}
        write_loose(tmp_path, **fewer)
        name = f"emnist-letters-{part}-images-idx3-ubyte.gz"
        numbers = f"{len(LABELS[part]) - 1} images, expected {len(LABELS[part])}"
        with pytest.raises(UserError, match=f"^{tmp_path}/{name}: found {numbers}"):
            emnist.read(tmp_path)
        write_loose(tmp_path)


def test_loose_and_zipped_are_the_same_data(tmp_path, loose, zipped):
    letters = load("emnist/letters", tmp_path / "a", loose)
    assert (letters.info.name, len(letters.info.classes)) == ("emnist/letters", 26)
    assert letters.identity.startswith("emnist/letters:")
    for found, part, border in [
        (letters.train, "train", slice(54)),
        (letters.validation, "train", slice(54, 60)),
        (letters.test, "test", slice(26)),
    ]:
        upright_IxHxWxC = PIXELS[part][border].transpose(0, 2, 1)[..., None]
        np.testing.assert_array_equal(found.images_IxHxWxC, upright_IxHxWxC, strict=True)
        labels_I = LABELS[part][border].astype(np.int32) - 1
        np.testing.assert_array_equal(found.labels_I, labels_I, strict=True)
    assert load("emnist/letters", tmp_path / "b", zipped).identity == letters.identity
    again = load("emnist/letters", tmp_path / "b")  # what was prepared
    assert again.identity == letters.identity


def test_both_data_sets_are_prepared_once(tmp_path, zipped, monkeypatch):
    letters = load("emnist/letters-a-j", tmp_path / "data", zipped)
    monkeypatch.setattr(store, "_prepare", None)  # must not be called
    whole = load("emnist/letters", tmp_path / "data")
    assert (letters.info.name, letters.info.classes) == ("emnist/letters-a-j", tuple("abcdefghij"))
    assert letters.identity.startswith("emnist/letters-a-j:")
    assert letters.identity[-16:] != whole.identity[-16:]
    for part in ("train", "validation", "test"):
        all_letters, first_ten = getattr(whole, part), getattr(letters, part)
        kept = [i for i, label in enumerate(all_letters.labels_I) if label in range(10)]
        for found, expected in zip(first_ten, all_letters, strict=True):
            np.testing.assert_array_equal(found, expected[kept], strict=True)
    assert load("emnist/letters-a-j", tmp_path / "data").identity == letters.identity


def damage(folder, name, change):
    (folder / name).write_bytes(change((folder / name).read_bytes()))


DAMAGE = {
    "a web page": (FILES[2], lambda content: b"<html>", "not a whole gzip file"),
    "label 27": (FILES[3], lambda content: idx(LABELS["test"] + 1), "found label 27 at index 25"),
    "zip cut off": ("gzip.zip", lambda content: content[:-9], "not the official EMNIST file"),
    "no zip": ("gzip.zip", lambda content: b"<html>", "not the official EMNIST file"),
}


@pytest.mark.parametrize("corpus", ["emnist/letters", "emnist/letters-a-j"])
@pytest.mark.parametrize(("name", "change", "message"), DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_file_is_one_line_and_leaves_nothing(
    tmp_path, loose, zipped, corpus, name, change, message
):
    folder = zipped if name == "gzip.zip" else loose
    damage(folder, name, change)
    before = content(tmp_path)
    with pytest.raises(UserError, match=f"^{folder}/.*{message}") as error:
        load(corpus, tmp_path / "data", folder)
    assert "\n" not in str(error.value)
    assert content(tmp_path) == before


@pytest.mark.parametrize("fallback", [True, False])
@pytest.mark.parametrize("corpus", ["emnist/letters", "emnist/letters-a-j"])
def test_nothing_stands_in(tmp_path, publish, corpus, fallback):
    publish(url="http://127.0.0.1:9/")
    with pytest.raises(UserError) as error:
        load(corpus, tmp_path, fallback=fallback)
    message = str(error.value)
    for part in ("EMNIST is not available", "ConnectionError", "gzip.zip", "manual_dir=FOLDER"):
        assert part in message
    for part in ("\n", "mnist-5k", "fallback"):
        assert part not in message
    assert [path.name for path in tmp_path.iterdir()] == ["glyphs.lock"]


@pytest.fixture
def server(zipped, publish, monkeypatch):
    """Serves the zip file in NIST's place; the value is its folder."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    published = SOURCES["emnist/letters"].published
    with served(zipped) as address:
        publish(sha256=published.sha256, url=address)
        yield zipped


def test_downloaded(tmp_path, server, loose):
    letters = load("emnist/letters", tmp_path / "data", fallback=False)
    assert letters.identity == load("emnist/letters", tmp_path / "other", loose).identity
    assert {path.name for path in (tmp_path / "data").iterdir()} == {"glyphs", "glyphs.lock"}


def test_a_download_of_something_else_leaves_nothing(tmp_path, server):
    damage(server, "gzip.zip", lambda content: content[:-1] + b"x")
    with pytest.raises(UserError, match=r"EMNIST is not available.*: not the official file"):
        load("emnist/letters", tmp_path / "data")
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["glyphs.lock"]
