"""Files that several processes use: never half written, and locked by one at a time."""

import fcntl
import os
import signal
import subprocess
import sys

import pytest

from crnn_jax.distributed.files import InUse, locked, write_whole


def test_a_file_is_replaced_and_nothing_else_is_left(tmp_path):
    for content in (b"first", b"\x00second\n"):
        write_whole(tmp_path / "a.json", content)
        assert (tmp_path / "a.json").read_bytes() == content
        assert list(tmp_path.iterdir()) == [tmp_path / "a.json"]


def test_what_cannot_be_put_in_place_leaves_the_folder_as_it_was(tmp_path):
    (tmp_path / "a.json").mkdir()
    with pytest.raises(OSError, match=r"a\.json"):
        write_whole(tmp_path / "a.json", b"content")
    assert list(tmp_path.iterdir()) == [tmp_path / "a.json"]


def test_one_holder_at_a_time_who_is_named(tmp_path):
    path = tmp_path / "lock"
    with locked(path, wait=False):
        with (
            pytest.raises(InUse, match=f"^process {os.getpid()} on .* since "),
            locked(path, wait=False),
        ):
            pass
        assert f"process {os.getpid()} on " in path.read_text()
    with locked(path, wait=True):
        pass
    assert path.read_text() == ""


def test_the_lock_of_a_dead_process_is_taken_over(tmp_path):
    program = """
import os, signal, sys
from pathlib import Path
from crnn_jax.distributed.files import locked

with locked(Path(sys.argv[1]), wait=False):
    os.kill(os.getpid(), signal.SIGKILL)
"""
    path = tmp_path / "lock"
    child = subprocess.run([sys.executable, "-c", program, os.fspath(path)], check=False)
    assert child.returncode == -signal.SIGKILL
    assert path.read_text().startswith("process ")
    with locked(path, wait=False):
        assert f"process {os.getpid()} on " in path.read_text()


@pytest.mark.parametrize("number", [38, 37], ids=["no flock", "no lock server"])
def test_where_there_are_no_locks_a_warning_says_so(tmp_path, monkeypatch, capsys, number):
    def no_locks(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", no_locks)
    entered = False
    with locked(tmp_path / "lock", wait=False):
        entered = True
    assert entered
    assert capsys.readouterr().err.startswith(f"warning: {tmp_path} cannot be locked (")
    assert os.listdir(tmp_path) == ["lock"]
