"""Lines: pictures of any width, scaled to one height and cut into strips, and their texts."""

import itertools

import numpy as np
from PIL import Image

from crnn_jax import UserError
from crnn_jax.data.form import Form
from crnn_jax.data.pages import opaque
from crnn_jax.data.sources.listing import Clip, Problem


def strips_of(image: Image.Image, name: str, form: Form) -> np.ndarray:
    """Cut an upright picture of a line into strips.

    It is scaled to the form's height in proportion; the very pixels of one that has it stay. The
    last strip is filled up with the picture's background, the median of its border.

    Returns:
      uint8 LxHxWxC; W is `form.strip`.

    Raises:
      UserError: there are more strips than `form.max_frames`.
    """
    width = max(1, round(image.width * form.height / image.height))
    count = -(-width // form.strip)
    if count > form.max_frames:
        raise UserError(
            f"{name}: {width:,} pixels long at a height of {form.height}, which are {count:,} "
            f"strips of {form.strip}: expected at most --config.data.max_frames={form.max_frames}, "
            "a line is never cut; raise it, or cut the picture into lines"
        )
    image = opaque(image, name, form.channels)
    if image.size != (width, form.height):
        image = image.resize((width, form.height), Image.Resampling.BICUBIC)
    pixels_HxXxC = np.asarray(image).reshape(form.height, width, form.channels)
    sides = (pixels_HxXxC[0], pixels_HxXxC[-1], pixels_HxXxC[:, 0], pixels_HxXxC[:, -1])
    background_C = np.median(np.concatenate(sides), axis=0).astype(np.uint8)
    filled = np.broadcast_to(background_C, (form.height, count * form.strip - width, form.channels))
    line_HxXxC = np.concatenate([pixels_HxXxC, filled], axis=1)
    return line_HxXxC.reshape(form.height, count, *form.frame_shape[1:]).swapaxes(0, 1)


def columns_needed(text: str) -> int:
    """The fewest strips that a line must have to be read as this: a blank parts equal symbols."""
    return len(text) + sum(a == b for a, b in itertools.pairwise(text))


def misfit(clip: Clip, strips: int, part: str) -> Problem | None:
    """What to say of a line with a text that no network could read off it; None of others."""
    needed = columns_needed(str(clip.answer))
    if needed <= strips:
        return None
    what = f"the text needs {needed:,} strips, the line has {strips:,}: "
    done = "left out" if part == "train" else f"kept for {part}, and never read right"
    return Problem(clip.name, f"{what}{done}; is it the right picture, and upright?", False)
