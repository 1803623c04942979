"""network.json: all that somebody must know who has the files and not this program."""

import hashlib
from collections.abc import Mapping
from typing import Any

from crnn_jax import __version__, tasks
from crnn_jax.data.form import Form
from crnn_jax.export.answers import Functions, dtype_and_shape, no_steps
from crnn_jax.model.marginal import Marginal
from crnn_jax.runs.load import Restored

MEANINGS = {
    "answer": "the answer: a number, or an index into names where there are any",
    "estimate": "the number that minimises the expected squared error",
    "confidence": "the probability of the answer",
    "probabilities": "of each of columns",
    "whole": "the probability of the whole text",
    "steps": "the first and the last frame that each symbol was read from",
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
        "program": f"crnn_jax {__version__}",
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


def declared(arrays: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Dtype and shape of arrays; B is the number of sequences, L that of frames."""
    return {
        name: dict(zip(("dtype", "shape"), dtype_and_shape(x), strict=True))
        for name, x in arrays.items()
    }


def limited(restored: Restored) -> bool:
    """Whether the network can be asked about no longer sequences than in training."""
    kind = restored.task.question.kind
    return kind == "symbols" or (kind != "line" and not tasks.is_stored(restored.config))


def _axes(kind: str, *, each: bool) -> str:
    if kind == "symbols":
        return "B sequences, the symbols of the answer"
    if kind == "line":
        return "B sequences, up to L symbols of the text, -1 behind the last; of whole, B alone"
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
            f"Frames are uint8, {height}x{width}, {what}: strips of one upright picture of a line, "
            f"from left to right. It is scaled to {height} pixels of height, keeping its "
            "proportions, and filled up on the right with its background, the median of its "
            "border, to whole strips. Ink is bright on black: a light background is inverted"
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
