"""What a source of images tells about itself: one `Source` a data set, at the end of its file."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

from crnn_jax.data.split import Split

DIGITS = tuple("0123456789")


@dataclasses.dataclass(frozen=True)
class Published:
    """Published files that a source is read from.

    Attributes:
      title: what people call the data set.
      files: what has to be in a folder of them, in words.
      check: raises a `UserError` that names what a folder lacks; reads no content.
      download: downloads the files into a folder, or raises a `DownloadError`.
    """

    title: str
    files: str
    check: Callable[[Path], None]
    download: Callable[[Path], None]


@dataclasses.dataclass(frozen=True)
class Source:
    """A data set of labelled images, and how to read it.

    Attributes:
      classes: what people call the labels 0, 1, …
      frame_shape: height, width and channels (1 or 3) of the images.
      glyphs: whether the images show bright ink on black, centred as in MNIST.
      read: the splits train, validation and test, from the folder with the published files.
      published: these files; None where a package brings the data along, and `read` ignores its
        argument.
      subset_of: the source that is read instead, of which only the first classes are kept.
    """

    classes: tuple[str, ...]
    frame_shape: tuple[int, int, int]
    glyphs: bool
    read: Callable[[Path], dict[str, Split]]
    published: Published | None = None
    subset_of: str = ""
