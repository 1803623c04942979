"""Two hosts, as they really are: network namespaces joined by a cable, each with its own hosts."""

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.processes_test import CONFIG, EVERY, ends, until_it_trains
from tests.tiny import environment, takes_long
from tests.torture import left_by

ADDRESSES = ("10.77.0.1", "10.77.0.2")
NAMES = tuple(f"crnn-{os.getpid()}-{i}" for i in range(2))

pytestmark = [
    takes_long,
    pytest.mark.skipif(
        os.geteuid() != 0 or not shutil.which("ip"), reason="needs root and ip, of iproute2"
    ),
]


def ip(*words):
    subprocess.run(["ip", *words], check=True, capture_output=True)


def write_hosts(i, own_address):
    """The file /etc/hosts of one of the two hosts: both have this machine's name."""
    folder = Path("/etc/netns") / NAMES[i]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "hosts").write_text(f"127.0.0.1 localhost\n{own_address} {socket.gethostname()}\n")


@pytest.fixture(scope="module")
def two_hosts():
    """Makes the two, and takes them away again."""
    try:
        for name in NAMES:
            ip("netns", "add", name)
            ip("-n", name, "link", "set", "lo", "up")
        ip("-n", NAMES[0], "link", "add", "cable", "type", "veth", "peer", "name", "far")
        ip("-n", NAMES[0], "link", "set", "far", "netns", NAMES[1], "name", "cable")
        for name, address in zip(NAMES, ADDRESSES, strict=True):
            ip("-n", name, "address", "add", f"{address}/24", "dev", "cable")
            ip("-n", name, "link", "set", "cable", "up")
        yield
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no network namespaces here: {error.stderr.decode().strip()}")
    finally:
        for name in NAMES:
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)
            shutil.rmtree(Path("/etc/netns") / name, ignore_errors=True)


@pytest.fixture
def hosts(two_hosts):
    """Each host's own name leads to its address on the cable, which is plugged in."""
    for i, address in enumerate(ADDRESSES):
        write_hosts(i, address)
        ip("-n", NAMES[i], "link", "set", "cable", "up")


@pytest.fixture(scope="module")
def folder(tmp_path_factory, data_dir, optdigits):
    folder = tmp_path_factory.mktemp("hosts")
    (folder / "config.py").write_text(CONFIG)
    (folder / "data").symlink_to(data_dir)
    return folder


@pytest.fixture
def start(folder, project):
    """Starts a run with a process on each host, or with two devices on this one."""
    started = []

    def start(workdir, alone=False):
        main = [sys.executable, "-m", "crnn_jax.main", "--config=config.py"]
        main += [f"--workdir={workdir}"]
        meet = [f"--coordinator={ADDRESSES[0]}:34567", "--num_processes=2"]
        commands = (
            [main]
            if alone
            else [
                ["ip", "netns", "exec", name, *main, *meet, f"--process_id={i}"]
                for i, name in enumerate(NAMES)
            ]
        )
        own = [
            subprocess.Popen(
                command,
                cwd=folder,
                env=environment(folder, project, 2 if alone else 1),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
            for command in commands
        ]
        started.extend(own)
        return own

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_two_hosts_leave_what_two_devices_do_also_after_a_cut_cable(start, hosts, folder):
    assert ends(start(folder / "alone", alone=True))[0] == [0]
    workdir = folder / "cut"
    started = start(workdir)
    until_it_trains(workdir, steps=EVERY + 8)
    before = time.monotonic()
    ip("-n", NAMES[0], "link", "set", "cable", "down")
    statuses, said = ends(started)
    assert time.monotonic() - before < 30
    assert all(status not in (0, 2) for status in statuses)
    for i, lines in enumerate(said):
        last = lines.splitlines()[-1]
        assert last.startswith(
            f"error: process {i} on {socket.gethostname()} lost contact with another"
        )
        assert last.endswith("rerun the same command in all processes to resume")
    assert not (workdir / "results.json").exists()

    ip("-n", NAMES[0], "link", "set", "cable", "up")
    statuses, said = ends(start(workdir))
    assert statuses == [0, 0]
    assert f"resuming the run in {workdir} from step {EVERY}" in said[0]
    assert left_by(workdir) == left_by(folder / "alone")


def test_a_host_whose_name_leads_to_itself_alone_is_found_before_training(start, hosts, folder):
    write_hosts(1, "127.0.1.1")
    statuses, said = ends(start(folder / "wrong"), timeout=60)
    assert statuses == [2, 2]
    for lines in said:
        assert lines.count("\n") == 1
        name = socket.gethostname()
        assert f"cannot reach {name}, whose own name leads to 127.0.1.1: have it lead" in lines
    assert not (folder / "wrong").exists()
