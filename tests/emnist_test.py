import gzip
import hashlib
import zipfile

import numpy as np
import pytest

from crnn_jax import UserError
from crnn_jax.data import store as prepared_module
from crnn_jax.data.dataset import load_dataset
from crnn_jax.data.sources import emnist
from crnn_jax.data.sources.download import DownloadError
from crnn_jax.data.sources.emnist import FILES, check_folder, read_files
from tests.files import idx_bytes, served

RNG = np.random.default_rng(0)
PIXELS = {"train": RNG.integers(0, 256, (60, 28, 28), np.uint8)}  # as stored, column by column
PIXELS["test"] = RNG.integers(0, 256, (26, 28, 28), np.uint8)
LABELS = {"train": np.arange(60, dtype=np.uint8)[::-1] % 26 + 1}
LABELS["test"] = np.arange(26, dtype=np.uint8) + 1
NUMBERS = {"training_images": 60, "test_images": 26}


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


def write_zip(folder, loose):
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / "gzip.zip", "w") as archive:
        archive.writestr("gzip/emnist-digits-mapping.txt", "0 48")
        for name in FILES:
            archive.write(loose / name, f"gzip/{name}")
    return folder


@pytest.fixture
def loose(tmp_path, monkeypatch):
    """Folder of the small files, which pass for NIST's."""
    monkeypatch.setattr(emnist, "TRAINING_IMAGES", 60)
    monkeypatch.setattr(emnist, "TEST_IMAGES", 26)
    return write_loose(tmp_path / "loose")


@pytest.fixture
def zipped(tmp_path, loose, monkeypatch):
    """Folder of a zip file of them, which passes for NIST's."""
    folder = write_zip(tmp_path / "zipped", loose)
    content = (folder / "gzip.zip").read_bytes()
    monkeypatch.setattr(emnist, "ZIP_SHA256", hashlib.sha256(content).hexdigest())
    monkeypatch.setattr(emnist, "ZIP_BYTES", len(content))
    return folder


def load(name, data_dir, manual_dir="", *, fallback=True):
    return load_dataset(name, data_dir=str(data_dir), manual_dir=str(manual_dir), fallback=fallback)


def content(folder):
    return {path.relative_to(folder) for path in folder.rglob("*")}


def test_letters_stand_upright_and_count_from_0(tmp_path):
    stroke = np.zeros((60, 28, 28), np.uint8)
    stroke[7, 3, 20] = 255  # as NIST stores it: column 3, row 20
    splits = read_files(write_loose(tmp_path, train_pixels=stroke), **NUMBERS)
    assert np.argwhere(splits["train"].images_NxHxWxC).tolist() == [[7, 20, 3, 0]]
    np.testing.assert_array_equal(
        splits["test"].images_NxHxWxC, PIXELS["test"].transpose(0, 2, 1)[..., None], strict=True
    )
    np.testing.assert_array_equal(
        splits["test"].labels_N, np.arange(26, dtype=np.int32), strict=True
    )


@pytest.mark.parametrize(("images", "validation"), [(60, 6), (49_990, 4_999), (60_000, 5_000)])
def test_the_last_training_images_are_the_validation_images(
    tmp_path, monkeypatch, images, validation
):
    pixels = np.broadcast_to(np.uint8(0), (images, 28, 28, 1))
    labels = np.arange(images).astype(np.uint8) % 26 + 1
    pair = emnist.Split(pixels, labels.astype(np.int32))
    monkeypatch.setattr(emnist, "read_pair", lambda *args, **kwargs: pair)
    splits = read_files(tmp_path, training_images=images, test_images=images)
    assert list(splits) == ["train", "validation", "test"]
    assert [len(split.images_NxHxWxC) for split in splits.values()] == [
        images - validation,
        validation,
        images,
    ]
    np.testing.assert_array_equal(
        np.concatenate([splits["train"].labels_N, splits["validation"].labels_N]), labels - 1
    )


def test_another_number_of_images_is_refused(tmp_path):
    write_loose(tmp_path)
    for part, wrong in [("train", {"training_images": 61}), ("test", {"test_images": 25})]:
        with pytest.raises(
            UserError,
            match=f"^{tmp_path}/emnist-letters-{part}-images-idx3-ubyte.gz: found .*expected "
            f"{min(wrong.values())}",
        ):
            read_files(tmp_path, **(NUMBERS | wrong))


def test_loose_and_zipped_are_the_same_corpus(tmp_path, loose, zipped):
    corpus = load("emnist/letters", tmp_path / "a", loose)
    assert (corpus.info.name, len(corpus.info.classes)) == ("emnist/letters", 26)
    assert corpus.identity.startswith("emnist/letters:")
    for found, part, border in [
        (corpus.train, "train", slice(54)),
        (corpus.validation, "train", slice(54, 60)),
        (corpus.test, "test", slice(26)),
    ]:
        upright_NxHxWxC = PIXELS[part][border].transpose(0, 2, 1)[..., None]
        np.testing.assert_array_equal(found.images_NxHxWxC, upright_NxHxWxC, strict=True)
        labels_N = LABELS[part][border].astype(np.int32) - 1
        np.testing.assert_array_equal(found.labels_N, labels_N, strict=True)
    assert load("emnist/letters", tmp_path / "b", zipped).identity == corpus.identity
    again = load("emnist/letters", tmp_path / "b")  # what was prepared
    assert again.identity == corpus.identity


def test_both_corpora_are_prepared_once(tmp_path, zipped, monkeypatch):
    letters = load("emnist/letters-a-j", tmp_path / "data", zipped)
    monkeypatch.setattr(prepared_module, "_prepare", None)  # must not be called
    whole = load("emnist/letters", tmp_path / "data")
    assert (letters.info.name, len(letters.info.classes)) == ("emnist/letters-a-j", 10)
    assert letters.identity.startswith("emnist/letters-a-j:")
    assert letters.identity[-16:] != whole.identity[-16:]
    for part in ("train", "validation", "test"):
        all_letters, first_ten = getattr(whole, part), getattr(letters, part)
        kept = [i for i, label in enumerate(all_letters.labels_N) if label in range(10)]
        np.testing.assert_array_equal(
            first_ten.images_NxHxWxC, all_letters.images_NxHxWxC[kept], strict=True
        )
        np.testing.assert_array_equal(first_ten.labels_N, all_letters.labels_N[kept], strict=True)
    assert load("emnist/letters-a-j", tmp_path / "data").identity == letters.identity


def test_missing_files_are_named(tmp_path):
    with pytest.raises(UserError, match=r"absent: no such folder.*gzip\.zip.*manual_dir"):
        check_folder(tmp_path / "absent")
    with pytest.raises(UserError, match=r"xxx: no such folder"):
        check_folder(tmp_path / ("x" * 300))
    write_loose(tmp_path)
    check_folder(tmp_path)
    (tmp_path / FILES[1]).unlink()
    with pytest.raises(UserError) as error:
        check_folder(tmp_path)
    assert f"neither gzip.zip nor {FILES[1]};" in str(error.value)
    (tmp_path / "gzip.zip").write_bytes(b"")
    check_folder(tmp_path)


def damaged(folder, name, change):
    (folder / name).write_bytes(change((folder / name).read_bytes()))


DAMAGE = {
    "cut off": (FILES[0], lambda content: content[:-9], "not a whole gzip file"),
    "a web page": (FILES[2], lambda content: b"<html>", "not a whole gzip file"),
    "label 0": (FILES[3], lambda content: idx(LABELS["test"] - 1), "found label 0 at index 0"),
    "label 27": (FILES[3], lambda content: idx(LABELS["test"] + 1), "found label 27 at index 25"),
    "half the images": (FILES[2], lambda content: idx(PIXELS["test"][:13]), "found 26 labels"),
    "zip cut off": ("gzip.zip", lambda content: content[:-9], "not the official EMNIST file"),
    "no zip": ("gzip.zip", lambda content: b"<html>", "not the official EMNIST file"),
}


@pytest.mark.parametrize("corpus", ["emnist/letters", "emnist/letters-a-j"])
@pytest.mark.parametrize(("name", "change", "message"), DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_file_is_one_line_and_leaves_nothing(
    tmp_path, loose, zipped, corpus, name, change, message
):
    folder = zipped if name == "gzip.zip" else loose
    damaged(folder, name, change)
    before = content(tmp_path)
    with pytest.raises(UserError, match=f"^{folder}/.*{message}") as error:
        load(corpus, tmp_path / "data", folder)
    assert "\n" not in str(error.value)
    assert "MNIST" not in str(error.value).replace("EMNIST", "")
    assert content(tmp_path) == before


def test_a_folder_without_the_files_is_a_mistake(tmp_path):
    (tmp_path / "manual").mkdir()
    with pytest.raises(UserError, match=r"neither gzip\.zip nor emnist-letters-train-images"):
        load("emnist/letters", tmp_path / "data", tmp_path / "manual")
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("fallback", [True, False])
@pytest.mark.parametrize("corpus", ["emnist/letters", "emnist/letters-a-j"])
def test_nothing_stands_in(tmp_path, monkeypatch, corpus, fallback):
    def fail(url, path, **official):
        raise DownloadError(f"{url}: ConnectionError")

    monkeypatch.setattr(emnist, "download_file", fail)
    with pytest.raises(UserError) as error:
        load(corpus, tmp_path, fallback=fallback)
    message = str(error.value)
    for part in ("EMNIST could not be had", "ConnectionError", "gzip.zip", "manual_dir=FOLDER"):
        assert part in message
    for part in ("\n", "optdigits", "fallback", "four files"):
        assert part not in message
    assert [path.name for path in tmp_path.iterdir()] == ["glyphs.lock"]


@pytest.fixture
def server(zipped, monkeypatch):
    """Serves the zip file in NIST's place; the value is its folder."""

    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with served(zipped) as address:
        monkeypatch.setattr(emnist, "URL", f"{address}gzip.zip")
        yield zipped


def test_downloaded(tmp_path, server, loose):
    corpus = load("emnist/letters", tmp_path / "data", fallback=False)
    assert corpus.identity == load("emnist/letters", tmp_path / "other", loose).identity
    assert {path.name for path in (tmp_path / "data").iterdir()} == {"glyphs", "glyphs.lock"}


def test_a_download_of_something_else_leaves_nothing(tmp_path, server):
    damaged(server, "gzip.zip", lambda content: content[:-1] + b"x")
    with pytest.raises(UserError, match=r"EMNIST could not be had.*is not the official file"):
        load("emnist/letters", tmp_path / "data")
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["glyphs.lock"]
