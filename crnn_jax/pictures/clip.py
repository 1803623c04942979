"""Clips from outside, files or arrays, in the form that a network was trained on."""

import itertools
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from crnn_jax import UserError
from crnn_jax.data.form import Form
from crnn_jax.data.frames import chosen, fitted, read_whole
from crnn_jax.data.pages import Picture, picture_path, read_pages
from crnn_jax.data.sources.listing import ANIMATIONS, PICTURES, VIDEOS, entries, frames_in
from crnn_jax.pictures import is_one_picture
from crnn_jax.pictures.line import Line


class Frames(NamedTuple):
    """The frames of a clip or the strips of a line that a network sees, and which they are."""

    frames_LxHxWxC: np.ndarray
    numbers_L: np.ndarray  # from 1
    cut: bool  # whether more followed, which `max_frames` leaves out
    line: Line | None = None  # where they are strips


def read_frames(clip: Picture | Iterable[Picture], form: Form) -> Frames:
    """Read a clip, as clips for training are read.

    Args:
      clip: a video, an animation or a folder of frames; an array LxHxW or LxHxWxC; or one or more
        pictures as `frames_of` takes them, one a frame.
      form: of the frames.

    Raises:
      UserError: there is no frame, or it cannot be read, or has another size and the form does not
        say how to fit it.
    """
    several: Any = [clip] if is_one_picture(clip) else clip
    pictures = list(several)
    if pictures and all(isinstance(picture, str | os.PathLike) for picture in pictures):
        frames_LxHxWxC, total, cut = read_whole(_source([*map(picture_path, pictures)]), form)
        return Frames(frames_LxHxWxC, chosen(total, form) + 1, cut)
    named = ((f"frame {i}", picture) for i, picture in enumerate(pictures, 1))
    pages = itertools.chain.from_iterable(
        read_pages(picture, name, lambda image, name: fitted(image, name, form))
        for name, picture in named
    )
    frames = [frame_HxWxC for _, frame_HxWxC in pages]
    if not frames:
        raise UserError("found 0 frames, expected at least one")
    taken = chosen(len(frames), form)
    cut = not form.frames and len(frames) > form.stride * form.max_frames
    return Frames(np.stack(frames)[taken], taken + 1, cut)


def _source(paths: list[Path]) -> tuple[Path, ...]:
    """The files of a clip."""
    if len(paths) == 1 and paths[0].is_dir():
        (folder,) = paths
        if not is_folder_of_frames(folder):
            raise UserError(
                f"{folder}: found no pictures in it, expected the frames of one clip, such as "
                "1.png; for an answer about each clip in it add --each"
            )
        return frames_in(folder, None)
    for path in paths:
        if len(paths) > 1 and (path.is_dir() or path.suffix.lower() in VIDEOS):
            raise UserError(
                f"{path}: a clip of its own beside others, expected one clip, or pictures that "
                "are its frames; for an answer about each add --each"
            )
    return tuple(paths)


def is_folder_of_frames(folder: Path) -> bool:
    """Whether a folder holds pictures, which are the frames of one clip, and not animations.

    Raises:
      UserError: it cannot be listed.
    """
    inside = entries(folder, None)
    if any(path.suffix.lower() in PICTURES for path in inside):
        return True
    first = next((path for path in inside if path.suffix.lower() in ANIMATIONS), None)
    if first is None:
        return False
    try:
        pages = read_pages(first, "", lambda image, name: None)
        return len(list(itertools.islice(pages, 2))) < 2
    except UserError:  # to be reported as a frame that cannot be read
        return True
