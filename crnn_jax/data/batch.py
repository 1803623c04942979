"""A batch: what everything behind the feed sees; and how drawn images become its frames."""

from collections.abc import Callable
from typing import Any

import flax.struct
from jax import Array

from crnn_jax.data.lanes import Lanes

Encode = Callable[[Array], Array]


@flax.struct.dataclass
class Batch:
    """Sequences in N lanes of T steps, one behind the other in a lane.

    Attributes:
      frames_TxNxHxWxC: uint8; or, where each image is encoded once, its encoding, TxNxD.
      lanes: where they stand.
      targets: the right answers, in the form that the task gives them.
    """

    frames_TxNxHxWxC: Any
    lanes: Lanes
    targets: Any


class Composition:
    """How the images that are drawn for a sequence become its frames: here each image is one."""

    def frame_shape(self, image_shape: tuple[int, int, int]) -> tuple[int, int, int]:
        """Height, width and channels of a frame."""
        return image_shape

    def steps(self, images: int) -> int:
        """Frames of a sequence of so many images."""
        return images

    def lanes(self, lanes: Lanes) -> Lanes:
        """The layout of the frames, from that of the images."""
        return lanes

    def render(
        self, images_TxNxHxWxC: Array, labels_TxN: Array, keys_N: Array
    ) -> tuple[Array, Array]:
        """The frames of images in lanes, and what they show.

        Args:
          images_TxNxHxWxC: uint8; or what `encode_images` has made of them.
          labels_TxN: the images' labels.
          keys_N: one random key a lane.

        Returns:
          frames in lanes; and labels, in the form that the task's targets are made of.
        """
        del keys_N
        return images_TxNxHxWxC, labels_TxN

    def encode_images(self, encode: Encode, images_IxHxWxC: Array) -> Array:
        """What `render` is given in evaluation: here every image of a split encoded once, NxD."""
        return encode(images_IxHxWxC)

    def encode_frames(self, encode: Encode, frames: Array) -> Array:
        """Encodings TxNxD of the frames that `render` has made of that: here they are them."""
        del encode
        return frames
