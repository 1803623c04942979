"""Rows of symbols: lines that are composed on the device, of labelled images.

The ink of an image stands behind that of the one before, after a random gap that may be negative:
then they touch or overlap. All of it follows from the images and one random key a line.
"""

import dataclasses
import math
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from crnn_jax.data.batch import Composition
from crnn_jax.data.lanes import Lanes
from crnn_jax.data.packing import GAP, Packing

HEIGHT = 32
"""Of a line, in pixels."""

STRIP = 4
"""Pixels of a line in each frame."""

GAPS = (-8, 9)
"""Pixels between the ink of two images, the least and the most."""

MARGINS = (2, 8)
"""Pixels before the first ink of a line, and behind the last, likewise."""

JITTER = 2
"""Pixels by which an image stands higher or lower, at most."""

INK = (0.58, 0.14)
"""Width of the ink, as a share of an image: mean and standard deviation of MNIST's digits."""

DEVIATIONS = 2.5
"""Lines that together are longer than the mean by so many standard deviations do not fit into a
tight lane: about 1 lane in 100."""


@dataclasses.dataclass(frozen=True)
class Rows(Composition):
    """Writes the images of a sequence in a row.

    Attributes:
      tight: whether lanes have room for lines of the usual length alone. Then little of them is
        empty, and where lines are longer, the symbols of the lane move closer together.
    """

    tight: bool = False

    keeps_images: ClassVar[bool] = False

    def frame_shape(self, image_shape: tuple[int, int, int]) -> tuple[int, int, int]:
        """A strip of a line, with the image's channels."""
        return HEIGHT, STRIP, image_shape[-1]

    def steps(self, images: int, image_shape: tuple[int, int, int]) -> int:
        """Strips of the longest line of so many images."""
        ink = images * image_shape[1] + (images - 1) * GAPS[1]
        return max(-(-(ink + 2 * MARGINS[1]) // STRIP), _most_columns(images))

    def mean_steps(self, images: float, image_shape: tuple[int, int, int]) -> float:
        """Strips of a line of so many images, on average; the last strip is half full."""
        pixels = images * INK[0] * image_shape[1] + (images - 1) * sum(GAPS) / 2 + sum(MARGINS)
        return (pixels + STRIP / 2) / STRIP

    def lane_steps(self, lanes: Lanes, image_shape: tuple[int, int, int]) -> int:
        """T of the lanes for lines of the images in `lanes`."""
        return max(
            self._room([int(lanes.length_B[b]) for b in lane], image_shape) + GAP * (len(lane) - 1)
            for lane in _in_lanes(lanes)
        )

    def _room(self, lengths: list[int], image_shape: tuple[int, int, int]) -> int:
        """Strips that the lines of a lane may take."""
        longest = sum(self.steps(length, image_shape) for length in lengths)
        if not self.tight:
            return longest
        mean = sum(self.mean_steps(length, image_shape) for length in lengths)
        variance = (INK[1] * image_shape[1]) ** 2 + ((GAPS[1] - GAPS[0] + 1) ** 2 - 1) / 12
        usual = mean + DEVIATIONS * math.sqrt(sum(lengths) * variance) / STRIP
        # All symbols of a line in one place do fit (`_closer`).
        least = sum(1 + max(self.steps(1, image_shape), _most_columns(n)) for n in lengths)
        return min(longest, max(math.ceil(usual), least))

    def render(
        self, images_TxNxHxWxC: Array, labels_TxN: Array, lanes: Lanes, keys_B: Array | None
    ) -> tuple[Array, Array, Lanes]:
        """Write lines.

        Args:
          images_TxNxHxWxC: uint8, no higher than `HEIGHT`; ink bright on black.
          labels_TxN: their labels.
          lanes: where they stand.
          keys_B: one random key a line.

        Returns:
          frames_TxNxHxWxC: uint8, strips of lines; black where there is none.
          labels_BxL: those of each line, from left to right; -1 behind its end.
          lanes: where the lines stand, `GAP` strips from each other.
        """
        assert keys_B is not None, "lines are random"
        _, count, height, width, channels = images_TxNxHxWxC.shape
        steps = self.lane_steps(lanes, (height, width, channels))
        # One line a row, of the images with these numbers; what is behind its end does not count.
        length_B, lane_B = np.asarray(lanes.length_B), np.asarray(lanes.lane_B)
        number_L = np.arange(length_B.max())
        real_BxL = number_L[None] < length_B[:, None]
        image_BxL = (
            np.where(real_BxL, lanes.first_B[:, None] + number_L[None], 0),
            np.broadcast_to(lane_B[:, None], real_BxL.shape),
        )
        labels_BxL = jnp.where(real_BxL, labels_TxN[image_BxL], -1)
        ink_TxN, width_TxN = find_ink(images_TxNxHxWxC)
        gap_BxL, down_BxL, margin_Bx2 = jax.vmap(draw_row, (0, None))(keys_B, len(number_L))
        row = _Row(width_TxN[image_BxL], margin_Bx2, _columns(labels_BxL), real_BxL)
        middle_BxL = middles(row.width_BxL, gap_BxL)
        first_BxL, strips_B = row.place(middle_BxL)
        if self.tight:
            share_B = _closer(row, middle_BxL, strips_B, lanes, steps)
            first_BxL, strips_B = row.place(share_B[:, None] * middle_BxL)
        placed = _packing(lanes, steps).lanes(0, strips_B)
        left_BxL = STRIP * jnp.asarray(placed.first_B)[:, None] + first_BxL - ink_TxN[image_BxL]
        images, (line, number) = images_TxNxHxWxC[image_BxL], np.nonzero(real_BxL)
        stamped = stamp(
            images[line, number],
            lane_B[line],
            down_BxL[line, number],
            left_BxL[line, number],
            (count, steps),
        )
        return stamped, labels_BxL, placed


class _Row(NamedTuple):
    """What is known of lines before symbols have their places.

    Attributes:
      width_BxL: of the ink of each image.
      margin_Bx2: pixels before the ink, and behind it.
      columns_B: strips that the labels need (`_columns`).
      real_BxL: which images there are.
    """

    width_BxL: Array
    margin_Bx2: Array
    columns_B: Array
    real_BxL: np.ndarray

    def place(self, middle_BxL: Array) -> tuple[Array, Array]:
        """The first column of each image's ink in its line, and the strips of each line.

        Args:
          middle_BxL: of each image's ink, from that of the first image's.
        """
        first_BxL = jnp.floor(middle_BxL - self.width_BxL / 2).astype(jnp.int32)
        left_B = jnp.min(first_BxL, axis=1, initial=0, where=self.real_BxL)
        first_BxL += (self.margin_Bx2[:, 0] - left_B)[:, None]
        end_B = jnp.max(first_BxL + self.width_BxL, axis=1, initial=0, where=self.real_BxL)
        strips_B = -(-(end_B + self.margin_Bx2[:, 1]) // STRIP)
        return first_BxL, jnp.maximum(strips_B, self.columns_B).astype(jnp.int32)


def find_ink(images_TxNxHxWxC: Array) -> tuple[Array, Array]:
    """The first column of each image that is not black, and how many there are up to the last."""
    ink_TxNxW = (images_TxNxHxWxC > 0).any(axis=(2, 4))
    first_TxN = jnp.argmax(ink_TxNxW, axis=2)
    behind_TxN = jnp.argmax(ink_TxNxW[..., ::-1], axis=2)
    width_TxN = ink_TxNxW.shape[2] - behind_TxN - first_TxN
    return first_TxN, jnp.where(ink_TxNxW.any(axis=2), width_TxN, 0)


def draw_row(key: Array, images: int) -> tuple[Array, Array, Array]:
    """What is random about a line: gaps before each image, how far down it is, and two margins.

    What is drawn for an image does not depend on how many there are.
    """

    def numbers(i: Array) -> Array:
        return jax.random.uniform(jax.random.fold_in(key, i), (2,), np.float32)

    def whole(share: Array, least: int, most: int) -> Array:
        return jnp.floor(least + (most - least + 1) * share).astype(jnp.int32)

    drawn = jax.vmap(numbers)(jnp.arange(1 + images))
    margins_2, (gap_L, down_L) = drawn[0], drawn[1:].T
    return whole(gap_L, *GAPS), whole(down_L, -JITTER, JITTER), whole(margins_2, *MARGINS)


def middles(width_BxL: Array, gap_BxL: Array) -> Array:
    """Middles of the ink of images in a line, from that of the first image's.

    From one to the next is a pixel at least, so that symbols keep their order: where both are
    narrow, a gap is never so negative that they change places.
    """
    both_BxL = (width_BxL + jnp.pad(width_BxL, ((0, 0), (1, 0)))[:, :-1]) / 2
    apart_BxL = jnp.maximum(both_BxL + gap_BxL, 1).at[:, 0].set(0)
    return jnp.cumsum(apart_BxL, axis=1)


def stamp(
    images_MxHxWxC: Array,
    lane_M: np.ndarray,
    down_M: Array,
    left_M: Array,
    shape: tuple[int, int],
) -> Array:
    """Lanes of strips, TxNx`HEIGHT`x`STRIP`xC, with images on them; the brighter ink is seen.

    Args:
      images_MxHxWxC: uint8, black but for the ink.
      lane_M: the lane of each.
      down_M: pixels by which it is below the middle; less where it would leave the line.
      left_M: the column of the lane where it begins; black ones may be outside.
      shape: N and T.
    """
    (count, steps), (_, height, width, channels) = shape, images_MxHxWxC.shape
    top_M = jnp.clip((HEIGHT - height) // 2 + down_M, 0, HEIGHT - height)
    canvas = jnp.zeros((count, HEIGHT, steps * STRIP + 2 * width, channels), np.uint8)
    # One window an image: on a CPU a copy of a block, on a GPU all at once.
    windows = lax.ScatterDimensionNumbers((1, 2, 3), (0,), (0, 1, 2))
    at_Mx3 = jnp.stack([lane_M, top_M, left_M + width], axis=1)
    canvas = lax.scatter_max(canvas, at_Mx3, images_MxHxWxC, windows, mode="promise_in_bounds")
    strips = canvas[:, :, width:-width].reshape(count, HEIGHT, steps, STRIP, channels)
    return strips.transpose(2, 0, 1, 3, 4)


def _closer(row: _Row, middle_BxL: Array, strips_B: Array, lanes: Lanes, steps: int) -> Array:
    """The share of the distances between symbols that their lane of so many steps has room for."""
    in_lane_NxB = np.arange(lanes.sequence_TxN.shape[1])[:, None] == lanes.lane_B[None]
    room_N = steps - GAP * (in_lane_NxB.sum(axis=1) - 1)
    fits_N = in_lane_NxB.astype(np.int32) @ strips_B <= room_N
    # What is left where all symbols of a line are in one place; a strip may be cut.
    widest_B = jnp.max(row.width_BxL, axis=1, initial=0, where=row.real_BxL)
    pixels_B = jnp.maximum(widest_B + row.margin_Bx2.sum(axis=1), STRIP * row.columns_B) + STRIP
    apart_B = jnp.max(middle_BxL, axis=1, initial=0, where=row.real_BxL)
    left_N = STRIP * room_N - in_lane_NxB.astype(np.float32) @ pixels_B
    share_N = left_N / jnp.maximum(in_lane_NxB.astype(np.float32) @ apart_B, 1)
    return jnp.where(fits_N, 1, jnp.clip(share_N, 0, 1))[lanes.lane_B]


def _columns(labels_BxL: Array) -> Array:
    """Columns from which CTC can read such labels: a blank must stand between two of a kind."""
    again_BxL = (labels_BxL[:, 1:] == labels_BxL[:, :-1]) & (labels_BxL[:, 1:] >= 0)
    return (labels_BxL >= 0).sum(axis=1) + again_BxL.sum(axis=1)


def _most_columns(symbols: int) -> int:
    """The most of `_columns`."""
    return 2 * symbols - 1


def _in_lanes(lanes: Lanes) -> list[list[int]]:
    """The sequences of each lane, in order."""
    in_order = np.argsort(lanes.first_B, kind="stable")
    count = lanes.sequence_TxN.shape[1]
    return [in_order[lanes.lane_B[in_order] == n].tolist() for n in range(count)]


def _packing(lanes: Lanes, steps: int) -> Packing:
    """The plan of lanes that hold the same sequences as these do, with gaps."""
    in_lanes = _in_lanes(lanes)
    most = max(map(len, in_lanes))
    lanes_NxP = np.array([lane + [-1] * (most - len(lane)) for lane in in_lanes])
    return Packing(steps, np.arange(lanes.count)[None], lanes_NxP[None], GAP)
