"""What a run measures, written twice: a JSON object a line, and TensorBoard event files."""

import contextlib
import json
import math
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from crnn_jax import UserError
from crnn_jax.distributed.files import write_whole
from crnn_jax.runs.folder import RunFolder


class Events:
    """A new TensorBoard event file.

    Not by tensorboardX's SummaryWriter: that writes in a thread, and hangs once the thread has died
    of a full disk.
    """

    def __init__(self, folder: Path, suffix: str, step: int) -> None:
        """Open the file, in a folder that is made.

        Args:
          folder: for event files.
          suffix: ends the file's name.
          step: of the first event.

        Raises:
          OSError: it cannot be written.
        """
        # Half a second, which only a process that writes should pay. It imports PyTorch where that
        # is installed, for three seconds more, and does without where it is not.
        torch = sys.modules.setdefault("torch", None)  # pyright: ignore[reportArgumentType]
        from tensorboardX.event_file_writer import EventsWriter

        if torch is None:
            del sys.modules["torch"]
        folder.mkdir(exist_ok=True)
        self._writer = EventsWriter(str(folder / "events"), suffix)
        self.add(step, file_version="brain.Event:2")

    def add(self, step: int, **fields: Any) -> None:
        """Add an event with these fields of its protocol buffer."""
        from tensorboardX.proto import event_pb2

        event = event_pb2.Event  # pyright: ignore[reportAttributeAccessIssue]
        self._writer.write_event(event(step=step, wall_time=time.time(), **fields))

    def flush(self) -> None:
        """Write out what was added; raises OSError if it cannot be written."""
        self._writer.flush()

    def close(self) -> None:
        """Close the file; what was not flushed may be lost."""
        with contextlib.suppress(OSError):
            self._writer.close()


class Writer:
    """Appends to a run's metrics.jsonl and to its TensorBoard files; a context manager.

    After a restart from the checkpoint of step s, the lines up to s are kept and those after it
    dropped: the run writes these again. So that no line is lost either, write the lines of a step
    before its checkpoint is saved. With several processes, one of them writes.
    """

    def __init__(self, folder: RunFolder, resume_step: int) -> None:
        """Drop what was written after `resume_step`.

        Args:
          folder: of the run; must exist.
          resume_step: the step trained so far, 0 for a new run.

        Raises:
          UserError: a line of metrics.jsonl, not the last, that no run wrote.
          OSError: one of the files cannot be written.
        """
        _drop_after(folder.metrics, resume_step)
        self._lines = folder.metrics.open("a", encoding="utf-8")
        # The name has a resolution of one second: a quick restart would overwrite the file.
        self._events = Events(folder.tensorboard, f".{resume_step}", resume_step + 1)
        from tensorboardX.proto import event_pb2

        # Hides what was written after `resume_step`.
        start = event_pb2.SessionLog(status="START")  # pyright: ignore[reportAttributeAccessIssue]
        self._events.add(resume_step + 1, session_log=start)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the files; each `write` has written out all it was given."""
        self._events.close()
        self._lines.close()

    def write(self, step: int, scalars: Mapping[str, float]) -> None:
        """Write one line, which a killed process does not lose.

        Args:
          step: steps trained.
          scalars: by name; to both files. JSON has no NaN and no infinity: these become the
            strings "nan", "inf" and "-inf", which `float` reads, and TensorBoard gets none.

        Raises:
          OSError: one of the files cannot be written.
        """
        from tensorboardX.summary import scalar

        numbers = {name: float(value) for name, value in scalars.items()}
        line = {name: x if math.isfinite(x) else str(x) for name, x in numbers.items()}
        self._lines.write(json.dumps({"step": step, **line}) + "\n")
        self._lines.flush()
        for name, number in numbers.items():
            if math.isfinite(number):
                self._events.add(step, summary=scalar(name, number))
        self._events.flush()


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The lines of a run's metrics.jsonl; not a last one that is cut short.

    Raises:
      UserError: another line is no JSON object with a step and numbers.
      OSError: the file cannot be read.
    """
    text, lines = path.read_bytes().splitlines(), []
    for number, line in enumerate(text, start=1):
        try:
            values = json.loads(line)
            if not isinstance(values["step"], int):
                raise TypeError
            [float(value) for value in values.values()]
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
            if number == len(text):  # a process is writing it, or was killed in the middle of it
                break
            raise UserError(
                f"{path} line {number} is no JSON object with a step and numbers: delete or mend "
                "that line"
            ) from None
        lines.append(values)
    return lines


def _drop_after(path: Path, step: int) -> None:
    """Rewrite the file, in one move, without the lines after `step` and a last one cut short."""
    if path.exists():
        kept = "".join(json.dumps(x) + "\n" for x in read_lines(path) if x["step"] <= step)
        write_whole(path, kept.encode())
