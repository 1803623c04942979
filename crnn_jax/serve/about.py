"""What a page must know of a network, and the frames that it got, as JSON can hold them."""

import base64
import io
from typing import Any

import numpy as np
from PIL import Image

from crnn_jax.data.form import evenly
from crnn_jax.pictures.clip import Frames
from crnn_jax.predict import Predictor

SHOWN = 64
"""Frames of a clip that are shown at most, evenly spread."""


def about(predictor: Predictor, name: str) -> dict[str, Any]:
    """What a network takes and answers.

    Args:
      predictor: the network.
      name: what people call it.

    Returns:
      takes: "pictures" (a frame each), "clip" (its frames together), "picture" or "line" (one).
      draws: whether what is drawn by hand is in the form that it was trained on.
      fewest, most: pictures, as far as they are limited.
      asks: what an answer is; symbols: whether it is written in symbols.
    """
    restored = predictor.restored
    task: Any = restored.task
    counted = not predictor.stored and not predictor.lines
    if predictor.lines:
        takes = "line"
    elif predictor.stored:
        takes = "clip" if restored.dataset.longest > 1 else "picture"
    else:
        takes = "pictures" if task.composition.keeps_images else "clip"
    return {
        "name": name,
        "step": restored.step,
        "task": task.name,
        "asks": task.asks,
        "takes": takes,
        "draws": restored.dataset.glyphs,
        "fewest": task.fewest_pictures if counted else 1,
        "most": task.most_pictures if counted else None,
        "symbols": task.question.kind in ("symbols", "line"),
        "frame": task.question.frame_shape,
    }


def shown_frames(frames: Frames) -> dict[str, Any]:
    """Frames as images for a page.

    Returns:
      images: PNG files as `data:` addresses; of a line one, of all its strips.
      places: which of the frames that the network got they are, from 0.
      cut: whether more followed, which the network does not take.
      left, pixel: of a line, the picture's column where it begins and columns that a pixel spans.
    """
    line = frames.line
    if line is not None:
        whole_HxWxC = np.concatenate(list(line.strips_LxHxWxC), axis=1)
        place = {"left": line.left, "pixel": line.pixel}
        return {"images": [_png(whole_HxWxC)], "places": [0], "cut": False, **place}
    shown = evenly(len(frames.frames_LxHxWxC), SHOWN)
    return {
        "images": [_png(frame_HxWxC) for frame_HxWxC in frames.frames_LxHxWxC[shown]],
        "places": shown.tolist(),
        "cut": bool(frames.cut),
    }


def _png(image_HxWxC: np.ndarray) -> str:
    image = Image.fromarray(image_HxWxC[..., 0] if image_HxWxC.shape[-1] == 1 else image_HxWxC)
    file = io.BytesIO()
    image.save(file, "PNG")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
