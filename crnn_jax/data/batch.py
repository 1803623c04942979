"""A batch: what everything behind the feed sees; and how drawn images become its frames."""

from typing import Any, Protocol

import flax.struct
import numpy as np
from jax import Array

from crnn_jax.data.draw import Lanes


@flax.struct.dataclass
class Batch:
    """Sequences in N lanes of T steps, one behind the other in a lane.

    Attributes:
      frames_TxNxHxWxC: uint8; or, where each image is encoded once, its encoding, TxNxD.
      starts_TxN: bool, the first frame of a sequence.
      ends_TxN: bool, the last frame of a sequence.
      real_TxN: bool, where there is a frame at all.
      targets: the right answers, in the form that the task gives them.
    """

    frames_TxNxHxWxC: Any
    starts_TxN: Array | np.ndarray
    ends_TxN: Array | np.ndarray
    real_TxN: Array | np.ndarray
    targets: Any


class Composition(Protocol):
    """How the images that are drawn for a sequence become its frames."""

    def frame_shape(self, image_shape: tuple[int, int, int]) -> tuple[int, int, int]:
        """Height, width and channels of a frame."""
        ...

    def steps(self, images: int) -> int:
        """Frames of a sequence of so many images."""
        ...

    def lanes(self, lanes: Lanes) -> Lanes:
        """The layout of the frames, from that of the images."""
        ...

    def render(
        self, images_TxNxHxWxC: Array, labels_TxN: Array, keys_N: Array
    ) -> tuple[Array, Array]:
        """The frames of images in lanes, and what they show.

        Args:
          images_TxNxHxWxC: uint8.
          labels_TxN: the images' labels.
          keys_N: one random key a lane.

        Returns:
          frames in lanes; and labels, in the form that the task's targets are made of.
        """
        ...

    def encode_images(self, encode: Any, images_NxHxWxC: Array) -> Array:
        """What `render` is given in evaluation: all images encoded, if that is enough.

        Args:
          encode: maps images NxHxWxC to encodings NxD.
          images_NxHxWxC: of a split.
        """
        ...

    def encode_frames(self, encode: Any, frames: Array) -> Array:
        """Encodings TxNxD of what `render` has made of `encode_images`' result.

        Args:
          encode: maps frames TxNxHxWxC to encodings.
          frames: in lanes.
        """
        ...


class Sequences:
    """Each image is a frame. In evaluation it is encoded once, whatever sequences it is in."""

    def frame_shape(self, image_shape: tuple[int, int, int]) -> tuple[int, int, int]:
        """See `Composition`."""
        return image_shape

    def steps(self, images: int) -> int:
        """See `Composition`."""
        return images

    def lanes(self, lanes: Lanes) -> Lanes:
        """See `Composition`."""
        return lanes

    def render(
        self, images_TxNxHxWxC: Array, labels_TxN: Array, keys_N: Array
    ) -> tuple[Array, Array]:
        """See `Composition`."""
        del keys_N
        return images_TxNxHxWxC, labels_TxN

    def encode_images(self, encode: Any, images_NxHxWxC: Array) -> Array:
        """See `Composition`."""
        return encode(images_NxHxWxC)

    def encode_frames(self, encode: Any, frames: Array) -> Array:
        """See `Composition`."""
        del encode
        return frames
