"""What is found in a folder, a list of files or a prepared data set: clips with their answers."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple


class Record(NamedTuple):
    """A clip in a data set that TFDS has prepared."""

    folder: Path
    split: str
    index: int


@dataclass(frozen=True)
class Clip:
    """A sequence of frames, or a single image, and the right answer."""

    name: str  # path relative to the data's folder, as messages say it
    source: tuple[Path, ...] | Record  # one file (picture, animation, video), or frames in order
    answer: Any  # class name (str) | float | np.ndarray float32 | text (str)
    split: str | None  # "train", "validation" or "test" where given
    group: str  # decides the split where none is given (default: the file's stem)


class Problem(NamedTuple):
    """Something wrong with the data."""

    name: str  # file or clip (or row of the manifest)
    what: str  # one line: what is wrong, what was expected
    fatal: bool  # training refuses


@dataclass(frozen=True)
class Listing:
    """All clips of a data set."""

    name: str  # of the data set: the folder's or manifest's own name; "tfds:…"
    kind: str  # in words: "clips in folders of their class", "manifest labels.csv", …
    answer: str  # class | number | numbers | text
    clips: tuple[Clip, ...]  # in the natural order of their names without endings
    classes: tuple[str, ...]  # class names in natural order; () else
    problems: tuple[Problem, ...]
