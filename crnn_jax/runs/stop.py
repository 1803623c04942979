"""Stopping a run from outside, without losing what it has learned."""

import signal
import subprocess
from collections.abc import Sequence
from types import FrameType
from typing import Any, Self

import numpy as np
from jax import Array

from crnn_jax import say
from crnn_jax.distributed import devices, processes

# Schedulers warn by SIGTERM, SIGUSR1 or SIGUSR2; SIGHUP comes when the terminal is gone.
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


class Stopped(Exception):
    """Raised when the run was told to stop and has saved a checkpoint.

    Attributes:
      signal: number of the signal.
    """

    def __init__(self, number: int, step: int) -> None:
        self.signal = number
        name = signal.Signals(number).name
        super().__init__(
            f"stopped by {name} after step {step}: checkpoint saved; rerun the same command to "
            "resume"
        )


class Stop:
    """While it is entered, signals to stop are noted; the second SIGINT ends the process.

    Attributes:
      signal: number of the signal that has come; None before.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._unsaid = False
        self._flags: Array | None = None

    def __enter__(self) -> Self:
        noted = [s for s in _SIGNALS if s != signal.SIGHUP or not _ignored(s)]  # by nohup
        self._before: dict[int, Any] = {s: signal.signal(s, self._note) for s in noted}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @property
    def requested(self) -> bool:
        """Whether this process is to stop."""
        return self.signal is not None

    def agreed(self, flags: Array) -> bool:
        """Whether all processes stop after this dispatch; says so where a signal has come.

        Several processes go by what their devices made of `requested` in the dispatch before: all
        see the same, and no device waits for the host. One process alone need not ask.

        Args:
          flags: of this dispatch, replicated; above 0 where a process was to stop.
        """
        if self._unsaid:
            self._unsaid = False
            say("stopping after this dispatch; Ctrl-C leaves at once")
        if processes.count() == 1:
            return self.requested
        before, self._flags = self._flags, flags
        return before is not None and bool(np.any(devices.unreplicate(before)))

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.signal is None:
            self.signal, self._unsaid = number, True  # the main thread may be printing: not here
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def status_of(command: Sequence[str]) -> int:
    """Run a command to its end, also where a signal has it stop early, and return its status."""
    run = subprocess.Popen(command, stdout=subprocess.DEVNULL)

    def pass_on(number: int, _: FrameType | None) -> None:
        if number != signal.SIGINT:  # Ctrl-C has reached the run already
            run.send_signal(number)

    before = {n: signal.signal(n, pass_on) for n in (signal.SIGINT, signal.SIGTERM)}
    status = run.wait()
    for number, handler in before.items():
        signal.signal(number, handler)
    return status


def _ignored(number: int) -> bool:
    return signal.getsignal(number) == signal.SIG_IGN
