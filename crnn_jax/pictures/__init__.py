"""Pictures from outside, files or arrays, brought into MNIST's form: ink off paper, centred.

A picture is read (`grey.py`), its ink separated from the paper (`ink.py`), and its glyph or glyphs
cut out, scaled and placed (`glyphs.py`).
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy import ndimage

from crnn_jax import UserError
from crnn_jax.pictures.glyphs import BOX, FRAME, center_glyph, count_marks, split_row
from crnn_jax.pictures.grey import Picture, read_grey, ring
from crnn_jax.pictures.ink import find_ink

_SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")


def find_pictures(paths: Sequence[Path]) -> list[Path]:
    """Replaces each folder by the image files in it.

    Args:
      paths: files, which stay as they are whatever their names, and folders, of which the files
        with the suffix of an image are taken in natural order (2.png before 10.png), but not
        hidden ones or those in folders within.

    Returns:
      Files only, in the order of `paths`.

    Raises:
      UserError: a path does not exist or cannot be looked at, or a folder has no image file.
    """
    found = []
    for path in paths:
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
    pictures = sorted(filter(_is_picture, folder.iterdir()), key=_natural)
    if not pictures:
        raise UserError(
            f"{folder}: no picture in this folder, expected names that end in one of "
            f"{' '.join(_SUFFIXES)}; name the files themselves if theirs end otherwise"
        )
    return pictures


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in _SUFFIXES and path.name[0] != "." and path.is_file()


def _natural(path: Path) -> tuple[list[str | int], str]:
    parts = re.split("([0-9]+)", path.name.lower())  # every second one is a number
    return [int(part) if i % 2 else part for i, part in enumerate(parts)], path.name


def frames_of(pictures: Sequence[Picture], *, split: bool = False) -> np.ndarray:
    """Makes of each picture a frame such as MNIST's.

    Args:
      pictures: files or arrays, as `read_picture` takes them.
      split: the one picture given shows several glyphs in a row: makes a frame of each.

    Returns:
      uint8 (F, 28, 28), in the order of the pictures, or of the glyphs from left to right.

    Raises:
      UserError: a picture stands for a list, there is none, or more than one to split, or one
        cannot be read or has no ink; the line names the file, or counts pictures from 1.
    """
    if isinstance(pictures, str | os.PathLike) or getattr(pictures, "ndim", 3) == 2:
        raise UserError(
            'one picture is given, where a list is expected: put it into [ ], as in ["three.png"]'
        )
    if len(pictures) == 0:
        raise UserError("found 0 pictures, expected at least one; name a picture or a folder")
    if not split:
        return np.stack([frame_of(x, name=f"picture {i}") for i, x in enumerate(pictures, 1)])
    if len(pictures) > 1:
        raise UserError(
            f"found {len(pictures)} pictures to split, expected one with all glyphs in a row; "
            "name one picture, or do not split"
        )
    ink_HxW = read_picture(pictures[0], name="picture 1")
    return np.stack([center_glyph(glyph_HxW) for glyph_HxW in split_row(ink_HxW)])


def frame_of(picture: Picture, *, name: str = "picture") -> np.ndarray:
    """Makes of a picture of one glyph a frame such as MNIST's.

    A picture of 28×28 with a black border, or with a white one and dark ink, is such a frame
    already: its pixels stay as they are.

    Args:
      picture: a file or array, as `read_picture` takes it.
      name: what errors call an array.

    Returns:
      uint8 (28, 28), bright ink on black.

    Raises:
      UserError: the picture cannot be read or has no ink.
    """
    grey_HxW = read_grey(picture, name)
    frame_HxW = _frame_within(grey_HxW)
    if frame_HxW is not None:
        return frame_HxW
    ink_HxW = find_ink(grey_HxW, _name(picture, name))
    marks = count_marks(ink_HxW)
    if marks > 1:
        raise UserError(
            f"{_name(picture, name)}: found {marks} separate marks, expected one glyph a picture; "
            "for a row of glyphs add --split (in Python split=True), or give one file each"
        )
    return center_glyph(ink_HxW)


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


def read_picture(picture: Picture, *, name: str = "picture") -> np.ndarray:
    """Reads a picture and separates the ink from the paper.

    Whether ink is dark on light or light on dark, the picture itself tells: where its border is
    of one brightness, that is the paper; else, in a photograph, the paper is what there is more
    of all around. Of an animation the first image is read.

    Args:
      picture: a BMP, GIF, JPEG, PNG, PPM, TIFF or WebP file, grey or in colour, turned upright
        as its EXIF says, transparent parts being taken for paper; or an array HxW, HxWx1, HxWx3
        or HxWx4 (with opacity last) of bool, uint8, uint16 or floats in 0..1.
      name: what errors call an array.

    Returns:
      float32 (H, W) in 0..1: 0 for paper, 1 for full ink. Pictures of more than 2 million pixels,
      or 8,000 a side, are shrunk by a whole number.

    Raises:
      UserError: the file is none, is damaged, or has more than 50 million pixels; the array has
        another shape, type or range; or there is no ink.
    """
    return find_ink(read_grey(picture, name), _name(picture, name))


def _name(picture: Picture, name: str) -> str:
    return name if isinstance(picture, np.ndarray) else os.fspath(picture)
