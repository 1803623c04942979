"""Several processes as one run: how they find each other, agree, and leave when one has failed."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NoReturn, TypeVar, cast

import jax
import numpy as np
from jax.experimental import multihost_utils

from crnn_jax import UserError, explain, say
from crnn_jax.distributed.meeting import meet

T = TypeVar("T")

SECONDS_TO_MEET = 50
SECONDS_TO_MISS = 20  # how long a process may be silent before the others take it for dead

LAUNCHERS = (
    ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"),
    ("SLURM_STEP_NUM_TASKS", "SLURM_PROCID"),
)
"""Where launchers say how many processes there are, and which one this is."""

_unreachable: list[str] = []  # hosts, in words (`meeting.meet`)
_numbers: tuple[int, int] | None = (1, 0)  # of processes, and of this one; None: JAX knows


@contextmanager
def distributed_session(
    coordinator: str | None, num_processes: int | None, process_id: int | None
) -> Iterator[None]:
    """Initialize, and exit at once if the block fails.

    Normal shutdown waits for the other processes, which would wait for this one. Arguments and
    errors are those of `initialize`.
    """
    initialize(coordinator, num_processes, process_id)
    with _last_words() as goodbye:
        try:
            yield
            goodbye()
        except (UserError, OSError) as error:
            goodbye()
            _leave(explain(error))
        except SystemExit as leaving:
            goodbye()
            if leaving.code:
                _leave(leaving.code if isinstance(leaving.code, int) else 1)
            raise
        except BaseException:
            traceback.print_exc()
            _leave(1)


@contextmanager
def _last_words() -> Iterator[Callable[[], None]]:
    """Have a helper print a line in words if this process ends without calling what is given.

    Where another process is lost, JAX ends this one from C++, in a stack.
    """
    line = (
        f"error: process {index()} on {socket.gethostname()} lost contact with another process, "
        "or was killed: the last checkpoint is kept; rerun the same "
        "command in all processes to resume"
    )
    program = "import sys; sys.stdin.read() or print(sys.argv[1], file=sys.stderr)"
    helper = subprocess.Popen(
        [sys.executable, "-ISc", program, line],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C is not for it
    )
    yield lambda: helper.communicate(b"goodbye") and None


def _leave(status: int) -> NoReturn:
    if index() == 0:
        time.sleep(1)  # its end takes the others with it: those that end by themselves come first
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            stream.flush()
    os._exit(status)


def initialize(coordinator: str | None, num_processes: int | None, process_id: int | None) -> None:
    """Make this process one of several that work on one run; before JAX computes anything.

    With nothing given, Slurm, Open MPI, Kubernetes or Cloud TPU says who takes part.

    Args:
      coordinator: host and port at which process 0 waits for the others.
      num_processes: how many they are.
      process_id: which one this is, from 0.

    Raises:
      UserError: a wrong address or number, or no cluster that is known.

    Where they have not met in `SECONDS_TO_MEET`, the process ends at once with status 2, after one
    line.
    """
    given = {
        "--coordinator": coordinator,
        "--num_processes": num_processes,
        "--process_id": process_id,
    }
    missing = [flag for flag, value in given.items() if value is None]
    if 0 < len(missing) < len(given):
        raise UserError(
            f"{' and '.join(missing)} not given: expected --coordinator=HOST:PORT "
            "--num_processes=N --process_id=I together, or --distributed alone in a cluster"
        )
    global _numbers
    if coordinator is not None and num_processes is not None and process_id is not None:
        _check(coordinator, num_processes, process_id)
        _unreachable.extend(meet(coordinator, num_processes, process_id, SECONDS_TO_MEET))
        _numbers = (num_processes, process_id)
    else:
        found = [(os.environ.get(size), os.environ.get(rank)) for size, rank in LAUNCHERS]
        _numbers = next(((int(n), int(i)) for n, i in found if n and i), None)
    # Its handler would swallow SIGTERM, which `stop` notes, and SIGINT.
    jax.config.update("jax_enable_preemption_service", False)
    place = f"at --coordinator={coordinator} as process {process_id}" if not missing else "here"
    # JAX would abort with a stack trace.
    watch = threading.Timer(SECONDS_TO_MEET, _give_up, [place, num_processes])
    watch.daemon = True
    watch.start()
    try:
        jax.distributed.initialize(
            coordinator,
            num_processes,
            process_id,
            cluster_detection_method=None if missing else "deactivate",
            initialization_timeout=10 * SECONDS_TO_MEET,
            heartbeat_timeout_seconds=SECONDS_TO_MISS,
            shutdown_timeout_seconds=SECONDS_TO_MISS,
        )
    except ValueError as error:
        raise UserError(
            f"--distributed found no cluster ({error}): expected Slurm, Open MPI, Kubernetes or "
            "Cloud TPU; elsewhere give --coordinator=HOST:PORT --num_processes=N --process_id=I"
        ) from error
    finally:
        watch.cancel()


def _check(coordinator: str, num_processes: int, process_id: int) -> None:
    host, _, port = coordinator.rpartition(":")
    if not (host and port.isdecimal() and 0 < int(port) < 1 << 16):
        raise UserError(f"--coordinator={coordinator}: expected HOST:PORT, as in node1:12345")
    if num_processes < 1:
        raise UserError(f"--num_processes={num_processes}: expected 1 or more")
    if not 0 <= process_id < num_processes:
        raise UserError(
            f"--process_id={process_id}: expected 0 to {num_processes - 1}, a number of its own "
            f"for each of --num_processes={num_processes}"
        )


def _give_up(place: str, num_processes: int | None) -> NoReturn:
    who = "all" if num_processes is None else f"{num_processes}"
    say(
        f"error: {who} processes have not met within {SECONDS_TO_MEET} s {place}: expected all "
        "of them to be started, each once, with the same host and port, which they can reach"
    )
    os._exit(2)  # the main thread is held up in C++


def check_hosts() -> None:
    """Check that hosts can reach each other by their own names, as CPU collectives do.

    Raises:
      UserError: in all processes; names the hosts.
    """
    if _unreachable and jax.default_backend() == "cpu":
        raise UserError(
            f"other hosts cannot reach {', nor '.join(_unreachable)}: have it lead to the address "
            "of its network, in /etc/hosts there"
        )


def count() -> int:
    """Processes of this run.

    Of those that were given no numbers and whose launcher is not in `LAUNCHERS`, JAX is asked,
    which starts its backend.
    """
    return _numbers[0] if _numbers else jax.process_count()


def index() -> int:
    """Number of this process, from 0."""
    return _numbers[1] if _numbers else jax.process_index()


def is_main() -> bool:
    """True in the one process that writes files and speaks to people."""
    return index() == 0


def run_on_main(function: Callable[[], Any]) -> Any:
    """Call a function in the main process, and return what JSON keeps of its result in all.

    Raises:
      UserError, OSError: in the main process, what the function raises.
      SystemExit: in the others then, with the same status.
    """
    if count() == 1:
        return function()
    told = [None, 0]
    if is_main():
        try:
            told = [function(), 0]
        except (UserError, OSError) as error:
            _broadcast_text(json.dumps([None, 2 if isinstance(error, UserError) else 1]))
            time.sleep(1)  # the others may lose what they have not read when this one leaves
            raise
    result, status = json.loads(_broadcast_text(json.dumps(told)))
    if status:
        sys.exit(status)
    return result


class _Silent:
    """Stands in for what only the main process has: every call does nothing."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_, **__: None

    def __enter__(self) -> "_Silent":
        return self

    def __exit__(self, *_: object) -> None:
        pass


def main_only(make: Callable[[], T]) -> T:
    """Make an object in the main process; in the others, one whose every method does nothing.

    Raises:
      UserError, SystemExit: as in `run_on_main`.
    """
    made: list[T] = []
    run_on_main(lambda: made.append(make()))
    return made[0] if made else cast(T, _Silent())


def wait_for_others() -> None:
    """Return when all processes have come to this point."""
    run_on_main(lambda: None)


def broadcast(tree: Any) -> Any:
    """The main process's arrays in all processes, bit for bit; elsewhere `tree` says the shapes."""
    if count() == 1:
        return tree
    leaves, structure = jax.tree.flatten(jax.tree.map(np.asarray, tree))
    # As bytes: numbers would be added up over the processes, which makes 0 of -0.
    told = _broadcast_bytes(b"".join(leaf.tobytes() for leaf in leaves))
    ends = np.cumsum([leaf.nbytes for leaf in leaves])
    parts = zip(leaves, np.split(told, ends[:-1]), strict=True)
    return structure.unflatten([part.view(x.dtype).reshape(x.shape) for x, part in parts])


def _broadcast_text(text: str) -> str:
    """The main process's text."""
    content = text.encode()
    length = int(_broadcast_bytes(np.int32(len(content)).tobytes()).view(np.int32)[0])
    return _broadcast_bytes(content[:length].ljust(length)).tobytes().decode()


def _broadcast_bytes(content: bytes) -> np.ndarray:
    """The main process's bytes in all processes, which give as many."""
    array = np.frombuffer(content, np.uint8)
    return np.array(multihost_utils.broadcast_one_to_all(array))
