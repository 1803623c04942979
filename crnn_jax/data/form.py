"""The form that frames are brought into: what training and predictions must do alike."""

import dataclasses
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class Form:
    """How frames are made of the files of a clip.

    Attributes:
      height, width: of a frame, in pixels; 0 for what the files have, which must be one size.
      channels: 1 for grey, 3 for RGB.
      fit: "stretch", "pad" (with black) or "crop" (the middle) to that size; "" where other sizes
        are refused.
      stride: every so many frames are taken.
      max_frames: the most that are taken, the first ones.
      frames: how many are taken, evenly spread; 0 for what stride and max_frames say.
      strip: where pictures are lines, the width of the strips that are their frames: a line is
        scaled to the height, whatever its width. 0 where they are frames.
    """

    height: int
    width: int
    channels: int
    fit: str = ""
    stride: int = 1
    max_frames: int = 300
    frames: int = 0
    strip: int = 0

    @property
    def frame_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of a frame."""
        return self.height, self.strip or self.width, self.channels

    def to_json(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        return dataclasses.asdict(self)


def evenly(total: int, most: int) -> np.ndarray:
    """Up to `most` of the numbers below `total`, evenly spread, the first and the last included."""
    return np.unique(np.linspace(0, total - 1, min(total, most)).round().astype(int))
