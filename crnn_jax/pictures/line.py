"""A picture of a line from outside, a file or an array, as strips that a network of lines reads."""

import itertools
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from PIL import Image
from skimage.filters import threshold_otsu
from skimage.measure import label, regionprops

from crnn_jax import UserError
from crnn_jax.data.form import Form
from crnn_jax.data.line import strips_of
from crnn_jax.data.pages import Picture, read_pages
from crnn_jax.pictures import is_one_picture
from crnn_jax.pictures.grey import grey_of
from crnn_jax.pictures.row import row_of

LONGEST = 10_000
"""Strips of a line, at most; training may have had fewer."""


_AS_HIGH = 0.5  # of the highest band of ink: lower ones are dots, accents, rules and dust
_AREA = 0.75  # of the square of its height, that its ink covers at least; specks cover less


class Line(NamedTuple):
    """The strips of a line, and where they are in the picture.

    Attributes:
      strips_LxHxWxC: uint8.
      left, pixel, width: column of the picture where the first one begins, columns that one of
        their pixels spans, and columns of the picture.
    """

    strips_LxHxWxC: np.ndarray
    left: float
    pixel: float
    width: int

    def columns(self, pixels: Iterable[int]) -> list[int]:
        """The picture's columns at pixels of the line."""
        places = (round(self.left + x * self.pixel) for x in pixels)
        return [min(max(place, 0), self.width) for place in places]


def read_line(
    pictures: Picture | Iterable[Picture], shape: tuple[int, int, int], *, glyphs: bool
) -> Line:
    """Read the one picture of a line.

    Args:
      pictures: one picture, as `frames_of` takes it, or that alone in a sequence.
      shape: height, width and channels of a strip.
      glyphs: whether to find the row of ink in it (`row_of`); otherwise all of it is the line, as
        pictures of lines for training are.

    Raises:
      UserError: there is another number of pictures, or it cannot be read or used; or several
        lines of ink stand in it one below the other.
    """
    given: Any = [pictures] if is_one_picture(pictures) else pictures
    several = list(given)
    height, strip, channels = shape
    form = Form(height, 0, channels, max_frames=LONGEST, strip=strip)

    def convert(image: Image.Image, name: str) -> Line:
        if not glyphs:
            _check_alone(np.asarray(image.convert("L")), name)
            return Line(strips_of(image, name, form), 0.0, image.height / height, image.width)
        grey_HxW = grey_of(image, name)
        row, shrunk = row_of(grey_HxW, name, height), image.width / grey_HxW.shape[1]
        strips = strips_of(Image.fromarray(row.pixels_HxW), name, form)
        return Line(strips, shrunk * row.left, shrunk * row.pixel, image.width)

    count = len(several)
    if count == 1:
        pages = list(itertools.islice(read_pages(several[0], "picture 1", convert), 2))
        if len(pages) == 1:
            return pages[0][1]
        count = len(pages)
    found = f"{count:,} or more pages" if len(several) == 1 else f"{count:,} pictures"
    raise UserError(
        f"found {found}, expected one picture of a line; for an answer about each of several files "
        "add --each (in Python, call it with each)"
    )


def _check_alone(grey_HxW: np.ndarray, name: str) -> None:
    """Refuse several lines: bands of ink about as high as each other, with clean paper between."""
    if grey_HxW.min() == grey_HxW.max():
        return
    bright_HxW = grey_HxW > threshold_otsu(grey_HxW)
    ink_HxW = bright_HxW if bright_HxW.mean() < 0.5 else ~bright_HxW
    bands = [band.slice[0] for band in regionprops(label(ink_HxW.any(axis=1)[:, None]))]
    highest = max(band.stop - band.start for band in bands)
    lines = [
        band
        for band in bands
        if band.stop - band.start >= _AS_HIGH * highest
        and ink_HxW[band].sum() >= _AREA * highest**2
    ]
    if len(lines) > 1:
        raise UserError(
            f"{name}: found {len(lines)} lines of ink one below the other, expected one line; cut "
            "it out"
        )
