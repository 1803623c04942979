"""Stopping a run from outside, without losing what it has learned."""

import signal
import sys
from types import FrameType, TracebackType
from typing import Any, Self

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stopped(Exception):
    """The run was told to stop, and has saved a checkpoint; `signal` is the signal's number."""

    def __init__(self, number: int, step: int) -> None:
        self.signal = number
        name = signal.Signals(number).name
        super().__init__(
            f"stopped by {name} after step {step}, which is saved: the same command goes on from it"
        )


class Stop:
    """While it is entered, SIGTERM and SIGINT are noted; the second SIGINT ends the process.

    Attributes:
      signal: number of the signal that has come; None before.
    """

    def __init__(self) -> None:
        self.signal: int | None = None

    def __enter__(self) -> Self:
        self._before: dict[int, Any] = {s: signal.signal(s, self._note) for s in _SIGNALS}
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.signal is None:
            self.signal = number
            print("stopping after this dispatch; Ctrl-C leaves at once", file=sys.stderr)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
