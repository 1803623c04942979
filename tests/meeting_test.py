"""The meeting of several processes, here of threads."""

import socket
from concurrent.futures import ThreadPoolExecutor

import pytest

from crnn_jax import UserError
from crnn_jax.distributed import meeting


@pytest.fixture
def address():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{free.getsockname()[1]}"


def meet_all(address, indices, counts, seconds=10):
    """What each process has of the meeting: a result, or a message."""

    def one(index, count):
        try:
            return meeting.meet(address, count, index, seconds)
        except UserError as error:
            return str(error)

    with ThreadPoolExecutor() as pool:
        return list(pool.map(one, indices, counts))


def test_all_meet_and_the_port_is_free_again(address):
    for _ in range(3):
        assert meet_all(address, [1, 0, 2], [3] * 3) == [[]] * 3


@pytest.mark.parametrize(
    ("indices", "counts", "message"),
    [
        ([0, 1, 1], [3] * 3, "--process_id=1 was given to two processes: expected 3 processes"),
        ([0, 1], [3, 2], "--num_processes=3 in process 0, and 2 in process 1: expected 3"),
    ],
)
def test_what_does_not_fit_is_told_to_all(address, indices, counts, message):
    first, *others = meet_all(address, indices, counts)
    assert first.startswith(message)
    assert all(other.startswith(message.partition(":")[0]) for other in others)


def test_who_is_missing_is_named_to_all_who_came(address):
    for message in meet_all(address, [0, 2], [4, 4], seconds=1):
        assert message.startswith("process 1, 3 has not come in time: expected 4 processes")


def test_a_process_without_process_0_gives_up(address):
    (message,) = meet_all(address, [1], [2], seconds=0.5)
    assert message.startswith(f"process 1 has not met the others at {address} within 0.5 s (Conn")


def test_a_process_that_comes_when_all_have_met_is_told_so():
    with socket.create_server(("127.0.0.1", 0)) as other, ThreadPoolExecutor() as pool:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        late = pool.submit(meet_all, address, [1], [2])
        line, _ = other.accept()
        line.sendall(b"\0\0\0\4")
        line.close()
        (message,) = late.result()
    assert message.startswith(f"process 1 is not expected at {address}, where the others have met")


def test_a_taken_port_is_one_line(address):
    with socket.create_server(("", int(address.rpartition(":")[2]))):
        (message,) = meet_all(address, [0], [2])
    assert message.startswith(f"--coordinator={address}: process 0 cannot wait there (Address alr")


@pytest.mark.parametrize("several", [False, True])
def test_names_that_lead_to_loopback_matter_between_hosts(address, monkeypatch, several):
    monkeypatch.setattr(socket, "gethostname", lambda: "localhost")
    if several:
        peer = socket.socket.getpeername
        monkeypatch.setattr(
            meeting.socket.socket, "getpeername", lambda s: ("10.0.0.1", peer(s)[1])
        )
    found = meet_all(address, [0, 1], [2, 2])
    one = [line for line in found[0] if line.startswith("localhost, whose own name leads to ")]
    assert found == [one, one]
    assert bool(one) == several
