"""How far a run is: a bar on a terminal, a line now and then anywhere else."""

import math
import sys
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Self

from rich import progress
from rich.console import Console
from rich.table import Table
from rich.text import Text

from crnn_jax import printable

_SECONDS_BETWEEN_LINES = 10.0


class Progress:
    """Shows on stderr how far the training is; a context manager."""

    def __init__(self, total_steps: int, first_step: int) -> None:
        """Prepare the bar; it appears when the context is entered.

        Args:
          total_steps: steps at the end of the run.
          first_step: steps trained before this process.
        """
        self._total_steps = total_steps
        self._next_line = 0.0
        console = Console(stderr=True)
        self._bar = progress.Progress(
            progress.TextColumn("step {task.completed}/{task.total}"),
            progress.BarColumn(bar_width=None),  # what the text leaves
            progress.TextColumn("{task.description}"),
            console=console,
            redirect_stdout=False,  # or what goes to stdout would land in stderr
            expand=True,
            refresh_per_second=2,
            disable=not console.is_interactive,
        )
        self._task = self._bar.add_task("", total=total_steps, completed=first_step)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def update(self, step: int, *, loss: float, rate: float, seconds_left: float) -> None:
        """Show the state of the run; where there is no bar, at most every 10 seconds.

        Args:
          step: steps trained.
          loss: the latest.
          rate: sequences a second; NaN for unknown.
          seconds_left: to the end of the run; NaN for unknown.
        """
        text = f"loss {loss:.4g} · {_count(rate)} sequences/s · {_duration(seconds_left)} left"
        if not self._bar.disable:
            self._bar.update(self._task, completed=step, description=text)
        elif step >= self._total_steps or time.monotonic() >= self._next_line:
            self._next_line = time.monotonic() + _SECONDS_BETWEEN_LINES
            self.print(f"step {step}/{self._total_steps} · {text}")

    def print(self, line: str) -> None:
        """Print a line, above the bar where there is one."""
        if self._bar.disable:
            print(line, file=sys.stderr, flush=True)
        else:
            self._bar.console.print(Text(line), soft_wrap=True)


def print_table(title: str, rows: Sequence[tuple[str, str]]) -> None:
    """Print names and values in two columns to stdout, whole also where it is no terminal."""
    console = Console()
    if not console.is_terminal:
        console.width = 10_000  # a file has no width to wrap at
    table = Table(title=Text(title, "bold"), title_justify="left", show_header=False, box=None)
    table.add_column(overflow="fold")
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(Text(printable(name)), Text(printable(value)))
    with console.capture() as captured:  # Rich ends the process where nobody reads
        console.print(table)
    print(captured.get(), end="", flush=True)


def _count(rate: float) -> str:
    return f"{rate:,.0f}" if math.isfinite(rate) else "?"


def _duration(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds))) if math.isfinite(seconds) else "?"
