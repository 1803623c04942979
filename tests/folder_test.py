"""A run's folder: who may use it, and what is written there, whole or not at all."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from crnn_jax import UserError
from crnn_jax.runs import folder
from tests.files import content


def test_a_new_folder_is_claimed_and_stays_the_runs_own(tmp_path, tiny_config, optdigits):
    folder = tmp_path / "runs" / "new"
    folder.check_config(folder, tiny_config)
    assert folder.recorded_corpus(folder) is None
    folder.check_corpus(folder, optdigits)
    assert not folder.parent.exists()

    folder.claim(folder, tiny_config, optdigits)
    assert sorted(os.listdir(folder)) == ["config.json", "run.json"]
    assert json.loads((folder / "config.json").read_text()) == json.loads(tiny_config.to_json())
    assert folder.recorded_corpus(folder) == optdigits.identity
    folder.check_config(folder, tiny_config)
    folder.check_corpus(folder, optdigits)


def test_what_a_result_depends_on_is_recorded_at_every_start(tmp_path, tiny_config, optdigits):
    folder.claim(tmp_path, tiny_config, optdigits)
    first = json.loads((tmp_path / "run.json").read_text())
    assert first["corpus"] == optdigits.identity
    assert len(first["devices"]) == 8
    assert first["processes"] == 1
    assert set(first) >= {"started", "command", "git_revision", "python", "platform"}
    assert first["versions"]["jax"][0].isdigit()
    config_time = (tmp_path / "config.json").stat().st_mtime_ns
    (tmp_path / "run.json").unlink()
    folder.claim(tmp_path, tiny_config, optdigits)
    assert json.loads((tmp_path / "run.json").read_text())["corpus"] == optdigits.identity
    assert (tmp_path / "config.json").stat().st_mtime_ns == config_time


def test_a_run_of_another_config_is_refused_and_the_fields_named(tmp_path, tiny_config, optdigits):
    folder.claim(tmp_path, tiny_config, optdigits)
    before = content(tmp_path)
    tiny_config.train.steps = 40
    tiny_config.model.gru_units = (8,)
    tiny_config.data.manual_dir = "/elsewhere"
    with pytest.raises(UserError) as refusal:
        folder.check_config(tmp_path, tiny_config)
    assert str(refusal.value) == (
        f"--workdir={tmp_path} holds a run of another config (model.gru_units: [16], not [8]; "
        "train.steps: 4, not 40): name another folder, or give that run's config"
    )
    assert content(tmp_path) == before


def test_a_run_on_another_corpus_is_refused_and_both_named(tmp_path, tiny_config, optdigits):
    folder.claim(tmp_path, tiny_config, optdigits)
    other = dataclasses.replace(optdigits, identity="mnist:0123")
    with pytest.raises(UserError, match=rf"the corpus {optdigits.identity}, not mnist:0123: name"):
        folder.check_corpus(tmp_path, other)


@pytest.mark.parametrize("below", [".", "deep/er"])
def test_a_file_in_the_way_is_named(tmp_path, tiny_config, below):
    file = tmp_path / "file"
    file.write_text("mine")
    with pytest.raises(
        UserError, match=rf"cannot be written \({file} is no folder\): name another"
    ):
        folder.check_config(file / below, tiny_config)
    assert content(tmp_path) == {file: b"mine"}


def test_a_folder_without_permission_is_refused_before_anything_is_made(
    tmp_path, tiny_config, monkeypatch
):
    def access(path, mode):  # the tests' user may be root, who may write anywhere
        return Path(path) != tmp_path or not mode & os.W_OK

    monkeypatch.setattr(os, "access", access)
    with pytest.raises(
        UserError, match=rf"cannot be written \(no permission to write in {tmp_path}"
    ):
        folder.check_config(tmp_path / "a" / "b", tiny_config)
    assert os.listdir(tmp_path) == []


def test_what_cannot_be_made_after_all_is_one_line(tmp_path, tiny_config, optdigits):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UserError, match=r"/run cannot be written \(Not a directory\): name"):
        folder.claim(tmp_path / "file" / "run", tiny_config, optdigits)


def test_a_disk_that_is_full_at_the_lock_is_one_line(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with (
        pytest.raises(UserError, match=r"cannot be written \(No space left on device\)"),
        folder.locked(tmp_path),
    ):
        pass


def test_checkpoints_of_an_unknown_config_are_not_gone_on_with(tmp_path, tiny_config, optdigits):
    folder.claim(tmp_path, tiny_config, optdigits)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "config.json").unlink()
    folder.check_config(tmp_path, tiny_config)  # nothing was trained
    (tmp_path / "checkpoints" / "4").mkdir()
    with pytest.raises(UserError, match=r"has checkpoints but no config\.json, .*: put it back"):
        folder.check_config(tmp_path, tiny_config)


def test_a_full_disk_leaves_no_half_file(tmp_path, tiny_config, optdigits, monkeypatch):
    write = Path.write_bytes

    def full(self, content):
        write(self, content[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(UserError, match=r"cannot be written \(No space left on device\)"):
        folder.claim(tmp_path, tiny_config, optdigits)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("text", ["", "{", "[1]", "\xff\xfe"])
@pytest.mark.parametrize("name", ["config.json", "run.json", "results.json"])
def test_a_damaged_file_is_named(tmp_path, tiny_config, optdigits, name, text):
    folder.claim(tmp_path, tiny_config, optdigits)
    (tmp_path / name).write_bytes(text.encode("latin-1"))
    read = {
        "config.json": lambda: folder.check_config(tmp_path, tiny_config),
        "run.json": lambda: folder.check_corpus(tmp_path, optdigits),
        "results.json": lambda: folder.read_results(tmp_path),
    }[name]
    with pytest.raises(UserError, match=rf"^{tmp_path / name} is damaged \(.*\): name another"):
        read()


def test_a_killed_claim_is_one_that_never_was(tmp_path, tiny_config, optdigits, monkeypatch):
    written = []
    write = folder.write_json
    monkeypatch.setattr(
        folder, "write_json", lambda path, value: written.append(path.name) or write(path, value)
    )
    folder.claim(tmp_path, tiny_config, optdigits)
    assert written == ["run.json", "config.json"]
    (tmp_path / "config.json").unlink()
    folder.check_config(tmp_path, tiny_config)
    assert folder.recorded_corpus(tmp_path) is None


def test_results_are_read_as_they_were_written(tmp_path):
    assert folder.read_results(tmp_path) is None
    folder.write_results(tmp_path, {"rmse": 0.1, "per_length": [{"length": 1}]})
    assert folder.read_results(tmp_path) == {"rmse": 0.1, "per_length": [{"length": 1}]}


def test_one_writer_at_a_time(tmp_path):
    place = tmp_path / "new" / "run"
    with folder.locked(place):
        with (
            pytest.raises(UserError, match=rf"{place} is in use by process {os.getpid()} on "),
            folder.locked(place),
        ):
            pass
        assert f"process {os.getpid()} on " in (place / "lock").read_text()
    with folder.locked(place):
        pass
    assert (place / "lock").read_text() == ""


def test_the_lock_of_a_dead_process_is_taken_over(tmp_path):
    program = """
import os, signal, sys
from pathlib import Path
from crnn_jax.runs import folder

with folder.locked(Path(sys.argv[1])):
    os.kill(os.getpid(), signal.SIGKILL)
"""
    child = subprocess.run([sys.executable, "-c", program, os.fspath(tmp_path)], check=False)
    assert child.returncode == -signal.SIGKILL
    assert (tmp_path / "lock").read_text().startswith("process ")
    with folder.locked(tmp_path):
        assert f"process {os.getpid()} on " in (tmp_path / "lock").read_text()


def test_a_folder_that_cannot_be_made_cannot_be_locked(tmp_path):
    (tmp_path / "file").write_text("mine")
    with (
        pytest.raises(UserError, match=r"/run cannot be written \(Not a directory\): name"),
        folder.locked(tmp_path / "file" / "run"),
    ):
        pass
