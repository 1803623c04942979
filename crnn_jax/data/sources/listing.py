"""What a list of clips says of each, what every layout of files shares, and the splits."""

import dataclasses
import hashlib
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from crnn_jax import UserError, did_you_mean, shown

PARTS = ("train", "validation", "test")
SPLIT_NAMES = {**{part: part for part in PARTS}, "val": "validation", "valid": "validation"}
"""How people call the parts of a data set, as folders or in a list of files."""

PICTURES = (".avif", ".bmp", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".ppm")
ANIMATIONS = (".gif", ".tif", ".tiff", ".webp")  # or single pictures
VIDEOS = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm")

PATH_COLUMNS = ("path", "file", "filename", "filepath", "image", "imagepath", "video", "videopath")
ANSWER_COLUMNS = ("answer", "label", "class", "text", "target")
"""How people call the columns of files and of answers; capitals, "_" and blanks do not matter."""

_HIDDEN = ("thumbs.db", "desktop.ini", "__macosx")
_LONGEST_CLASS = 100  # characters
_LARGEST_NUMBER = 1e18  # float32 holds its square


class Record(NamedTuple):
    """A clip in a data set that TFDS has prepared."""

    folder: Path  # of the data set's version
    split: str
    index: int  # within the split


@dataclasses.dataclass(frozen=True)
class Clip:
    """A sequence of images and its answer; an image is a clip of one frame.

    Attributes:
      name: its path relative to the data's folder, as messages say it.
      source: one file (a picture, an animation or a video), or the files of its frames in order.
      answer: a class, a number, float32 numbers for every frame, or a text.
      split: one of `PARTS`, or None where none is given.
      group: decides the part where none is given: clips of one group stay together.
    """

    name: str
    source: tuple[Path, ...] | Record
    answer: str | float | np.ndarray
    split: str | None
    group: str


class Problem(NamedTuple):
    """Something that is wrong with the data."""

    name: str  # of a file or clip, or a line of a list of files
    what: str  # in one line: what is wrong, what was expected
    fatal: bool  # training refuses


@dataclasses.dataclass(frozen=True)
class Listing:
    """The clips of a data set, as its folders or its list of files say.

    Attributes:
      name: of the data set.
      kind: in words, for people.
      answer: what the answers are: class, number, numbers (one for every frame) or text.
      clips: in natural order of their names without endings, so that the same clips as folders of
        PNG files and as GIF files have the same order.
      classes: their names in natural order; () where answers are no classes.
      problems: all that were found.
    """

    name: str
    kind: str
    answer: str
    clips: tuple[Clip, ...]
    classes: tuple[str, ...]
    problems: tuple[Problem, ...]


def natural(name: str) -> list[tuple[list[str | int], str]]:
    """Key of the natural order of paths: 2.png stands before 10.png, folder by folder."""
    parts = [(re.split("([0-9]+)", part.lower()), part) for part in name.split("/")]
    return [([int(x) if i % 2 else x for i, x in enumerate(xs)], part) for xs, part in parts]


def stem(name: str) -> str:
    """The last part of a path, without its ending where it names a picture or a video."""
    base = name.rsplit("/", 1)[-1]
    start, ending = os.path.splitext(base)
    return start if ending.lower() in PICTURES + ANIMATIONS + VIDEOS else base


def real_root(folder: Path, outside: bool) -> str | None:
    """The real path that what is read must lie in; None where it may lie anywhere."""
    return None if outside else os.path.realpath(folder)


def check_inside(path: str | os.PathLike, root: str | None) -> None:
    """Raise UserError if a path leads out of `root`, by '..', from '/' or through links."""
    if root is not None and os.path.commonpath([root, os.path.realpath(path)]) != root:
        raise UserError(
            f"{shown(path)}: leads outside {root}; expected files in that folder, or "
            "--config.data.outside=True"
        )


def entries(folder: Path, root: str | None) -> list[Path]:
    """List a folder in natural order, without hidden files.

    Raises:
      UserError: the folder cannot be read, or an entry is a link that leads outside `root`.
    """
    found = []
    try:
        with os.scandir(folder) as scan:
            for entry in scan:
                if entry.name.startswith(".") or entry.name.lower() in _HIDDEN:
                    continue
                if entry.is_symlink():
                    check_inside(entry.path, root)
                found.append(Path(entry.path))
    except OSError as error:
        raise UserError(f"{folder}: cannot be listed ({error.strerror})") from error
    return sorted(found, key=lambda path: natural(path.name))


def frames_in(folder: Path, root: str | None) -> tuple[Path, ...]:
    """The frames that a folder holds, in natural order.

    Raises:
      UserError: there are none, or see `entries`.
    """
    inside = entries(folder, root)
    frames = tuple(path for path in inside if path.suffix.lower() in PICTURES + ANIMATIONS)
    if not frames:
        found = ", ".join(shown(path.name) for path in inside[:3]) or "nothing"
        raise UserError(f"a folder of no frames: found {found}, expected pictures such as 001.png")
    return frames


def column(where: str, found: Sequence[str], names: Sequence[str], remedy: str) -> str:
    """The one column that has one of these names; the first name wins over others.

    Raises:
      UserError: there is none, or there are two.
    """
    plain = {re.sub("[ _-]", "", name.lower()): name for name in found}
    candidates = [plain[name] for name in names if name in plain]
    if len(candidates) == 1 or names[0] in plain:
        return candidates[0]
    raise UserError(
        f"{where}: found the columns {shown(', '.join(found)) or 'none'}; expected one of "
        f"{', '.join(names)}: {remedy}"
    )


def answer_column(where: str, found: Sequence[str], wanted: str) -> str:
    """The column of answers: what data.answer says, or see `column`.

    Raises:
      UserError: there is none, or there are two.
    """
    if wanted and wanted not in found:
        raise UserError(
            f"{where}: --config.data.answer={wanted}{did_you_mean(wanted, found)}: expected one of "
            f"the columns {shown(', '.join(found))}"
        )
    return wanted or column(where, found, ANSWER_COLUMNS, "name it by --config.data.answer=COLUMN")


def parse_answer(value: Any, answer: str) -> str | float:
    """Read a class, a number or a text.

    Raises:
      UserError: it is empty or something else.
    """
    if value is None or (isinstance(value, str) and not value.strip()):
        raise UserError(f"the answer is empty, expected a {answer}")
    if answer == "number":
        return float(parse_numbers([value])[0])
    if not isinstance(value, str | int) or isinstance(value, bool):
        raise UserError(f"the answer is {shown(value)}, expected a {answer}")
    text = str(value).strip()
    if answer == "class" and len(text) > _LONGEST_CLASS:
        raise UserError(
            f"the answer is {shown(text)}, expected a class of {_LONGEST_CLASS} characters or less"
        )
    return text


def parse_numbers(values: Iterable[Any]) -> np.ndarray:
    """Read numbers as float32.

    Raises:
      UserError: one is no number, is not finite or is too large.
    """
    numbers = []
    for value in values:
        try:
            number = float(value) if isinstance(value, str | int | float) else np.nan
        except (OverflowError, ValueError):
            number = np.nan
        # Python reads 1_5 as 15.
        if not abs(number) <= _LARGEST_NUMBER or isinstance(value, bool) or "_" in str(value):
            raise UserError(
                f"the answer is {shown(value)}, expected a finite number such as 2.5, of at most "
                f"{_LARGEST_NUMBER:g}"
            )
        numbers.append(number)
    return np.array(numbers, np.float32)


def assign_splits(clips: Sequence[Clip], validation: float, test: float) -> list[str]:
    """Say of each clip which part it belongs to.

    Given parts are kept. Of a part that is not given, its share is taken from the clips that are
    for training or for no part, by a hash of their group: adding clips moves no others.

    Args:
      clips: of a listing, all of them: whether a part is given depends on all.
      validation: share of the clips, where no clip is given for it.
      test: likewise.

    Returns:
      One of `PARTS` for each clip.
    """
    given = {clip.split for clip in clips}

    def part_of(clip: Clip) -> str:
        if clip.split not in (None, "train"):
            return clip.split
        digest = hashlib.sha256(clip.group.encode(errors="surrogateescape")).digest()
        place = int.from_bytes(digest[:8], "big") / 2**64
        if place < test:
            return "train" if "test" in given else "test"
        return "validation" if place < test + validation and "validation" not in given else "train"

    return [part_of(clip) for clip in clips]
