"""What a source says about its data set; each source file ends in one `Source`."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

from crnn_jax.data.sources.published import Published
from crnn_jax.data.split import Split

DIGITS = tuple("0123456789")


@dataclasses.dataclass(frozen=True)
class Source:
    """A data set of labelled images, and how to read it."""

    classes: tuple[str, ...]  # what people call the labels 0, 1, …
    frame_shape: tuple[int, int, int]  # height, width and channels (1 or 3) of the images
    glyphs: bool  # bright ink on black, centred as in MNIST
    read: Callable[[Path], dict[str, Split]]  # train, validation, test, from a folder of the files
    published: Published | None = None  # the files; None where a package brings the data along
    subset_of: str = ""  # the source to read instead, of which only some classes are kept:
    first: int = 0  # those from this label on, up to the last of `classes`
