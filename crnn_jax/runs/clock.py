"""The training clock: seconds spent training, and nothing else."""

import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self

_RECENT_TICKS = 50


class Clock:
    """Counts steps, and the seconds between `start` and `stop`, over restarts of the run.

    It stands still until started. Start it when the step is compiled, and pause it for evaluation
    and checkpoints. JAX dispatches asynchronously: before stopping or pausing, wait for the
    device, or the work still in flight goes uncounted.
    """

    def __init__(
        self,
        seconds: float = 0.0,
        steps: int = 0,
        *,
        now: Callable[[], float] = time.perf_counter,
    ) -> None:
        """Make a clock that stands still.

        Args:
          seconds: trained before this process.
          steps: trained before this process.
          now: the time in seconds, from any origin.
        """
        self._seconds = seconds
        self._steps = steps
        self._now = now
        self._started: float | None = None
        self._ticks = deque([(seconds, steps)], maxlen=_RECENT_TICKS + 1)

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        """The clock of which `state()` was taken, standing still."""
        return cls(seconds=state["seconds"], steps=state["steps"])

    def state(self) -> dict[str, float | int]:
        """Seconds and steps so far, as JSON can hold them."""
        return {"seconds": self.seconds, "steps": self.steps}

    def start(self) -> None:
        """Let the clock run; no effect on one that runs."""
        if self._started is None:
            self._started = self._now()

    def stop(self) -> None:
        """Halt the clock; no effect on one that stands."""
        self._seconds = self.seconds
        self._started = None

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Halt a running clock for the length of the block; leave a standing one alone."""
        running = self._started is not None
        self.stop()
        try:
            yield
        finally:
            if running:
                self.start()

    def tick(self, steps: int) -> None:
        """Count steps done since the tick before."""
        self._steps += steps
        self._ticks.append((self.seconds, self._steps))

    @property
    def seconds(self) -> float:
        """Seconds trained, those before a restart included."""
        running = 0.0 if self._started is None else self._now() - self._started
        return self._seconds + running

    @property
    def steps(self) -> int:
        """Steps trained, those before a restart included."""
        return self._steps

    @property
    def rate(self) -> float:
        """Steps a second over the last ticks of this process; NaN as long as unknown."""
        (first_seconds, first_steps), (last_seconds, last_steps) = self._ticks[0], self._ticks[-1]
        seconds, steps = last_seconds - first_seconds, last_steps - first_steps
        return steps / seconds if seconds > 0 and steps > 0 else math.nan

    def remaining(self, total_steps: int) -> float:
        """Seconds left to `total_steps` at the present rate; NaN as long as that is unknown."""
        left = max(total_steps - self._steps, 0)
        return left / self.rate if left else 0.0
