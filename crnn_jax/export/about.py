"""network.json: all that somebody must know who has the files and not this program."""

import hashlib
from collections.abc import Mapping
from importlib import metadata
from typing import Any

from crnn_jax import tasks
from crnn_jax.data.form import Form
from crnn_jax.export.answers import Functions, no_steps
from crnn_jax.model.marginal import Marginal
from crnn_jax.runs.load import Restored

MEANINGS = {
    "answer": "the answer: a number, or an index into names where there are any",
    "estimate": "the number that minimises the expected squared error",
    "confidence": "the probability of the answer",
    "probabilities": "of each of columns",
    "whole": "the probability of the whole text",
}

FITS = {
    "": "has",
    "stretch": "is stretched to",
    "pad": "is scaled into, with black around it,",
    "crop": "is scaled over, with what is outside cut off,",
}


def about(
    restored: Restored, functions: Functions, files: Mapping[str, bytes], compared: Any
) -> dict[str, Any]:
    """What network.json says.

    Args:
      restored: the run.
      functions: what has been exported.
      files: contents by name.
      compared: what has been measured.
    """
    question, info = restored.task.question, restored.dataset
    each = question.kind not in ("symbols", "line") and question.reads != "whole"
    names = list(getattr(restored.task, "vocabulary", info.vocabulary))
    if question.kind == "class":
        names = list(info.classes)
    columns: list[Any] = names
    if isinstance(functions.network.answer_head, Marginal) and question.kind == "number":
        head = functions.network.answer_head
        columns = head.recurrence.numbers(head.classes, head.max_length).tolist()
    return {
        "program": f"crnn_jax {version()}",
        "task": restored.task.name,
        "step": restored.step,
        "data": info.identity,
        "input": declared({"frames": functions.frames, "lengths": functions.lengths}),
        "output": {
            name: {**array, "meaning": MEANINGS[name]}
            for name, array in declared(functions.answers).items()
        },
        "output_axes": _axes(question.kind, each=each),
        "longest": question.steps if limited(restored) else None,
        "names": names if question.kind in ("class", "symbols", "line") else None,
        "columns": columns if "probabilities" in functions.answers else None,
        "preprocessing": preprocessing(restored),
        "state": declared(functions.state) or None,
        "no_state_because": no_steps(restored),
        "compared": compared,
        "behind_the_end": "frames of zeros, up to L",
        "sha256": {name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
    }


def version() -> str:
    """Of this program."""
    try:
        return metadata.version("crnn-jax")
    except metadata.PackageNotFoundError:  # a copy of its folder
        return "unknown"


def declared(arrays: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Dtype and shape of arrays; B is the number of sequences, L that of frames."""
    return {
        name: {
            "dtype": x.dtype.name,
            "shape": [d if isinstance(d, int) else str(d) for d in x.shape],
        }
        for name, x in arrays.items()
    }


def limited(restored: Restored) -> bool:
    """Whether the network can be asked about no longer sequences than in training."""
    return not tasks.is_stored(restored.config) or restored.task.question.kind == "symbols"


def _axes(kind: str, *, each: bool) -> str:
    if kind == "symbols":
        return "B sequences, the symbols of the answer"
    if kind == "line":
        return "B lines, the symbols from left to right; behind the text's end -1"
    if each:
        return "B sequences, the answer after each of L frames; behind the end, the last one again"
    return "B sequences"


def preprocessing(restored: Restored) -> str:
    """How a frame is made, in words."""
    info, question = restored.dataset, restored.task.question
    height, width, channels = question.frame_shape
    what = "grey" if channels == 1 else "RGB"
    frame = f"A frame is uint8, 0 is black and 255 is white, {height}x{width}, {what}"
    if question.kind == "line":
        frame = (
            f"A line is uint8, {what}, bright ink on black, scaled to {height} pixels of height. "
            f"From left to right it is cut into strips of {width} pixels, its frames; the last is "
            "filled up with the background"
        )
    elif question.frame_shape != info.frame_shape:
        frame += f"; {question.steps} of them show one glyph that moves or grows"
    elif info.form is not None:
        frame = _formed(info.form, what)
    if info.glyphs and question.kind != "line":
        frame += (
            ". Glyphs are bright on black. In a frame of 28x28 one is scaled, keeping its "
            "proportions, so that its longer side is 20 pixels, and its centre of mass is in the "
            "middle, as in MNIST"
        )
    return f"{frame}. Give the bytes as they are: the network scales them itself."


def _formed(form: Form, what: str) -> str:
    size = f"{form.height}x{form.width}" if form.height else "the size of all files"
    if form.frames:
        taken = f"{form.frames} frames, evenly spread,"
    else:
        every = f"every frame {form.stride}" if form.stride > 1 else "every frame"
        taken = f"{every}, the first {form.max_frames} at most,"
    return (
        f"Of a clip {taken} are taken; each is uint8, {what}, upright, and {FITS[form.fit]} {size}"
    )
