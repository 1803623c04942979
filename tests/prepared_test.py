import contextlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from crnn_jax import UserError
from crnn_jax.data import store
from crnn_jax.data.store import load_splits


@pytest.fixture
def copy(tmp_path, data_dir, optdigits):
    """The folder of a prepared corpus that may be damaged, in the data folder `tmp_path`."""
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
    monkeypatch.setattr(store, "_locked", None)  # what writing would begin with
    _, identity = load_splits("optdigits", data_dir=tmp_path, manual_dir="")
    assert identity == optdigits.identity
    assert [path.name for path in tmp_path.iterdir()] == ["glyphs"]


def test_what_another_process_prepared_meanwhile_is_taken(
    tmp_path, data_dir, monkeypatch, optdigits
):
    @contextlib.contextmanager
    def locked_after_a_while(path):
        shutil.copytree(Path(data_dir) / "glyphs", tmp_path / "glyphs")
        yield

    monkeypatch.setattr(store, "_locked", locked_after_a_while)
    monkeypatch.setattr(store, "_prepare", None)  # must not be called
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
import os, pathlib, sys, time
import numpy as np
from crnn_jax.data import store_builder
from crnn_jax.data.sources import optdigits
from crnn_jax.data import store
from crnn_jax.data.split import Split

split = Split(np.zeros((5, 28, 28), np.uint8), np.arange(5, dtype=np.int32))
optdigits.read_splits = lambda: {"train": split, "validation": split, "test": split}

def load():
    print(store.load_splits("optdigits", data_dir=pathlib.Path(sys.argv[1]), manual_dir="")[1])
    assert "tensorflow" not in sys.modules
"""

DIE = """
generate_examples = builder.Glyphs._generate_examples

def generate(self, split):
    if list(pathlib.Path(self.data_dir).glob("*train*")):
        os._exit(9)
    yield from generate_examples(self, split)

builder.Glyphs._generate_examples = generate
load()
"""

TOGETHER = """
read_splits = optdigits.read_splits
optdigits.read_splits = lambda: time.sleep(0.5) or read_splits()
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
