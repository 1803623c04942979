"""The frames of a clip, from a picture, an animation, a video, or a file for each frame."""

import functools
import itertools
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from ml_collections import ConfigDict
from PIL import Image, ImageOps

from crnn_jax import UserError
from crnn_jax.data.form import Form, evenly
from crnn_jax.data.line import strips_of
from crnn_jax.data.pages import opaque, read_pages
from crnn_jax.data.sources.listing import VIDEOS, Record
from crnn_jax.data.video import video_frames

LARGEST_CLIP = 2**30
"""Bytes of the longest clip: a gigabyte."""

COLOUR = 8
"""What has more than this is coloured, of 255: grey that was compressed is not quite grey."""

Source = tuple[Path, ...] | Record
"""Of a clip: its one file, the files of its frames in order, or where TFDS has it."""


class Clip(NamedTuple):
    """A clip's frames, and how many there were to choose from."""

    frames_LxHxWxC: np.ndarray
    total: int  # frames of the source, as far as they were counted
    cut: bool  # whether more followed, which `max_frames` left out


class Peek(NamedTuple):
    """What a clip's beginning shows."""

    height: int
    width: int
    channels: int  # 3 if the first frame is coloured, else 1


def form_of(data: ConfigDict, peek: Peek) -> Form:
    """The form that a config's data section asks for, with a clip's own size where it asks none.

    Raises:
      UserError: one of height and width is given alone, or sizes may differ but none is given; or
        of lines, anything but a height is.
    """
    height, width = data.height, data.width
    if data.strip:
        others = {name: data[name] for name in ("width", "fit", "stride", "frames")}
        if not height or list(others.values()) != [0, "", 1, 0]:
            given = ", ".join(f"{name}={value!r}" for name, value in others.items())
            raise UserError(
                f"--config.data.strip={data.strip} with data.height={height}, {given}: expected a "
                "height alone, such as 32, and 0, '', 1, 0: a line is scaled to it, and stays whole"
            )
        channels = data.channels or peek.channels
        return Form(height, 0, channels, max_frames=data.max_frames, strip=data.strip)
    if bool(height) != bool(width) or (data.fit and not height):
        raise UserError(
            f"--config.data.height={height} with data.width={width} and data.fit={data.fit!r}: "
            "expected a height and a width in pixels, or neither and no fit"
        )
    return Form(
        height or peek.height,
        width or peek.width,
        data.channels or peek.channels,
        **{name: data[name] for name in ("fit", "stride", "max_frames", "frames")},
    )


def chosen(total: int, form: Form) -> np.ndarray:
    """Which frames are taken of so many: int64, in order, each once."""
    if form.frames:
        return evenly(total, form.frames)
    return np.arange(0, min(total, form.stride * form.max_frames), form.stride)


def read_clip(source: Source, form: Form) -> np.ndarray:
    """Read a clip in a form.

    Returns:
      uint8 LxHxWxC.

    Raises:
      UserError: a file cannot be read, is damaged or too large, there is no frame, or one has
        another size and the form does not say how to fit it; or a line has several pictures.
    """
    return read_whole(source, form).frames_LxHxWxC


def read_whole(source: Source, form: Form, *, to_the_end: bool = False) -> Clip:
    """Read a clip in a form, and say how many frames there were; raises what `read_clip` does.

    Args:
      source: of the clip.
      form: of the frames.
      to_the_end: whether to count the frames that `max_frames` leaves out too.
    """
    if form.strip:
        return _read_line(source, form)
    limit = form.stride * form.max_frames
    stop = None if to_the_end else limit + 1
    taken = range(0, limit, form.stride)
    if form.frames:  # where they lie depends on how many there are
        taken = chosen(sum(1 for _ in _images(source)), form).tolist()
        stop = None
    frames, total = [], 0
    for index, (name, image) in enumerate(itertools.islice(_images(source), stop)):
        total = index + 1
        if index in taken:
            if (len(frames) + 1) * math.prod(form.frame_shape) > LARGEST_CLIP:
                raise UserError(
                    f"{name_of(source)}: its frames take more than {LARGEST_CLIP // 2**20:,} MB; "
                    "set --config.data.height and width, frames, stride or max_frames"
                )
            frames.append(fitted(image(), name, form))
    if not frames:
        raise UserError(f"{name_of(source)}: has no frames, expected at least one; delete it")
    return Clip(np.stack(frames), total, cut=not form.frames and total > limit)


def _read_line(source: Source, form: Form) -> Clip:
    images = itertools.islice(_images(source), 2)
    lines = [strips_of(image(), name, form) for name, image in images]
    if len(lines) != 1:
        found = "several pages or frames" if lines else "nothing"
        raise UserError(f"{name_of(source)}: found {found}, expected one picture of a line")
    return Clip(lines[0], len(lines[0]), cut=False)


def peek(source: Source) -> Peek:
    """Look at the first frame of a clip; raises what `read_clip` does."""
    for name, make in _images(source):
        image = make()
        coloured = colour_of(np.asarray(opaque(image, name, 3))) > COLOUR
        return Peek(image.height, image.width, 3 if coloured else 1)
    raise UserError(f"{name_of(source)}: has no frames, expected at least one; delete it")


def colour_of(frames: np.ndarray) -> int:
    """How far red, green and blue of a pixel are apart at most; 0 where all is grey."""
    return int(np.ptp(frames, -1).max())


def fitted(image: Image.Image, name: str, form: Form) -> np.ndarray:
    """Bring an upright image into a form: uint8 HxWxC, the very pixels of one that has its size.

    Raises:
      UserError: it has another size, and the form does not say how to fit it.
    """
    size, (width, height) = (form.width, form.height), image.size
    image = opaque(image, name, form.channels)
    if image.size != size:
        if not form.fit:
            raise UserError(
                f"{name}: {width} × {height} pixels (width × height), expected {size[0]} × "
                f"{size[1]}; to bring all to one size, set --config.data.height, width and fit"
            )
        image = _FITS[form.fit](image, size)
    return np.asarray(image).reshape(form.frame_shape)


def _stretch(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    return image.resize(size, Image.Resampling.BICUBIC)


def _pad(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    scale = min(size[0] / image.width, size[1] / image.height)
    inner = [max(1, round(scale * side)) for side in image.size]
    padded = Image.new(image.mode, size)
    padded.paste(
        _stretch(image, (inner[0], inner[1])),
        ((size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2),
    )
    return padded


def _crop(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    return ImageOps.fit(image, size, Image.Resampling.BICUBIC)


_FITS = {"stretch": _stretch, "pad": _pad, "crop": _crop}


def name_of(source: Source) -> str:
    """What errors call a clip: its file, or the folder of its frames."""
    if isinstance(source, Record):
        return f"{source.folder}, {source.split} {source.index}"
    return str(source[0] if len(source) == 1 else source[0].parent)


def _images(source: Source) -> Iterator[tuple[str, Callable[[], Image.Image]]]:
    """For each frame its name, and what makes it an upright image if called before the next."""
    if isinstance(source, Record):
        from crnn_jax.data.sources.prepared_by_tfds import read_record

        for frame in read_record(source):
            frame = frame[..., 0] if frame.shape[-1] == 1 else frame
            yield name_of(source), functools.partial(Image.fromarray, frame)
        return
    path, *others = source
    if others:
        for path in source:
            yield str(path), functools.partial(_single, path)
    elif path.suffix.lower() in VIDEOS:
        for image in video_frames(path):
            yield str(path), image
    else:
        for name, image in read_pages(path, "", lambda image, name: image):
            yield name, lambda image=image: image


def _single(path: Path) -> Image.Image:
    images = list(itertools.islice(read_pages(path, "", lambda image, name: image), 2))
    if len(images) != 1:
        raise UserError(f"{path}: has several pages, expected one picture for each frame")
    return images[0][1]
