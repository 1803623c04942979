import errno
import json
import math
import os
import signal
import subprocess
import sys

import pytest
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import SessionLog

from crnn_jax import UserError
from crnn_jax.runs.folder import RunFolder
from crnn_jax.runs.metrics import Writer
from tests.files import tensorboard_events


def lines_of(workdir):
    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    text = (workdir / "metrics.jsonl").read_text()
    return [json.loads(line, parse_constant=refuse) for line in text.splitlines()]


def events_of(workdir):
    """Scalars as TensorBoard shows them: a START session log hides what came before its step."""
    shown = []
    for event in tensorboard_events(workdir):
        if event.session_log.status == SessionLog.START:
            shown = [item for item in shown if item[0] < event.step]
        shown += [(event.step, value.tag, value.simple_value) for value in event.summary.value]
    return shown


def write_steps(workdir, resume_step, steps):
    workdir.mkdir(exist_ok=True)
    with Writer(RunFolder(workdir), resume_step) as writer:
        for step in steps:
            writer.write(step, {"loss": step / 4})


def test_writes_each_line_at_once_and_the_same_scalars_to_tensorboard(tmp_path):
    with Writer(RunFolder(tmp_path), 0) as writer:
        writer.write(0, {"loss": 2.5, "rmse": 1.5})
        assert lines_of(tmp_path) == [{"step": 0, "loss": 2.5, "rmse": 1.5}]
        writer.write(10, {"loss": 0.5})
    assert len(lines_of(tmp_path)) == 2
    assert events_of(tmp_path) == [
        (0, "loss", 2.5),
        (0, "rmse", 1.5),
        (10, "loss", 0.5),
    ]


def test_an_installed_pytorch_is_not_imported_and_stays_importable(tmp_path, project):
    (tmp_path / "torch.py").write_text("print('imported')")
    program = (
        "from crnn_jax.runs.folder import RunFolder; from crnn_jax.runs.metrics import Writer\n"
        f"with Writer(RunFolder({str(tmp_path)!r}), 0) as writer: writer.write(1, {{'loss': 2.0}})"
        "\nprint('written')\nimport torch"
    )
    child = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{project}"},
    )
    assert child.stdout.split() == ["written", "imported"]


def test_numbers_that_json_lacks_become_strings(tmp_path):
    with Writer(RunFolder(tmp_path), 0) as writer:
        writer.write(1, {"loss": math.nan, "gap": -math.inf, "norm": math.inf})
    (line,) = lines_of(tmp_path)
    assert line == {"step": 1, "loss": "nan", "gap": "-inf", "norm": "inf"}
    assert math.isnan(float(line["loss"]))
    assert events_of(tmp_path) == []


def test_events_that_cannot_be_written_end_the_run_and_do_not_hold_it_up(tmp_path, monkeypatch):
    def no_space(self):
        raise OSError(errno.ENOSPC, "no space")

    with Writer(RunFolder(tmp_path), 0) as writer:
        writer.write(1, {"loss": 1.0})
        monkeypatch.setattr(EventsWriter, "flush", no_space)
        with pytest.raises(OSError, match="no space"):
            writer.write(2, {"loss": 1.0})
        monkeypatch.undo()


@pytest.mark.parametrize("resume_step", [0, 20, 50])
def test_resumed_run_equals_a_straight_one(tmp_path, resume_step):
    write_steps(tmp_path / "straight", 0, range(10, 101, 10))
    write_steps(tmp_path / "resumed", 0, range(10, 60, 10))
    write_steps(tmp_path / "resumed", resume_step, range(resume_step + 10, 101, 10))
    assert lines_of(tmp_path / "resumed") == lines_of(tmp_path / "straight")
    assert events_of(tmp_path / "resumed") == events_of(tmp_path / "straight")


def test_all_lines_of_the_resume_step_are_kept(tmp_path):
    with Writer(RunFolder(tmp_path), 0) as writer:
        writer.write(10, {"loss": 1.0})
        writer.write(10, {"test/rmse": 2.0})
        writer.write(11, {"loss": 1.0})
    Writer(RunFolder(tmp_path), 10).close()
    assert lines_of(tmp_path) == [{"step": 10, "loss": 1.0}, {"step": 10, "test/rmse": 2.0}]


@pytest.mark.parametrize(
    ("tail", "steps"),
    [
        ('{"step": 2, "lo', [1, 3]),
        ('{"step": 2', [1, 3]),
        ('{"step": 2, "loss": 1.0}', [1, 2, 3]),
        ("\0\0\0\n", [1, 3]),
    ],
)
def test_last_line_cut_short_is_dropped(tmp_path, tail, steps):
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "loss": 1.0}\n' + tail)
    write_steps(tmp_path, 2, [3])
    assert [line["step"] for line in lines_of(tmp_path)] == steps
    assert sorted(path.name for path in tmp_path.iterdir()) == ["metrics.jsonl", "tensorboard"]


@pytest.mark.parametrize("line", ["{", "[1]", "{}", "7", '{"step": "a"}', "\xff"])
def test_damaged_line_is_named_and_the_file_left_alone(tmp_path, line):
    text = f'{{"step": 1}}\n{line}\n{{"step": 3}}\n'.encode("latin-1")
    (tmp_path / "metrics.jsonl").write_bytes(text)
    with pytest.raises(UserError, match=r"metrics\.jsonl line 2 is no JSON object with a step"):
        Writer(RunFolder(tmp_path), 1)
    assert (tmp_path / "metrics.jsonl").read_bytes() == text


def test_killed_process_loses_no_line(tmp_path):
    program = (
        "import os, signal, sys\n"
        "from crnn_jax.runs.folder import RunFolder\n"
        "from crnn_jax.runs.metrics import Writer\n"
        "writer = Writer(RunFolder(sys.argv[1]), 0)\n"
        "for step in range(1, 101):\n"
        "    writer.write(step, {'loss': 0.5})\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    child = subprocess.run([sys.executable, "-c", program, os.fspath(tmp_path)], check=False)
    assert child.returncode == -signal.SIGKILL
    assert [line["step"] for line in lines_of(tmp_path)] == list(range(1, 101))
