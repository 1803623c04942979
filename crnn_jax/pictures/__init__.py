"""Pictures from outside, files or arrays, brought into MNIST's form: ink off paper, centred.

A picture is read (`data/pages.py`) as grey (`grey.py`), the sheet found in it (`sheet.py`), the ink
separated from the paper (`ink.py`) and from a form's lines (`lines.py`), and its glyph or glyphs
cut out, scaled and placed (`glyphs.py`), or its row as a whole (`row.py`). For networks that read
no glyphs it is only stretched.
"""

import itertools
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy import ndimage

from crnn_jax import UserError
from crnn_jax.data.pages import Picture, picture_path, pixels_of, read_pages
from crnn_jax.data.sources.listing import natural
from crnn_jax.pictures import row
from crnn_jax.pictures.glyphs import BOX, FRAME, center_glyph, find_marks
from crnn_jax.pictures.grey import grey_of, ring
from crnn_jax.pictures.ink import find_ink

# What lies beside pictures in a folder. All else there is one: left out, it would lack in a sum.
_BESIDE = (".csv", ".db", ".ini", ".json", ".md", ".txt", ".xml", ".xmp", ".yaml", ".yml")


def find_pictures(paths: Iterable[str | os.PathLike]) -> list[Path]:
    """Replace each folder by the files in it.

    Args:
      paths: files, and folders, of which the files are taken in natural order (2.png before
        10.png), but not hidden ones, text and tables, or those in folders within.

    Returns:
      Files only, in the order of `paths`. Whether they are pictures is found in reading them.

    Raises:
      UserError: a path does not exist or cannot be looked at, or a folder has no such file.
    """
    found = []
    for path in map(picture_path, paths):
        try:
            found += _inside(path) if path.is_dir() else [path]
            exists = path.exists()
        except OSError as error:
            raise UserError(
                f"{path}: cannot be looked at ({error.strerror}), expected a picture or a folder "
                "of pictures"
            ) from error
        if not exists:
            raise UserError(f"{path}: not found, expected a picture or a folder of pictures")
    return found


def _inside(folder: Path) -> list[Path]:
    inside = filter(_is_picture, folder.iterdir())
    pictures = sorted(inside, key=lambda path: natural(path.name))
    if not pictures:
        raise UserError(f"{folder}: no picture in this folder, expected files such as digit.png")
    return pictures


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() not in _BESIDE and path.name[0] != "." and path.is_file()


def frames_of(
    pictures: Picture | Iterable[Picture],
    *,
    shape: tuple[int, int, int] = (FRAME, FRAME, 1),
    glyphs: bool = True,
    split: bool = False,
    blank: bool = False,
) -> np.ndarray:
    """Make frames for a network of pictures, one of each page.

    Args:
      pictures: one or several: a path of an AVIF, BMP, GIF, JPEG, PNG, PPM, TIFF or WebP file, an
        image of Pillow's, or an array HxW, HxWx1, HxWx3 or HxWx4 (with opacity last) of bool,
        uint8, floats in 0..1, or wider integers in 0..255 or 0..65535. They are turned upright as
        their EXIF says.
      shape: height, width and channels (1 or 3) of a frame.
      glyphs: makes frames such as MNIST's, of one glyph each; otherwise the pictures themselves,
        stretched to the shape.
      split: the one picture given shows several glyphs in a row: makes a frame of each.
      blank: a picture of one shade makes an empty frame, and is not refused.

    Returns:
      uint8 (F, H, W, C), in the order of the pictures and their pages, or of the glyphs from left
      to right.

    Raises:
      UserError: there is no picture, or more than one to split, or one cannot be read, or has no
        ink or several glyphs; the line names the file, or counts pictures from 1.
    """
    several: Any = [pictures] if is_one_picture(pictures) else pictures
    numbered = ((f"picture {i}", picture) for i, picture in enumerate(several, 1))

    def convert(image: Image.Image, name: str) -> np.ndarray:
        return grey_of(image, name) if glyphs else pixels_of(image, name, shape)

    pages = itertools.chain.from_iterable(
        read_pages(picture, name, convert) for name, picture in numbered
    )
    if split and glyphs:
        frames = _frames_of_row(list(itertools.islice(pages, 2)))
    elif split:
        raise UserError("split needs a network that reads glyphs: give one picture a frame")
    else:
        frames = [_frame_of_grey(page, name, blank) if glyphs else page for name, page in pages]
    if not frames:
        raise UserError("found 0 pictures, expected at least one; name a picture or a folder")
    return np.stack(frames).reshape(-1, *shape)


def is_one_picture(pictures: Any) -> bool:
    """Whether this is one picture: a path, an image of Pillow's, or an array of its shape."""
    shape = getattr(pictures, "shape", ())
    return (
        isinstance(pictures, str | os.PathLike | Image.Image)
        or len(shape) == 2
        or (len(shape) == 3 and shape[2] in (1, 3, 4))
    )


def _frames_of_row(pages: Sequence[tuple[str, np.ndarray]]) -> list[np.ndarray]:
    if len(pages) > 1:
        raise UserError(
            "found 2 pictures or more to split, expected one with all glyphs in a row; name one "
            "picture, or do not split"
        )
    return [center_glyph(glyph) for name, grey_HxW in pages for glyph in row.split(grey_HxW, name)]


def _frame_of_grey(grey_HxW: np.ndarray, name: str, blank: bool) -> np.ndarray:
    if blank and np.ptp(grey_HxW) == 0:
        return np.zeros((FRAME, FRAME), np.uint8)
    frame_HxW = _frame_within(grey_HxW)
    if frame_HxW is not None:
        return frame_HxW
    marks = find_marks(find_ink(grey_HxW, name))
    if len(marks) > 1:
        raise UserError(
            f"{name}: found {len(marks)} separate marks, expected one glyph a picture; for a row "
            "of glyphs add --split (in Python split=True), or give one file each"
        )
    return center_glyph(marks[0])


def _frame_within(grey_HxW: np.ndarray) -> np.ndarray | None:
    """The picture as a frame, if its glyph has the size and place of MNIST's."""
    if grey_HxW.shape != (FRAME, FRAME):
        return None
    paper = np.round(np.median(ring(grey_HxW)))
    frame_HxW = np.round(255 * np.abs(grey_HxW - paper)).astype(np.uint8)
    rows, columns = (np.flatnonzero(frame_HxW.any(axis)) for axis in (1, 0))
    if not rows.size or max(np.ptp(rows), np.ptp(columns)) + 1 not in (BOX - 1, BOX):
        return None
    centre = np.array(ndimage.center_of_mass(frame_HxW)) + 0.5
    return frame_HxW if np.all(np.abs(centre - FRAME / 2) < 1) else None
