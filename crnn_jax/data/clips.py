"""Short clips of one digit that moves, grows or stands still, and captions of what it does.

Clips are made on the device, from an image of the corpus and a random key. (The captioning of
clips that was designed beside the 2016 experiments, and not built there.)
"""

import itertools
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from crnn_jax.data.batch import Composition
from crnn_jax.data.lanes import Lanes, padded_lanes

FRAMES = 8
SIZE = 40
"""Height and width of a frame, in pixels."""

END = "END"

NUMERALS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

_MOVES = {"to the left": (0, -1), "to the right": (0, 1), "up": (-1, 0), "down": (1, 0)}
_DISTANCES = {"slowly": 4.0, "quickly": 11.0}  # pixels from the first frame to the last
_GROWTHS = {"slowly": 1.25, "quickly": 1.9}  # ratio of the sizes of the last frame and the first
_GROWS = {"grows": 1, "shrinks": -1}

_moves = list(itertools.product(_MOVES, _DISTANCES))
_growths = list(itertools.product(_GROWS, _GROWTHS))

SCENES = (
    "stands still in the middle",
    *(f"moves {how} {where}" for where, how in _moves),
    *(f"{grows} {how}" for grows, how in _growths),
)
"""What the digit does, in words."""

_MOVED_BY = np.array(
    [
        (0, 0),
        *(np.array(_MOVES[where]) * _DISTANCES[how] for where, how in _moves),
        *[(0, 0)] * len(_growths),
    ],
    np.float32,
)
_GROWN_BY = np.array(
    [1.0] * (1 + len(_moves)) + [_GROWTHS[how] ** _GROWS[grows] for grows, how in _growths],
    np.float32,
)

_CAPTIONS = [
    f"the digit {numeral} {scene} {END}".split() for numeral in NUMERALS for scene in SCENES
]

WORDS = max(map(len, _CAPTIONS))
"""Words of the longest caption, END counted."""

VOCABULARY = (*sorted({word for caption in _CAPTIONS for word in caption} - {END}), END)
"""All words of captions; END is the last."""


def _symbols() -> np.ndarray:
    padded = [caption + [END] * (WORDS - len(caption)) for caption in _CAPTIONS]
    return np.array([[VOCABULARY.index(word) for word in row] for row in padded], np.int32)


CAPTIONS = _symbols()
"""The captions: row `label * len(SCENES) + scene` has `WORDS` indices into `VOCABULARY`."""


class Clips(Composition):
    """Films one image a lane, doing something at random."""

    keeps_images: ClassVar[bool] = False

    def frame_shape(self, image_shape: tuple[int, int, int]) -> tuple[int, int, int]:
        """`SIZE` by `SIZE`, with the image's channels."""
        return SIZE, SIZE, image_shape[-1]

    def steps(self, images: int, image_shape: tuple[int, int, int]) -> int:
        """`FRAMES` of each image."""
        del image_shape
        return images * FRAMES

    def render(
        self, images_TxNxHxWxC: Array, labels_TxN: Array, lanes: Lanes, keys_B: Array | None
    ) -> tuple[Array, Array, Lanes]:
        """Film each image.

        Args:
          images_TxNxHxWxC: uint8, one a lane, T = 1; ink bright on black.
          labels_TxN: their labels, 0 … 9.
          lanes: of the images.
          keys_B: one random key a clip.

        Returns:
          frames_TxNxHxWxC: uint8, `FRAMES` of `SIZE` by `SIZE`.
          captions_N: rows of `CAPTIONS`.
          lanes: one clip a lane.
        """
        time_T = jnp.linspace(-0.5, 0.5, FRAMES, dtype=np.float32)
        frames_NxTxHxWxC, scene_N = jax.vmap(film, (0, 0, None))(
            images_TxNxHxWxC[0], keys_B, time_T
        )
        captions_N = labels_TxN[0] * len(SCENES) + scene_N
        return frames_NxTxHxWxC.swapaxes(0, 1), captions_N, padded_lanes(lanes.length_B * FRAMES)


def film(image_HxWxC: Array, key: Array, time_T: Array) -> tuple[Array, Array]:
    """Film an image doing something at random.

    Place and size are random too: within 2 pixels of the middle, and from .75 to .95 times the
    image's size, the middle one of a clip.

    Args:
      image_HxWxC: uint8, ink bright on black.
      key: of what is random.
      time_T: when each frame is taken, from -.5, the beginning, to .5, the end.

    Returns:
      frames_TxHxWxC: uint8, `SIZE` by `SIZE`.
      scene: index into `SCENES`.
    """
    scene_key, place_key, size_key = jax.random.split(key, 3)
    scene = jax.random.randint(scene_key, (), 0, len(SCENES), np.int32)
    place = jax.random.uniform(place_key, (2,), np.float32, -2, 2)
    size = jax.random.uniform(size_key, (), np.float32, 0.75, 0.95)
    moved_by = jnp.asarray(_MOVED_BY)[scene]
    grown_by = jnp.asarray(_GROWN_BY)[scene]
    places_Tx2 = place[None] + time_T[:, None] * moved_by[None]
    return draw(image_HxWxC, places_Tx2, size * grown_by**time_T), scene


def draw(image_HxWxC: Array, places_Tx2: Array, sizes_T: Array) -> Array:
    """Draw frames that show an image at these places, enlarged to these sizes; bilinear.

    Sampling is separable, so a frame is two small matrix products.

    Args:
      image_HxWxC: uint8.
      places_Tx2: pixels from the middle of the frame to that of the image, down and right.
      sizes_T: how many times as large as it is.

    Returns:
      frames_TxHxWxC: uint8, `SIZE` by `SIZE`.
    """

    def sample(pixels: int, places_T: Array) -> Array:
        """Weight of each of the image's rows (or columns) in each of a frame's, T×SIZE×pixels."""
        from_middle = jnp.arange(SIZE, dtype=jnp.float32) - (SIZE - 1) / 2
        source = (from_middle[None] - places_T[:, None]) / sizes_T[:, None] + (pixels - 1) / 2
        distance = jnp.abs(source[..., None] - jnp.arange(pixels, dtype=jnp.float32)[None, None])
        return jnp.maximum(0, 1 - distance)

    height, width, _ = image_HxWxC.shape
    rows, columns = sample(height, places_Tx2[:, 0]), sample(width, places_Tx2[:, 1])
    image = image_HxWxC.astype(jnp.float32)
    frames = jnp.einsum("thy,yxc,twx->thwc", rows, image, columns)
    return jnp.round(frames).astype(jnp.uint8)
