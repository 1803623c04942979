import contextlib
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from crnn_jax import UserError
from crnn_jax.data import store
from crnn_jax.data.sources import SOURCES
from crnn_jax.data.sources.source import Source
from crnn_jax.data.split import Split, identity
from crnn_jax.data.store import LabelledImages, load_splits
from tests.files import content


def made_splits(frame_shape, classes=10):
    rng = np.random.default_rng(0)
    return {
        name: Split(
            rng.integers(0, 256, (size, *frame_shape), np.uint8),
            rng.integers(0, classes, size, np.int32),
        )
        for name, size in [("train", 4_321), ("validation", 1_000), ("test", 7)]
    }


@pytest.fixture
def use(monkeypatch):
    """Has a source of its own read what it is given."""

    def add(frame_shape, read, classes=10):
        source = Source(tuple(map(str, range(classes))), frame_shape, glyphs=False, read=read)
        monkeypatch.setitem(SOURCES, "made/set_1", source)

    return add


@pytest.mark.parametrize("frame_shape", [(28, 28, 1), (19, 23, 3), (5, 4, 1)])
def test_what_is_read_is_what_was_prepared(tmp_path, use, frame_shape):
    splits = made_splits(frame_shape)
    use(frame_shape, lambda folder: splits)
    for _ in range(2):  # prepared, then read again
        found, found_identity = load_splits("made/set_1", data_dir=tmp_path, manual_dir="")
        assert list(found) == ["train", "validation", "test"]
        for name, split in splits.items():
            for array, expected in zip(found[name], split, strict=True):
                np.testing.assert_array_equal(array, expected, strict=True)
        assert found_identity == identity("made/set_1", splits)

    reopened = LabelledImages("made/set_1", SOURCES["made/set_1"], tmp_path)
    source = reopened.as_data_source("train")
    order = [record["first_index"] for record in source.__getitems__(range(len(source)))]
    assert order != sorted(order), "the records are in order: this test proves little"


def test_grey_images_are_stored_as_they_were_before_images_could_be_in_colour(data_dir, optdigits):
    """So that what was prepared by earlier versions is read."""
    del optdigits  # has prepared it
    folder = Path(data_dir) / "glyphs" / "optdigits" / "1.0.0"
    assert '"28",\n' in (folder / "features.json").read_text()
    builder = LabelledImages("optdigits", SOURCES["optdigits"], data_dir)
    assert builder.as_data_source("test")[0]["images"].shape == (300, 28, 28)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda images, labels: (images.astype(np.float32), labels), r"as float32 \(5, 4, 3\)"),
        (lambda images, labels: (images[:, 1:], labels), r"as uint8 \(4, 4, 3\), labels 0\.\.1"),
        (lambda images, labels: (images, labels + 1), r"labels 1\.\.2, expected .*labels 0\.\.1"),
        (lambda images, labels: (images[:0], labels[:0]), "no images for validation"),
    ],
)
def test_a_source_that_reads_other_than_it_says(tmp_path, use, change, message):
    splits = made_splits((5, 4, 3), classes=2)
    splits["validation"] = Split(*change(*splits["validation"]))
    use((5, 4, 3), lambda folder: splits, classes=2)
    with pytest.raises(UserError, match=f"^the source made/set_1 reads .*{message}"):
        load_splits("made/set_1", data_dir=tmp_path, manual_dir="")
    assert [path.name for path in tmp_path.iterdir()] == ["glyphs.lock"]


def test_a_source_whose_splits_are_others_or_in_another_order(tmp_path, use):
    splits = made_splits((5, 4, 3), classes=2)
    use((5, 4, 3), lambda folder: dict(reversed(splits.items())), classes=2)
    with pytest.raises(UserError, match="reads test, validation, train, expected train, valid"):
        load_splits("made/set_1", data_dir=tmp_path, manual_dir="")


@pytest.mark.parametrize("failure", [KeyboardInterrupt, MemoryError])
def test_a_failed_preparation_leaves_nothing(tmp_path, use, monkeypatch, failure):
    generate = LabelledImages._generate_examples

    def failing(self, split):
        yield next(generate(self, split))
        raise failure

    use((5, 4, 1), lambda folder: made_splits((5, 4, 1)))
    monkeypatch.setattr(LabelledImages, "_generate_examples", failing)
    with pytest.raises(failure):
        load_splits("made/set_1", data_dir=tmp_path, manual_dir="")
    assert list((tmp_path / "glyphs" / "made_set_1").iterdir()) == []


@pytest.fixture
def small_disk(tmp_path):
    """Mounts a disk of so many kilobytes; skips where that takes rights we lack."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = []

    def mount(kilobytes):
        command = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", folder]
        if subprocess.run(command, check=False, capture_output=True).returncode:
            pytest.skip("needs the right to mount a small disk")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize("kilobytes", [8, 500, 1145, 1155])  # it takes 1,164
def test_a_full_disk_is_one_line_and_leaves_nothing_half_written(small_disk, kilobytes):
    data_dir = small_disk(kilobytes) / "data"
    with pytest.raises(UserError, match=rf"^{data_dir}: .*(No space left|disk space)") as error:
        load_splits("mnist-5k", data_dir=data_dir, manual_dir="")
    assert "\n" not in str(error.value)
    assert "--config.data.data_dir=FOLDER" in str(error.value)
    assert not [path for path in content(data_dir) if path.is_file() and path.suffix != ".lock"]


@pytest.fixture
def copy(tmp_path, data_dir, optdigits):
    """The folder of a prepared data set that may be damaged, in the data folder `tmp_path`."""
    del optdigits  # has prepared it
    shutil.copytree(Path(data_dir) / "glyphs", tmp_path / "glyphs")
    return tmp_path / "glyphs" / "optdigits" / "1.0.0"


def flip(path):
    content = bytearray(path.read_bytes())
    content[20_000] ^= 1  # within the images: the tail of so small a file is padding
    path.write_bytes(content)


def drop_a_record(path):
    path.write_text(path.read_text().replace('"2"', '"1"'))


@pytest.mark.parametrize(
    ("file", "damage"),
    [
        ("glyphs-train.array_record-00000-of-00001", flip),
        ("glyphs-train.array_record-00000-of-00001", Path.unlink),
        ("glyphs-train.array_record-00000-of-00001", lambda path: path.write_bytes(b"")),
        ("dataset_info.json", drop_a_record),
        ("dataset_info.json", Path.unlink),
        ("dataset_info.json", lambda path: path.write_text("{")),
        ("metadata.json", Path.unlink),
    ],
)
def test_damage_is_seen_and_can_be_mended(tmp_path, copy, optdigits, file, damage):
    damage(copy / file)
    with pytest.raises(UserError, match=f"^{copy}: .*damaged.*delete this folder") as error:
        load_splits("optdigits", data_dir=tmp_path, manual_dir="")
    assert "\n" not in str(error.value)
    shutil.rmtree(copy)
    _, identity = load_splits("optdigits", data_dir=tmp_path, manual_dir="")
    assert identity == optdigits.identity


def test_a_read_only_folder_that_is_prepared_is_only_read(tmp_path, copy, monkeypatch, optdigits):
    monkeypatch.setattr(store, "locked", None)  # what writing would begin with
    _, identity = load_splits("optdigits", data_dir=tmp_path, manual_dir="")
    assert identity == optdigits.identity
    assert [path.name for path in tmp_path.iterdir()] == ["glyphs"]


def test_what_another_process_prepared_meanwhile_is_taken(
    tmp_path, data_dir, monkeypatch, optdigits
):
    @contextlib.contextmanager
    def locked_after_a_while(path, *, wait):
        shutil.copytree(Path(data_dir) / "glyphs", tmp_path / "glyphs")
        yield

    monkeypatch.setattr(store, "locked", locked_after_a_while)
    monkeypatch.setattr(store, "_write", None)  # must not be called
    _, identity = load_splits("optdigits", data_dir=tmp_path, manual_dir="")
    assert identity == optdigits.identity


@pytest.mark.parametrize("data_dir", ["file", "file/below"])
def test_a_data_dir_that_cannot_be_written(tmp_path, data_dir):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=f"^{tmp_path / data_dir}: .*--config.data.data_dir=FOLDER"):
        load_splits("optdigits", data_dir=tmp_path / data_dir, manual_dir="")


def test_prints_nothing(tmp_path, capfd):
    load_splits("optdigits", data_dir=tmp_path, manual_dir="")
    assert capfd.readouterr() == ("", "")


START = """
import dataclasses, os, pathlib, sys, time
import numpy as np
from crnn_jax.data.sources import SOURCES
from crnn_jax.data import store
from crnn_jax.data.split import Split

split = Split(np.zeros((5, 28, 28, 1), np.uint8), np.arange(5, dtype=np.int32))

def use(read):
    SOURCES["optdigits"] = dataclasses.replace(SOURCES["optdigits"], read=read)

use(lambda folder: {"train": split, "validation": split, "test": split})

def load():
    print(store.load_splits("optdigits", data_dir=pathlib.Path(sys.argv[1]), manual_dir="")[1])
    assert "tensorflow" not in sys.modules
"""

DIE = """
generate_examples = store.LabelledImages._generate_examples

def generate(self, split):
    if list(pathlib.Path(self.data_dir).glob("*train*")):
        os._exit(9)
    yield from generate_examples(self, split)

store.LabelledImages._generate_examples = generate
load()
"""

TOGETHER = """
read = SOURCES["optdigits"].read
use(lambda folder: time.sleep(0.5) or read(folder))
print("ready", flush=True)
sys.stdin.readline()
load()
"""


def test_a_killed_preparation_is_not_taken_for_prepared(tmp_path, optdigits):
    killed = subprocess.run([sys.executable, "-c", START + DIE, tmp_path], check=False)
    assert killed.returncode == 9
    assert list(tmp_path.glob("glyphs/optdigits/*/*")), "it died too early to prove anything"
    assert list(tmp_path.glob("glyphs-scratch-*"))
    _, identity = load_splits("optdigits", data_dir=tmp_path, manual_dir="")
    assert identity == optdigits.identity
    assert [path.name for path in tmp_path.glob("glyphs/optdigits/*")] == ["1.0.0"]
    assert {path.name for path in tmp_path.iterdir()} == {"glyphs", "glyphs.lock"}


def test_two_processes_at_once(tmp_path):
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    command = [sys.executable, "-c", START + TOGETHER, tmp_path]
    processes = [subprocess.Popen(command, text=True, **pipes) for _ in range(2)]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    results = [process.communicate(timeout=30) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], results
    (first, _), (second, _) = results
    assert first == second
    assert first.startswith("optdigits:")
