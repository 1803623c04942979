"""Several processes as one run: how they find each other, agree, and do not wait for the dead."""

import json
import os
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import jax
import numpy as np
from jax._src.distributed import global_state  # the one place that counts without computing
from jax.experimental import multihost_utils

from crnn_jax import UserError, print_mistake

SECONDS_TO_MEET = 50
SECONDS_TO_MISS = 20  # how long a process may be silent before the others take it for dead


@contextmanager
def together(
    coordinator: str | None, num_processes: int | None, process_id: int | None
) -> Iterator[None]:
    """Joins the others for the length of the block; one that fails in it leaves at once.

    At its regular end a process waits for the others, and would hold them up. Arguments and
    errors are those of `join`.
    """
    join(coordinator, num_processes, process_id)
    try:
        yield
    except UserError as error:
        print_mistake(error)
        _leave(2)
    except SystemExit as leaving:
        if leaving.code:
            _leave(leaving.code)
        raise
    except BaseException:
        traceback.print_exc()
        _leave(1)


def _leave(status: int) -> NoReturn:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def join(coordinator: str | None, num_processes: int | None, process_id: int | None) -> None:
    """Makes this process one of several that work on one run; before JAX computes anything.

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
    if not missing:
        _check(coordinator, num_processes, process_id)
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
    if process_id == 0:
        try:
            socket.create_server(("", int(port))).close()
        except OSError as error:
            raise UserError(
                f"--coordinator={coordinator}: process 0 cannot wait there "
                f"({os.strerror(error.errno)}): expected a free port"
            ) from error


def _give_up(place: str, num_processes: int | None) -> NoReturn:
    who = "all" if num_processes is None else f"{num_processes}"
    print(
        f"error: {who} processes have not met within {SECONDS_TO_MEET} s {place}: expected all "
        "of them to be started, each once, with the same host and port, which they can reach",
        file=sys.stderr,
        flush=True,
    )
    os._exit(2)  # the main thread is held up in C++


def count() -> int:
    """Processes of this run; known before JAX computes anything."""
    return global_state.num_processes or 1


def index() -> int:
    """Number of this process, from 0."""
    return global_state.process_id


def is_main() -> bool:
    """True in the one process that writes files and speaks to people."""
    return index() == 0


def on_main(function: Callable[[], Any]) -> Any:
    """Calls a function in the main process, and returns what JSON keeps of its result in all.

    Raises:
      UserError: in the main process, what the function raises.
      SystemExit: in the others then, status 2.
    """
    if count() == 1:
        return function()
    told = [None, False]
    if is_main():
        try:
            told = [function(), False]
        except UserError:
            _from_main(json.dumps([None, True]))
            time.sleep(1)  # the others may lose what they have not read when this one leaves
            raise
    result, failed = json.loads(_from_main(json.dumps(told)))
    if failed:
        sys.exit(2)
    return result


def wait_for_others() -> None:
    """Returns when all processes have come to this point."""
    on_main(lambda: None)


def from_main(tree: Any) -> Any:
    """The main process's arrays in all processes, bit for bit; elsewhere `tree` says the shapes."""
    if count() == 1:
        return tree
    leaves, structure = jax.tree.flatten(jax.tree.map(np.asarray, tree))
    # As bytes: numbers would be added up over the processes, which makes 0 of -0.
    told = _broadcast(b"".join(leaf.tobytes() for leaf in leaves))
    ends = np.cumsum([leaf.nbytes for leaf in leaves])
    parts = zip(leaves, np.split(told, ends[:-1]), strict=True)
    return structure.unflatten([part.view(x.dtype).reshape(x.shape) for x, part in parts])


def _from_main(text: str) -> str:
    """The main process's text."""
    content = text.encode()
    length = int(_broadcast(np.int32(len(content)).tobytes()).view(np.int32)[0])
    return _broadcast(content[:length].ljust(length)).tobytes().decode()


def _broadcast(content: bytes) -> np.ndarray:
    """The main process's bytes in all processes, which give as many."""
    array = np.frombuffer(content, np.uint8)
    return np.array(multihost_utils.broadcast_one_to_all(array))
