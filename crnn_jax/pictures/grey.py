"""Reading picture files and arrays: upright, opaque, in shades of grey."""

import contextlib
import math
import os
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from crnn_jax import UserError

Picture = str | os.PathLike | np.ndarray

_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")  # reading none runs a program
_LARGEST_PIXELS = 50_000_000
_WORKING_PIXELS = 2_000_000  # larger pictures are shrunk
_WORKING_SIDE = 8_000  # longer ones too: a hairline a million pixels long cannot be thickened
_LONGEST_REASON = 200  # characters


def read_grey(picture: Picture, name: str) -> np.ndarray:
    """Reads a picture upright, on one opaque background.

    Args:
      picture: see `read_picture`.
      name: what errors call an array.

    Returns:
      float32 (H, W) in 0..1; pictures of more than 2 million pixels, or 8,000 a side, are shrunk.

    Raises:
      UserError: the file is none, is damaged, or has more than 50 million pixels; or the array
        has another shape, type or range.
    """
    if not isinstance(picture, Picture):
        raise UserError(
            f"{name}: a {type(picture).__name__}, expected a path or a NumPy array; "
            "give for example np.asarray(picture)"
        )
    if isinstance(picture, np.ndarray):
        return _grey_of(_image_of(picture, name), name)
    return _grey_of_file(Path(picture))


def _grey_of_file(path: Path) -> np.ndarray:
    try:
        if not path.is_file():  # a pipe would keep us waiting
            found = "a folder" if path.is_dir() else "not a file" if path.exists() else "not found"
            raise UserError(f"{path}: {found}, expected a picture; name a file such as digit.png")
        with warnings.catch_warnings(), _silent():
            warnings.simplefilter("ignore")  # what Pillow remarks on odd but readable files
            with Image.open(path, formats=_FORMATS) as image:
                _check_size(image.size, str(path))
                ImageOps.exif_transpose(image, in_place=True)  # with less memory than a copy
                return _grey_of(image, str(path))
    except UserError:
        raise
    except Exception as error:  # on damaged files, Pillow raises nearly anything
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:_LONGEST_REASON]
        remedy = "save the picture anew, for example as PNG"
        if isinstance(error, Image.DecompressionBombError):
            remedy = "shrink it or cut it out"
        raise UserError(
            f"{path}: cannot be read ({reason}), expected a whole {', '.join(_FORMATS[:-1])} or "
            f"{_FORMATS[-1]} file of at most {_LARGEST_PIXELS:,} pixels; {remedy}"
        ) from error


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Keeps off stderr what libtiff and Pillow print there of damaged files, besides raising it."""
    try:
        stderr = os.dup(2)
    except OSError:  # it is closed
        yield
        return
    try:
        with open(os.devnull, "wb") as nothing:
            os.dup2(nothing.fileno(), 2)
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)


def _image_of(array: np.ndarray, name: str) -> Image.Image:
    shape, kind = array.shape, array.dtype
    if array.ndim not in (2, 3) or 0 in shape or shape[2:] not in ((), (1,), (3,), (4,)):
        raise UserError(f"{name}: shape {shape}, expected HxW, HxWx1, HxWx3 or HxWx4")
    _check_size((shape[1], shape[0]), name)
    if kind in (bool, np.uint16) or np.issubdtype(kind, np.floating):
        array = _in_range(array / (2**16 - 1 if kind == np.uint16 else 1), name)
        if shape[2:] in ((3,), (4,)):
            array = np.round(255 * array).astype(np.uint8)
    elif kind != np.uint8:
        raise UserError(
            f"{name}: type {kind}, expected uint8, uint16, bool or floats in 0..1; "
            "give for example array.astype(np.uint8)"
        )
    return Image.fromarray(array[..., 0] if shape[2:] == (1,) else array)


def _check_size(size: tuple[int, int], name: str) -> None:
    if math.prod(size) > _LARGEST_PIXELS:
        raise UserError(
            f"{name}: {size[0]:,} × {size[1]:,} pixels, expected at most {_LARGEST_PIXELS:,}; "
            "shrink it or cut it out"
        )


def _in_range(array: np.ndarray, name: str) -> np.ndarray:
    lowest, highest = array.min(), array.max()
    if not (lowest >= 0 and highest <= 1):  # so that NaN does not pass
        raise UserError(
            f"{name}: values from {lowest:g} to {highest:g}, expected floats in 0..1; "
            "divide by what stands for white"
        )
    return array.astype(np.float32, copy=False)


def _grey_of(image: Image.Image, name: str) -> np.ndarray:
    if image.mode.startswith(("I", "F")):  # 16 bits or floats, which Pillow would cut off at 255
        white = 1 if image.mode == "F" else 2**16 - 1
        grey_HxW = _in_range(np.asarray(image, np.float32) / white, name)
        return np.asarray(_shrunk(Image.fromarray(grey_HxW)))
    if not image.has_transparency_data:
        return np.asarray(_shrunk(image.convert("L")), np.float32) / 255
    pixels_HxWx2 = np.asarray(_shrunk(image.convert("RGBA")).convert("LA"), np.float32) / 255
    return _on_paper(pixels_HxWx2[..., 0], pixels_HxWx2[..., 1])


def _shrunk(image: Image.Image) -> Image.Image:
    """Before pixels become floats, of which there would be too many."""
    by_pixels = math.sqrt(math.prod(image.size) / _WORKING_PIXELS)
    factor = math.ceil(max(by_pixels, max(image.size) / _WORKING_SIDE))
    return image if factor == 1 else image.reduce(factor)


def _on_paper(grey_HxW: np.ndarray, opacity_HxW: np.ndarray) -> np.ndarray:
    """Puts what is drawn on a background on which it can be seen."""
    drawn = opacity_HxW >= max(opacity_HxW.max() / 2, 1 / 255)
    if not drawn.any():
        return opacity_HxW
    usual = np.median(grey_HxW[drawn])
    # A piece of paper that was cut out, ink and all, goes on more paper; bare ink on its contrary.
    cut_out = np.mean(drawn) > 0.5 and np.std(grey_HxW[drawn]) > 0.05
    paper = usual if cut_out else np.round(1 - usual)
    grey_HxW = opacity_HxW * grey_HxW + (1 - opacity_HxW) * paper
    return np.pad(grey_HxW, 1, constant_values=paper) if ring(opacity_HxW).any() else grey_HxW


def ring(image_HxW: np.ndarray) -> np.ndarray:
    """The outermost pixels; those of the corners twice."""
    return np.concatenate([image_HxW[[0, -1]].ravel(), image_HxW[:, [0, -1]].ravel()])
