"""A run's folder: who may use it, and what is written there, whole or not at all."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from crnn_jax import UserError
from crnn_jax.runs import folder as folder_module
from crnn_jax.runs.folder import RunFolder, read_json, write_json
from tests.files import content

CONFIG, RECORD = {"seed": 0, "model": {"convs": [[4, 5, True]]}}, {"corpus": "mnist:0123"}


@pytest.fixture
def folder(tmp_path):
    """A folder that holds a run."""
    folder = RunFolder(tmp_path / "run")
    folder.claim(CONFIG, RECORD)
    return folder


def test_a_new_folder_is_claimed_and_stays_the_runs_own(tmp_path):
    folder = RunFolder(tmp_path / "runs" / "new")
    assert folder.read() is None
    assert not folder.path.parent.exists()
    folder.claim(CONFIG, RECORD)
    assert sorted(os.listdir(folder.path)) == ["config.json", "run.json"]
    assert folder.read() == (CONFIG, RECORD)


@pytest.mark.parametrize("below", [".", "deep/er"])
def test_a_file_in_the_way_is_named(tmp_path, below):
    file = tmp_path / "file"
    file.write_text("mine")
    with pytest.raises(
        UserError, match=rf"cannot be written \({file} is no folder\): name another"
    ):
        RunFolder(file / below).read()
    assert content(tmp_path) == {file: b"mine"}


def test_a_folder_without_permission_is_refused_before_anything_is_made(tmp_path, monkeypatch):
    def access(path, mode):  # the tests' user may be root, who may write anywhere
        return Path(path) != tmp_path or not mode & os.W_OK

    monkeypatch.setattr(os, "access", access)
    with pytest.raises(
        UserError, match=rf"cannot be written \(no permission to write in {tmp_path}"
    ):
        RunFolder(tmp_path / "a" / "b").read()
    assert os.listdir(tmp_path) == []


def test_what_cannot_be_made_after_all_is_one_line(tmp_path):
    (tmp_path / "file").write_text("mine")
    folder = RunFolder(tmp_path / "file" / "run")
    with pytest.raises(UserError, match=r"/run cannot be written \(Not a directory\): name"):
        folder.claim(CONFIG, RECORD)
    with (
        pytest.raises(UserError, match=r"/run cannot be written \(Not a directory\): name"),
        folder.locked(),
    ):
        pass


def test_checkpoints_of_an_unknown_config_are_not_gone_on_with(folder):
    folder.checkpoints.mkdir()
    folder.config.unlink()
    assert folder.read() is None  # nothing was trained
    (folder.checkpoints / "4").mkdir()
    with pytest.raises(UserError, match=r"has checkpoints but no config\.json, .*: put it back"):
        folder.read()


def test_a_full_disk_leaves_no_half_file(tmp_path, monkeypatch):
    write = Path.write_bytes

    def full(self, content):
        write(self, content[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(UserError, match=r"cannot be written \(No space left on device\)"):
        RunFolder(tmp_path).claim(CONFIG, RECORD)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("text", ["", "{", "[1]", "\xff\xfe", '{"a": 1, "a": 2}'])
def test_a_damaged_file_is_named(folder, text):
    for path in (folder.config, folder.record):
        whole = path.read_bytes()
        path.write_bytes(text.encode("latin-1"))
        with pytest.raises(UserError, match=rf"^{path} is damaged \(.*\): name another"):
            folder.read()
        path.write_bytes(whole)


def test_a_killed_claim_is_one_that_never_was(folder, monkeypatch):
    written = []
    write = folder_module.write_json
    monkeypatch.setattr(
        folder_module,
        "write_json",
        lambda path, value: written.append(path.name) or write(path, value),
    )
    folder.claim(CONFIG, RECORD)
    assert written == ["run.json", "config.json"]
    folder.config.unlink()
    assert folder.read() is None


def test_json_is_read_as_it_was_written(tmp_path):
    value = {"rmse": 0.1, "per_length": [{"length": 1}]}
    write_json(tmp_path / "results.json", value)
    assert read_json(tmp_path / "results.json") == value
    assert json.loads((tmp_path / "results.json").read_text()) == value


def test_one_writer_at_a_time_and_none_of_a_dead_process(tmp_path):
    folder = RunFolder(tmp_path / "new" / "run")
    with (
        folder.locked(),
        pytest.raises(UserError, match=rf"{folder.path} is in use by process {os.getpid()} on "),
        folder.locked(),
    ):
        pass
    program = """
import os, signal, sys
from crnn_jax.runs.folder import RunFolder

with RunFolder(sys.argv[1]).locked():
    os.kill(os.getpid(), signal.SIGKILL)
"""
    child = subprocess.run([sys.executable, "-c", program, str(folder.path)], check=False)
    assert child.returncode == -signal.SIGKILL
    assert folder.lock.read_text().startswith("process ")
    with folder.locked():
        assert f"process {os.getpid()} on " in folder.lock.read_text()


def test_a_disk_that_is_full_at_the_lock_is_one_line(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with (
        pytest.raises(UserError, match=r"cannot be written \(No space left on device\)"),
        RunFolder(tmp_path).locked(),
    ):
        pass
