"""Several processes on one machine: the same run, however many; and none waits for the dead."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time

import pytest

from crnn_jax import UserError
from crnn_jax.distributed import processes
from crnn_jax.distributed.files import locked
from tests.tiny import config_text, environment, takes_long
from tests.torture import left_by

STEPS, EVERY = 240, 80
CONFIG = config_text(
    'c.train.schedule = "constant"',
    f"c.train.steps = {STEPS}",
    f"c.eval.every = {EVERY}",
    f"c.checkpoint.every = {EVERY}",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, data_dir, optdigits):
    """A folder with a config and a prepared corpus, for the processes to start in."""
    folder = tmp_path_factory.mktemp("processes")
    (folder / "config.py").write_text(CONFIG)
    (folder / "data").symlink_to(data_dir)
    return folder


@pytest.fixture
def start(folder, project):
    """Starts a run's processes, with so many devices each; kills what is left at the end."""
    started = []

    def start(workdir, *flags, processes=1, devices=1):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            meet = f"--coordinator=127.0.0.1:{free.getsockname()[1]}"
        command = [sys.executable, "-m", "crnn_jax.main", "--config=config.py"]
        command += [f"--workdir={workdir}", *flags]
        own = []
        for i in range(processes):
            several = [meet, f"--num_processes={processes}", f"--process_id={i}"]
            own.append(
                subprocess.Popen(
                    [*command, *(several if processes > 1 else [])],
                    cwd=folder,
                    env=environment(folder, project, devices),
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    text=True,
                )
            )
        started.extend(own)
        return own

    yield start
    for process in started:
        process.kill()
        process.communicate()


def ends(started, timeout=120):
    """Exit statuses, and what was said on stderr."""
    said = [process.communicate(timeout=timeout)[1] for process in started]
    return [process.returncode for process in started], said


def until_it_trains(workdir, steps=4):
    """Waits for the metrics of so many steps."""
    end = time.monotonic() + 100
    while time.monotonic() < end:
        with contextlib.suppress(OSError, ValueError, IndexError):
            lines = (workdir / "metrics.jsonl").read_text().splitlines()
            if json.loads(lines[-1])["step"] >= steps:
                return
        time.sleep(0.01)
    pytest.fail("no step was made")


def losses(workdir):
    lines = map(json.loads, (workdir / "metrics.jsonl").read_text().splitlines())
    return [line["loss"] for line in lines if "loss" in line]


@pytest.fixture(scope="module")
def straight(folder, project):
    """What one process with two devices leaves."""
    request = start.__wrapped__(folder, project)
    assert ends(next(request)(folder / "straight", devices=2))[0] == [0]
    next(request, None)
    return left_by(folder / "straight")


def test_two_processes_leave_what_one_with_two_devices_does(start, folder, straight):
    statuses, said = ends(start(folder / "two", processes=2))
    assert statuses == [0, 0]
    assert f"step {STEPS}/{STEPS}" in said[0]
    assert said[1] == ""
    assert left_by(folder / "two") == straight


@takes_long
def test_four_processes_train_as_one(start, folder, straight):
    few = [f"--config.{field}=20" for field in ("train.steps", "eval.every", "checkpoint.every")]
    statuses, _ = ends(start(folder / "four", *few, processes=4))
    assert statuses == [0] * 4
    found, expected = losses(folder / "four"), losses(folder / "straight")
    assert len(found) == 5
    assert found == pytest.approx(expected[:5], abs=1e-5)


def test_a_signal_to_one_of_two_stops_both_and_any_number_of_processes_goes_on(
    start, folder, straight
):
    workdir = folder / "stopped"
    for number, told in ((signal.SIGTERM, 1), (signal.SIGINT, 0)):
        started = start(workdir, processes=2)
        until_it_trains(workdir, steps=4 if number == signal.SIGTERM else EVERY)
        before = time.monotonic()
        started[told].send_signal(number)
        statuses, said = ends(started)
        assert time.monotonic() - before < 10
        assert statuses[told] == 128 + number
        assert all(status in (143, 130) for status in statuses)
        assert "checkpoint saved; rerun the same command to resume" in said[0]
        assert not (workdir / "results.json").exists()
    statuses, said = ends(start(workdir, devices=2))
    assert statuses == [0]
    assert f"resuming the run in {workdir} from step " in said[0]
    assert left_by(workdir) == straight


@pytest.fixture
def saved_on_eight(start, folder):
    """A run on eight devices that was stopped after its first step saved."""
    workdir = folder / "eight"
    if not workdir.exists():
        started = start(workdir, devices=8)
        until_it_trains(workdir, steps=EVERY)
        started[0].terminate()
        assert ends(started)[0] == [143]
    return workdir


@takes_long
@pytest.mark.parametrize(("processes", "devices"), [(1, 1), (1, 2), (1, 4), (2, 1)])
def test_what_eight_devices_saved_goes_on_with_fewer(
    start, saved_on_eight, folder, straight, processes, devices
):
    workdir = folder / f"eight-{processes}-{devices}"
    shutil.copytree(saved_on_eight, workdir)
    statuses, said = ends(start(workdir, processes=processes, devices=devices))
    assert statuses == [0] * processes
    assert "resuming the run" in said[0]
    found, expected = losses(workdir), losses(folder / "straight")
    assert found == pytest.approx(expected, abs=1e-5)


@takes_long
def test_a_killed_process_takes_the_other_down_and_the_run_goes_on(start, folder, straight):
    workdir = folder / "killed"
    started = start(workdir, processes=2)
    until_it_trains(workdir, steps=EVERY + 8)
    before = time.monotonic()
    started[1].kill()
    statuses, said = ends(started)
    assert time.monotonic() - before < 30
    assert statuses[0] not in (0, 2)
    assert said[0].splitlines()[-1].endswith("rerun the same command in all processes to resume")
    assert ends(start(workdir, processes=2))[0] == [0, 0]
    assert left_by(workdir) == straight


def test_a_mistake_that_one_process_finds_ends_all(start, folder):
    (folder / "other").mkdir(exist_ok=True)
    (folder / "other" / "run.json").write_text('{"corpus": "optdigits:0123"}')
    (folder / "other" / "config.json").write_text('{"seed": 1}')
    started = start(folder / "other", processes=2)
    statuses, said = ends(started, timeout=60)
    assert statuses == [2, 2]
    assert "another config" in said[0]


def test_a_folder_in_use_is_one_line_from_all_processes(start, folder):
    workdir = folder / "used"
    workdir.mkdir()
    with locked(workdir / "lock", wait=False):
        statuses, said = ends(start(workdir, processes=2))
    assert statuses == [2, 2]
    assert said[0].startswith(f"error: --workdir={workdir} is in use by process {os.getpid()} on ")
    assert (said[0].count("\n"), said[1]) == (1, "")


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("localhost", 2, 0), "--coordinator=localhost: expected HOST:PORT, as in node1:12345"),
        ((":80", 2, 0), "--coordinator=:80: expected HOST:PORT"),
        (("host:99999", 2, 0), "--coordinator=host:99999: expected HOST:PORT"),
        (("host:http", 2, 0), "--coordinator=host:http: expected HOST:PORT"),
        (("host:80", 0, 0), "--num_processes=0: expected 1 or more"),
        (("host:80", 2, 2), "--process_id=2: expected 0 to 1, a number of its own"),
        (("host:80", 2, -1), "--process_id=-1: expected 0 to 1"),
        (("host:80", None, 0), "--num_processes not given: expected --coordinator=HOST:PORT "),
        (("host:80", None, None), "--num_processes and --process_id not given: expected"),
    ],
)
def test_wrong_flags_are_said_before_anything_is_joined(flags, words):
    with pytest.raises(UserError) as mistake:
        processes.initialize(*flags)
    assert str(mistake.value).startswith(words)


@pytest.mark.parametrize(
    ("join", "words"),
    [
        ("None, None, None", "--distributed found no cluster"),
        ("'localhost:1', 2, 1", "process 1 has not met the others at localhost:1 within 2 s"),
        ("taken, 2, 0", "--coordinator=localhost:"),
    ],
    ids=["no cluster", "nobody there", "port taken"],
)
def test_what_cannot_be_joined_is_one_line_and_no_hang(join, words, project):
    program = f"""
import socket
import crnn_jax
from crnn_jax.distributed import processes
from crnn_jax.distributed.files import locked

processes.SECONDS_TO_MEET = 2
with socket.create_server(("", 0)) as held:
    taken = f"localhost:{{held.getsockname()[1]}}"
    raise SystemExit(crnn_jax.exit_status(lambda argv: processes.initialize({join}), []))
"""
    child = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={"PATH": "", "PYTHONPATH": str(project), "JAX_PLATFORMS": "cpu"},
    )
    assert child.returncode == 2
    assert child.stderr.count("\n") == 1
    assert child.stderr.startswith(f"error: {words}")
    assert ("cannot wait there (Address already in use)" in child.stderr) == (join[:5] == "taken")


def test_alone_a_process_asks_nobody():
    assert processes.run_on_main(lambda: {"a": (1, 2)}) == {"a": (1, 2)}
    tree = {"a": 1}
    assert processes.broadcast(tree) is tree
    with pytest.raises(UserError, match="mine"):
        processes.run_on_main(lambda: (_ for _ in ()).throw(UserError("mine")))
    assert processes.main_only(lambda: tree) is tree


def test_what_only_the_main_process_has_is_silent_in_the_others(monkeypatch):
    told = iter(["[null, 0]", "[null, 0]"])
    monkeypatch.setattr(processes, "_numbers", (2, 1))
    monkeypatch.setattr(processes, "_broadcast_text", lambda text: next(told))
    with processes.main_only(lambda: pytest.fail("made")) as silent:
        assert silent.save(1, state=2) is None
