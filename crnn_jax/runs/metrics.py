"""What a run measures, written twice: a JSON object a line, and TensorBoard event files."""

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from crnn_jax import UserError
from crnn_jax.distributed.files import write_whole


class Writer:
    """Appends to metrics.jsonl and to tensorboard/ in one folder; a context manager.

    After a restart from the checkpoint of step s, the lines up to s are kept and those after it
    dropped: the run writes these again. So that no line is lost either, write the lines of a step
    before its checkpoint is saved. With several processes, one of them writes.
    """

    def __init__(self, workdir: str | os.PathLike[str], resume_step: int) -> None:
        """Makes the folder if need be, and drops what was written after `resume_step`.

        Args:
            workdir: the folder of the run.
            resume_step: the step trained so far, 0 for a new run.

        Raises:
            UserError: a line of metrics.jsonl, not the last, that no run wrote.
        """
        # Half a second, which only a process that writes should pay.
        from tensorboardX import SummaryWriter

        workdir = Path(workdir)
        workdir.mkdir(parents=True, exist_ok=True)
        path = workdir / "metrics.jsonl"
        _drop_after(path, resume_step)
        self._lines = path.open("a", encoding="utf-8")
        self._events = SummaryWriter(
            logdir=str(workdir / "tensorboard"),
            purge_step=resume_step + 1,
            flush_secs=1,
            # The name has a resolution of one second: a quick restart would overwrite the file.
            filename_suffix=f".{resume_step}",
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Writes out and closes the files."""
        self._lines.close()
        if self._writes_events():
            self._events.close()

    def _writes_events(self) -> bool:
        """Whether tensorboardX's thread lives; an error ends it, and then its queue fills up."""
        return self._events.file_writer.event_writer._worker.is_alive()

    def write(self, step: int, scalars: Mapping[str, float]) -> None:
        """Writes one line, which a killed process does not lose.

        Args:
            step: steps trained.
            scalars: by name; to both files. JSON has no NaN and no infinity: these become the
                strings "nan", "inf" and "-inf", which `float` reads, and TensorBoard gets none.

        Raises:
            OSError: one of the files cannot be written.
        """
        numbers = {name: float(value) for name, value in scalars.items()}
        line = {name: x if math.isfinite(x) else str(x) for name, x in numbers.items()}
        self._lines.write(json.dumps({"step": step, **line}) + "\n")
        self._lines.flush()
        if not self._writes_events():
            raise OSError(f"{self._events.logdir} can be written no more")
        for name, number in numbers.items():
            if math.isfinite(number):
                self._events.add_scalar(name, number, step)


def _drop_after(path: Path, step: int) -> None:
    """Rewrites the file, in one move, without the lines after `step` and a last one cut short."""
    if not path.exists():
        return
    text = path.read_bytes()
    lines = text.splitlines()
    kept = []
    for number, line in enumerate(lines, start=1):
        try:
            wanted = json.loads(line)["step"] <= step
        except (ValueError, TypeError, KeyError):
            if number == len(lines):  # the process was killed in the middle of it
                break
            raise UserError(
                f"{path} line {number} is no JSON object with a step: delete or mend that line"
            ) from None
        if wanted:
            kept.append(line + b"\n")
    if b"".join(kept) != text:
        write_whole(path, b"".join(kept))
