"""Reading pictures, files or what Python holds, page by page: upright, opaque, as grey or RGB."""

import contextlib
import ctypes
import math
import os
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from PIL import Image, ImageOps

from crnn_jax import UserError, user_path

Picture = str | os.PathLike | np.ndarray | Image.Image
"""A file, an image of Pillow's, or an array; what is an array to NumPy will do."""

T = TypeVar("T")

# Reading none of them runs a program.
_FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
_WITH_PAGES = ("AVIF", "GIF", "PNG", "TIFF", "WEBP")  # the second image of a JPEG is a preview
_NEW_SUBFILE_TYPE, _PREVIEW_OR_MASK = 254, 1 | 4  # a tag of TIFF, and pages that are none
LARGEST_PIXELS = 50_000_000
_LONGEST_REASON = 200  # characters
_ROUNDING = 1e-3  # floats may leave 0..1 by this

_filters_lock = threading.Lock()  # catch_warnings changes what all threads share


def picture_path(path: str | os.PathLike) -> Path:
    """The path of a picture as its user means it: ~ stands for a home folder.

    Raises:
      UserError: the path is empty, or no home folder is known for it.
    """
    if not os.fspath(path):
        raise UserError("'' is no path, expected that of a picture such as digit.png")
    # Path("./~x.png") is the same as Path("~x.png").
    return user_path(path) if str(path)[0] == "~" and not Path(path).exists() else Path(path)


def read_pages(
    picture: Picture, name: str, convert: Callable[[Image.Image, str], T]
) -> Iterator[tuple[str, T]]:
    """Read a picture, or each page or frame of a TIFF, GIF, PNG, WebP or AVIF in order.

    Args:
      picture: see `frames_of`.
      name: what errors call it if it is no file.
      convert: what to make of the upright image of a page and its name.

    Yields:
      The name of each page, and what was made of it.

    Raises:
      UserError: the file is none, is damaged, or has more than 50 million pixels; or the array
        has another shape, type or range.
    """
    if isinstance(picture, str | os.PathLike):
        path = picture_path(picture)
        with _refusing(str(path)):
            is_file, exists = path.is_file(), path.exists()
        if not is_file:  # a pipe would keep us waiting
            found = "a folder" if path.is_dir() else "not a file" if exists else "not found"
            raise UserError(f"{path}: {found}, expected a picture; name a file such as digit.png")
        with _refusing(str(path)):
            image = Image.open(path, formats=_FORMATS)
        with image:
            yield from _pages(image, str(path), convert)
    elif isinstance(picture, Image.Image):
        yield from _pages(picture, name, convert)
    elif hasattr(picture, "__array__"):
        yield name, convert(_image_of(np.asarray(picture), name), name)
    else:
        raise UserError(
            f"{name}: a {type(picture).__name__}, expected a path, a NumPy array or a PIL image"
        )


def _pages(
    image: Image.Image, name: str, convert: Callable[[Image.Image, str], T]
) -> Iterator[tuple[str, T]]:
    with _refusing(name):
        count = getattr(image, "n_frames", 1) if image.format in _WITH_PAGES else 1
    first = int(count > 1 and bool(image.info.get("default_image")))  # of PNG: not of its frames
    for i in range(first, count):
        page_name = name if count - first == 1 else f"{name}, page {i + 1 - first}"
        with _refusing(page_name):
            if count > 1:
                image.seek(i)
            tags = getattr(image, "tag_v2", {})
            if i and tags.get(_NEW_SUBFILE_TYPE, 0) & _PREVIEW_OR_MASK:
                continue
            check_size(image.size, page_name)
            page = convert(ImageOps.exif_transpose(image), page_name)
        yield page_name, page


@contextlib.contextmanager
def _refusing(name: str) -> Iterator[None]:
    """Turn what Pillow raises into a `UserError`, and keep what it remarks to itself."""
    try:
        with _filters_lock, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on odd but readable files
            with contextlib.suppress(AttributeError):  # where libtiff is linked in otherwise
                # It prints errors on stderr, besides Pillow's raising them.
                ctypes.CDLL(Image.core.__file__).TIFFSetErrorHandler(None)
            yield
    except UserError:
        raise
    except Exception as error:  # on damaged files, Pillow raises nearly anything
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:_LONGEST_REASON]
        remedy = "save the picture anew, for example as PNG"
        if isinstance(error, Image.DecompressionBombError):
            remedy = "shrink it or cut it out"
        raise UserError(
            f"{name}: cannot be read ({reason}), expected a whole {', '.join(_FORMATS[:-1])} or "
            f"{_FORMATS[-1]} file of at most {LARGEST_PIXELS:,} pixels; {remedy}"
        ) from error


def _image_of(array: np.ndarray, name: str) -> Image.Image:
    shape, kind = array.shape, array.dtype
    if array.ndim not in (2, 3) or 0 in shape or shape[2:] not in ((), (1,), (3,), (4,)):
        raise UserError(f"{name}: shape {shape}, expected HxW, HxWx1, HxWx3 or HxWx4")
    check_size((shape[1], shape[0]), name)
    if np.issubdtype(kind, np.bool) or np.issubdtype(kind, np.floating):
        array = _in_range(array, 1, name)
    elif kind != np.uint8 and np.issubdtype(kind, np.integer):
        array = _in_range(array, _white(array), name)
    elif kind != np.uint8:
        raise UserError(f"{name}: type {kind}, expected uint8, uint16, bool or floats in 0..1")
    if shape[2:] in ((3,), (4,)) and kind != np.uint8:
        array = np.round(255 * array).astype(np.uint8)
    return Image.fromarray(array[..., 0] if shape[2:] == (1,) else array)


def _white(values: Any) -> int:
    """What stands for white where the type can hold more."""
    return 255 if np.max(values) <= 255 else 2**16 - 1


def check_size(size: tuple[int, int], name: str) -> None:
    """Raise UserError if a picture of this width and height is too large to be decoded."""
    if math.prod(size) > LARGEST_PIXELS:
        raise UserError(
            f"{name}: {size[0]:,} × {size[1]:,} pixels, expected at most {LARGEST_PIXELS:,}; "
            "shrink it or cut it out"
        )


def _in_range(array: np.ndarray, white: int, name: str) -> np.ndarray:
    lowest, highest = array.min() / white, array.max() / white
    if not (lowest >= -_ROUNDING and highest <= 1 + _ROUNDING):  # so that NaN does not pass
        raise UserError(
            f"{name}: values from {lowest * white:g} to {highest * white:g}, expected 0..{white}; "
            "divide by what stands for white"
        )
    return np.clip(array / np.float32(white), 0, 1).astype(np.float32)


def unit(image: Image.Image, name: str) -> Image.Image:
    """The same, with 16 bits or floats, which Pillow would cut off at 255, as floats in 0..1."""
    if not image.mode.startswith(("I", "F")):
        return image
    values_HxW = np.asarray(image)
    white = 1 if image.mode == "F" and np.max(values_HxW) <= 2 else _white(values_HxW)
    return Image.fromarray(_in_range(values_HxW, white, name))


def pixels_of(image: Image.Image, name: str, shape: tuple[int, int, int]) -> np.ndarray:
    """Make grey or RGB of an image, on white where it is transparent, and stretch it to a shape.

    Args:
      image: upright.
      name: what errors call it.
      shape: height, width, and 1 or 3 channels.

    Returns:
      uint8 of that shape; the very pixels of an image that has it.
    """
    height, width, channels = shape
    image = opaque(image, name, channels).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(image).reshape(shape)


def opaque(image: Image.Image, name: str, channels: int) -> Image.Image:
    """Make grey (1 channel) or RGB (3) of 8 bits, on white where it is transparent."""
    image = unit(image, name)
    if image.mode == "F":
        image = Image.fromarray(np.round(255 * np.asarray(image)).astype(np.uint8))
    return on_white(image).convert("L" if channels == 1 else "RGB")


def on_white(image: Image.Image) -> Image.Image:
    """The same, with white where it is transparent."""
    if not image.has_transparency_data:
        return image
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image.convert("RGBA"))
