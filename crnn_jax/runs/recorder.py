"""What a run tells while it trains: metrics that are written down, and lines for people."""

import signal
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from ml_collections import ConfigDict

from crnn_jax.distributed import devices, processes
from crnn_jax.runs.clock import Clock
from crnn_jax.runs.folder import RunFolder
from crnn_jax.runs.metrics import Writer
from crnn_jax.runs.progress import Progress
from crnn_jax.runs.stop import Stop
from crnn_jax.tasks.scores import SCORES


class Diverged(Exception):
    """Raised when the loss or the gradient is no longer finite; names the step."""


class Recorder:
    """Reads metrics one dispatch behind, so that the device never waits for the host.

    All processes check them, and the main one writes and shows them. What people see waits for
    `show`: if nobody reads it any more, the run stops as if SIGPIPE had come, and saves first.
    """

    def __init__(
        self, folder: RunFolder, train: ConfigDict, stop: Stop, clock: Clock, step: int
    ) -> None:
        """Open the files of a run.

        Args:
          folder: of the run.
          train: the config's `train` section.
          stop: is told where nothing can be shown.
          clock: ticks for every step whose metrics are read.
          step: steps trained so far.

        Raises:
          UserError: metrics.jsonl is damaged.
          OSError: a file cannot be written.
        """
        self._train, self._stop, self._clock = train, stop, clock
        self._writer = processes.main_only(lambda: Writer(folder, step))
        self._progress = processes.main_only(lambda: Progress(train.steps, step))
        self._unread: tuple[int, Any] | None = None
        self._update: tuple[int, float] | None = None
        self._lines: list[str] = []

    def __enter__(self) -> Self:
        self._progress.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.__exit__(None, None, None)
        self._writer.close()

    def take(self, step: int, metrics: Mapping[str, Any]) -> None:
        """Take the metrics of the dispatch that ended at `step`; write those of the one before.

        Raises:
          Diverged: the loss or the gradient of the one before is not finite.
          OSError: they cannot be written.
        """
        self.flush()
        self._unread = (step, metrics)

    def flush(self) -> None:
        """Wait for the metrics not yet read, and write them; raises what `take` does."""
        if self._unread is None:
            return
        (step, metrics), self._unread = self._unread, None
        values = {name: np.asarray(x) for name, x in devices.unreplicate(metrics).items()}
        _check_finite(step, values["loss"], values["gradient_norm"])
        self._clock.tick(len(values["loss"]))
        means = {name: float(np.mean(x, dtype=np.float64)) for name, x in values.items()}
        self._writer.write(step, means)
        self._update = (step, means["loss"])

    def report(self, step: int, report: Mapping[str, Any], line: str) -> None:
        """Write an evaluation, and have `show` print it as `line`."""
        names = [name for name in SCORES if name in report]
        self._writer.write(step, {f"validation_{name}": report[name] for name in names})
        self._lines.append(f"step {step} · validation: {line}")

    def show(self) -> None:
        """Show people what was written since the last time."""
        (update, self._update), (lines, self._lines) = (self._update, None), (self._lines, [])
        try:
            if update is not None:
                step, loss = update
                rate = self._clock.rate * self._train.batch_size
                left = self._clock.remaining(self._train.steps)
                self._progress.update(step, loss=loss, rate=rate, seconds_left=left)
            for line in lines:
                self._progress.print(line)
        except OSError:  # a reader that has gone away, a full disk
            self._stop.signal = self._stop.signal or signal.SIGPIPE


def _check_finite(step: int, losses_J: np.ndarray, gradients_J: np.ndarray) -> None:
    # A gradient may be infinite where the loss is not yet.
    finite_J = np.isfinite(losses_J) & np.isfinite(gradients_J)
    if finite_J.all():
        return
    k = int(np.argmin(finite_J))
    what = f"gradient norm is {gradients_J[k]}"
    if not np.isfinite(losses_J[k]):
        what = f"loss is {losses_J[k]}"
    raise Diverged(
        f"the {what} at step {step - len(losses_J) + 1 + k}; the checkpoints from before are kept. "
        "Try a lower train.learning_rate or train.clip_norm"
    )
