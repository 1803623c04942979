"""What is printed where it cannot be: one line at the end, a status, and no traceback."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tiny import environment

OLD = Path(__file__).parent / "data" / "run-63bc817"


@pytest.fixture
def start(tmp_path, data_dir, project, optdigits):
    """Runs the program in a folder with prepared data: its status and what it said on stderr."""
    (tmp_path / "data").symlink_to(data_dir)

    def start(*flags, stdout=subprocess.PIPE, **more):
        done = subprocess.run(
            [sys.executable, "-m", "crnn_jax.main", *flags],
            cwd=tmp_path,
            env=environment(tmp_path, project) | more,
            stdout=stdout,
            stderr=subprocess.PIPE,
            timeout=120,
            check=False,
        )
        return done.returncode, done.stderr.decode(), done.stdout

    return start


EVALUATE = ("--mode=evaluate", f"--workdir={OLD}")


def test_a_terminal_that_knows_only_ascii_shows_other_characters_as_question_marks(start):
    status, err, out = start(*EVALUATE, PYTHONIOENCODING="ascii")
    assert (status, err) == (0, "")
    assert b" ? exact " in out


def test_a_full_device_is_one_line_and_status_1(start):
    with open("/dev/full", "w") as full:
        status, err, _ = start(*EVALUATE, stdout=full)
    assert status == 1
    assert err == "error: the output cannot be written (No space left on device)\n"


def test_a_reader_that_has_gone_away_is_one_line_and_the_status_of_sigpipe(start):
    reader, writer = os.pipe()
    os.close(reader)
    status, err, _ = start(*EVALUATE, stdout=writer)
    os.close(writer)
    assert status == 141
    assert err == "error: the output cannot be written (Broken pipe)\n"


@pytest.mark.parametrize("mode", ["train", "evaluate", "predict"])
def test_a_platform_that_is_not_there_is_one_line(start, project, tmp_path, mode):
    flags = {
        "train": (f"--config={project / 'configs' / 'sum8.py'}:smoke", "--workdir=new"),
        "evaluate": EVALUATE,
        "predict": ("--mode=predict", f"--workdir={OLD}", "four.png"),
    }[mode]
    (tmp_path / "four.png").write_bytes(b"")
    status, err, out = start(*flags, JAX_PLATFORMS="cuda")
    assert (status, out) == (2, b"")
    assert err.startswith("error: JAX_PLATFORMS=cuda is not available here (")
    assert err.endswith("): expected cpu, or JAX_PLATFORMS unset\n")
    assert err.count("\n") == 1
    assert not (tmp_path / "new").exists()
