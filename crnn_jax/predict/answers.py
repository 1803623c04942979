"""Answers as tables, JSON, CSV and a picture."""

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from crnn_jax import UserError, user_path
from crnn_jax.data.form import evenly
from crnn_jax.distributed.files import write_whole
from crnn_jax.figures.saving import pixels, write_png
from crnn_jax.figures.strips import Strip, draw_strips
from crnn_jax.pictures.clip import Frames
from crnn_jax.pictures.line import Line
from crnn_jax.runs.progress import print_table
from crnn_jax.tasks.task import Account, Mark

STRIPS, FRAMES = 24, 12
"""Clips in a figure, and frames of each: of more, the first clips and frames evenly spread."""


UNSURE = "?"
"""In place of an answer that is not sure enough to be told."""

NOTHING = "(nothing)"
"""What tables say where a line has no symbol."""


class Answer(NamedTuple):
    """What was answered about some files.

    Attributes:
      name: of them.
      found: see `Predictor.__call__`; or `error` alone.
      numbers: of the frames that have an answer each; () where none has.
      strip: frames and answers, as far as they are to be drawn.
    """

    name: str
    found: dict[str, Any]
    numbers: Sequence[int]
    strip: Strip | None


def answer(name: str, found: dict[str, Any], frames: Frames, *, per_frame: bool) -> Answer:
    """An answer about these frames, or an answer about each of them."""
    if frames.line is not None:
        return _of_line(name, found, frames.line)
    per_frame = per_frame and bool(found["steps"])
    count = len(frames.frames_LxHxWxC)
    shown = evenly(count, FRAMES)
    notes = [Mark(_short(found["steps"][i]), wrong=False) for i in shown if per_frame]
    account = Account(f"{Path(name).name}: {_line(found)}", wrong=False, notes=notes)
    strip = Strip(account, frames.frames_LxHxWxC[shown])
    return Answer(name, found, frames.numbers_L.tolist() if per_frame else (), strip)


def _of_line(name: str, found: dict[str, Any], line: Line) -> Answer:
    strips = line.strips_LxHxWxC
    notes = [Mark("", wrong=False)] * len(strips)
    for step in found["steps"]:
        place = (sum(step["pixels"]) / 2 - line.left) / line.pixel / strips.shape[2]
        notes[min(max(int(place), 0), len(strips) - 1)] = Mark(step["answer"], wrong=False)
    account = Account(f"{Path(name).name}: {_line(found)}", wrong=False, notes=notes)
    return Answer(name, found, (), Strip(account, strips, line=True))


def told(found: dict[str, Any], least: float | None) -> dict[str, Any]:
    """What is told of an answer: of one that is less sure than `least`, only how sure it is.

    Raises:
      UserError: the network does not say how sure it is.
    """
    if least is None or "error" in found:
        return found
    if "confidence" not in found:
        raise UserError(
            f"--min_confidence={least:g}: this network does not say how sure it is, expected one "
            "that gives classes, symbols or exact numbers; leave it out"
        )
    if found["confidence"] >= least:
        return {**found, "abstained": False}
    return {"answer": None, "confidence": found["confidence"], "abstained": True, "steps": []}


def _short(step: dict[str, Any]) -> str:
    return f"{step['estimate']:.3g}" if "estimate" in step else step["answer"]


def check(table: str | None, figure: str | None, least: float | None) -> None:
    """Refuse files that cannot be written, and what is no confidence, before anything is computed.

    Raises:
      UserError: says which flag, and what is expected.
    """
    if least is not None and not 0 <= least <= 1:
        raise UserError(f"--min_confidence={least:g}: expected a share from 0 to 1, as in 0.9")
    for flag, given, ending in (("csv", table, ".csv"), ("figure", figure, ".png")):
        path = user_path(given or ending)
        if given is not None and (path.suffix.lower() != ending or not path.parent.is_dir()):
            raise UserError(
                f"--{flag}={given}: expected a file in a folder that exists, as in answers{ending}"
            )


def print_json(answer: Answer, *, named: bool) -> None:
    """Print one line of JSON; `named` after the file."""
    name = {"file": answer.name} if named else {}
    print(json.dumps({**name, **answer.found}), flush=True)


def print_answers(answers: Sequence[Answer], *, each: bool) -> None:
    """Print a table: a row for each, or all about the only one."""
    if each:
        print_table("predictions", [(answer.name, _line(answer.found)) for answer in answers])
    else:
        print_table("prediction", _rows(answers[0].found))


def _line(found: dict[str, Any]) -> str:
    if "error" in found:
        return f"error: {found['error']}"
    sure = f" · {found['confidence']:.1%}" if "confidence" in found else ""
    return f"{_text(found)}{_estimate(found, ' · ')}{sure}"


def _text(found: dict[str, Any]) -> str:
    return UNSURE if found["answer"] is None else found["answer"] or NOTHING


def _estimate(found: dict[str, Any], before: str = "") -> str:
    """An estimate, where the answer does not say it already."""
    if "estimate" not in found or found["answer"] == f"{found['estimate']:.4g}":
        return ""
    return f"{before}estimate {found['estimate']:.2f}"


def _rows(found: dict[str, Any]) -> list[tuple[str, str]]:
    rows = [("answer", _text(found))]
    if estimate := _estimate(found):
        rows.append(("estimate", estimate.removeprefix("estimate ")))
    if "confidence" in found:
        rows.append(("confidence", f"{found['confidence']:.1%}"))
    if others := found.get("classes", ())[1:]:
        words = (f"{x['class']} {x['probability']:.1%}" for x in others)
        rows.append(("others", " · ".join(words)))
    return rows + [(step["name"], _line(step)) for step in found["steps"]]


def write(answers: Sequence[Answer], table: str | None, figure: str | None) -> None:
    """Write answers as CSV, and draw them as PNG, each whole or not at all.

    Raises:
      UserError: a file cannot be written.
    """
    path = Path()
    try:
        if table is not None:
            path = user_path(table)
            write_whole(path, _csv(answers).encode(errors="surrogateescape"))
        if figure is not None:
            path = user_path(figure)
            strips = [answer.strip for answer in answers if answer.strip is not None]
            title = f"{len(strips):,} of {len(answers):,} predictions"
            write_png(path, pixels(draw_strips(strips, title)))
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror or error})") from error


def _csv(answers: Sequence[Answer]) -> str:
    """A line for each frame, where each has an answer, or else for each clip."""
    columns = ["file", "frame", "answer", "estimate", "confidence"]
    text = io.StringIO()
    rows = csv.DictWriter(text, columns, restval="", extrasaction="ignore", lineterminator="\n")
    rows.writeheader()
    for name, found, numbers, _ in answers:
        for number, step in zip(numbers, found.get("steps", ()), strict=False):
            rows.writerow({**step, "file": name, "frame": number})
        if not numbers and "error" not in found:
            rows.writerow({**found, "file": name, "answer": _text(found)})
    return text.getvalue()
