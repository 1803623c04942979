"""The meeting before a run of several processes: each number once, and hosts that others can reach.

Where two processes have one number, JAX ends all of them in a C++ stack; where a host's own name
leads to 127.x, as in Debian's /etc/hosts, its CPU collectives connect to themselves. So process 0
first asks the others, at the address where JAX's coordinator will be, and tells all what is wrong.
"""

import contextlib
import ipaddress
import json
import os
import socket
import time
from typing import Any

from crnn_jax import UserError


def meet(coordinator: str, count: int, index: int, seconds: float) -> list[str]:
    """Wait until all processes have come.

    Args:
      coordinator: HOST:PORT of process 0.
      count: how many processes there are.
      index: which one this is.
      seconds: how long to wait.

    Returns:
      If there are several hosts: those whose own name leads to themselves alone, in words.

    Raises:
      UserError: not all came in time, or two do not fit each other; all that came raise it.
    """
    host, _, port = coordinator.rpartition(":")
    end = time.monotonic() + seconds
    expected = (
        f"expected {count} processes, each started once with a number of its own and the same "
        f"--coordinator={coordinator} --num_processes={count}"
    )
    if index:
        try:
            answer = _ask((host.strip("[]"), int(port)), count, index, end)
        except (ConnectionResetError, ValueError) as error:
            raise UserError(
                f"process {index} is not expected at {coordinator}, where the others have met "
                f"already or another program listens: {expected}"
            ) from error
        except OSError as error:
            raise UserError(
                f"process {index} has not met the others at {coordinator} within {seconds:g} s "
                f"({error.strerror or error}): {expected}"
            ) from error
    else:
        try:
            server = _listen(int(port))
        except OSError as error:
            raise UserError(
                f"--coordinator={coordinator}: process 0 cannot wait there "
                f"({os.strerror(error.errno or 0)}): "
                "expected a free port"
            ) from error
        answer = _receive(server, count, end)
    if answer["error"]:
        raise UserError(f"{answer['error']}: {expected}")
    return answer["unreachable"]


def _ask(address: tuple[str, int], count: int, index: int, end: float) -> dict[str, Any]:
    """Tell process 0 of this one, and wait for what it tells all."""
    while True:
        try:
            line = socket.create_connection(address, timeout=5)
            break
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)
    with line:
        here = {"index": index, "count": count, "unreachable": _unreachable()}
        here["far"] = line.getsockname()[0] != line.getpeername()[0]
        line.sendall(json.dumps(here).encode() + b"\n")
        line.settimeout(max(1.0, end + 5 - time.monotonic()))
        with line.makefile("rb") as answers:
            answer = answers.readline()
    if not answer.endswith(b"\n") or not answer.startswith(b"{"):
        raise ValueError(f"no answer, but {answer[:20]!r}")
    return json.loads(answer)


def _receive(server: socket.socket, count: int, end: float) -> dict[str, Any]:
    """Wait for all others, and tell them what is wrong, or that all is well."""
    came: dict[int, dict[str, Any]] = {0: {"unreachable": _unreachable(), "far": False}}
    wrong, lines = None, []
    with contextlib.ExitStack() as stack:
        stack.enter_context(server)
        while len(came) < count and not wrong:
            if (left := end - time.monotonic()) <= 0:
                missing = ", ".join(str(i) for i in range(count) if i not in came)
                wrong = f"process {missing} has not come in time"
                break
            server.settimeout(left)
            try:
                line = stack.enter_context(server.accept()[0])
                line.settimeout(5)
                with line.makefile("rb") as file:
                    other = json.loads(file.readline())
                index, of = int(other["index"]), int(other["count"])
            except (OSError, ValueError, KeyError, TypeError):
                continue  # no process of this program, or nobody at all
            lines.append(line)
            if of != count:
                wrong = f"--num_processes={count} in process 0, and {of} in process {index}"
            elif index in came:
                wrong = f"--process_id={index} was given to two processes"
            came[index] = other
        several = any(other["far"] for other in came.values())
        unreachable = {other["unreachable"] for other in came.values() if other["unreachable"]}
        answer = {"error": wrong, "unreachable": sorted(unreachable) if several else []}
        for line in lines:
            with contextlib.suppress(OSError):
                line.sendall(json.dumps(answer).encode() + b"\n")
                line.recv(1)  # who closes first keeps the port busy: let it be the other
        return answer


def _listen(port: int) -> socket.socket:
    if socket.has_dualstack_ipv6():
        with contextlib.suppress(OSError):
            return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
    return socket.create_server(("", port))


def _unreachable() -> str | None:
    """This host's name and where it leads, if no other host gets there."""
    name = socket.gethostname()
    try:
        address = socket.getaddrinfo(name, None)[0][4][0]
    except OSError:
        return f"{name}, whose own name has no address"
    if ipaddress.ip_address(str(address).partition("%")[0]).is_loopback:
        return f"{name}, whose own name leads to {address}"
    return None
