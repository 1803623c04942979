"""A batch: what everything behind the feed sees; and how drawn images become its frames."""

from typing import Any, ClassVar

import flax.struct
from jax import Array

from crnn_jax.data.lanes import Lanes


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


@flax.struct.dataclass
class Drawn:
    """What a feed gives for a micro-batch: images in lanes, before the task asks about them.

    Attributes:
      images_TxNxHxWxC: uint8.
      labels: what is known of them: TxN labels of images, or the answers about the sequences.
      lanes: where the images stand.
      dropout_keys: a random key for each lane, N, or for each image, TxN.
      augmentation_keys_TxN: a random key for each image; all those of a clip have the same.
      scene_keys_B: a random key for each sequence, for compositions; None where there are none.
    """

    images_TxNxHxWxC: Array
    labels: Any
    lanes: Lanes
    dropout_keys: Array
    augmentation_keys_TxN: Array
    scene_keys_B: Array | None = None


class Composition:
    """How the images that are drawn for a sequence become its frames: here each image is one.

    Attributes:
      keeps_images: whether frames are images, so that each needs to be encoded but once.
    """

    keeps_images: ClassVar[bool] = True

    def frame_shape(self, image_shape: tuple[int, int, int]) -> tuple[int, int, int]:
        """Height, width and channels of a frame."""
        return image_shape

    def steps(self, images: int, image_shape: tuple[int, int, int]) -> int:
        """Frames of the longest sequence of so many images."""
        del image_shape
        return images

    def render(
        self, images_TxNxHxWxC: Array, labels_TxN: Array, lanes: Lanes, keys_B: Array | None
    ) -> tuple[Array, Array, Lanes]:
        """The frames of images in lanes, and what they show.

        Args:
          images_TxNxHxWxC: uint8; or their encodings TxNxD, where images are kept.
          labels_TxN: the images' labels.
          lanes: where the images stand; of NumPy arrays.
          keys_B: one random key a sequence.

        Returns:
          frames in lanes; labels, in the form that the task's targets are made of; and the
          frames' lanes.
        """
        del keys_B
        return images_TxNxHxWxC, labels_TxN, lanes
