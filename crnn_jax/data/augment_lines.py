"""Random small changes of whole lines for training, made on the device: of form, pen and paper.

`augment` changes each frame by itself, which would tear the strips of a line apart.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from ml_collections import ConfigDict

from crnn_jax.data.augment import spread
from crnn_jax.data.lanes import Lanes

LANES_AT_ONCE = 4

REACH = 3
"""Strips to either side whose random displacements bend a column; see `_bend`."""

NUMBERS, BEND, PAPER = 3, 4, 5
"""What the random keys of a line are for, besides those of its images (`augment`)."""


def augment_lines(
    frames_TxNxHxWxC: Array, lanes: Lanes, keys_B: Array, settings: ConfigDict
) -> Array:
    """Slant, move and bend each line at random, and change its pen, light and paper.

    What a line becomes does not depend on its lane or on what else is in it.

    Args:
      frames_TxNxHxWxC: uint8, strips of lines.
      lanes: where the lines are.
      keys_B: one random key a line.
      settings: `data.augment`. The largest changes are: `slant`, how far the top moves sideways
        from the bottom, as a share of the height; `shift` in pixels, up or down; `turn` in
        radians, less for lines so long that their ends would move by more than an eighth of the
        height; `scale`, of the height; `thickness`, of the way to what 3x3 dilation or erosion
        makes of the pen; `brightness` and `contrast` as in `augment`. `elastic` is the standard
        deviation of displacements in pixels, and `noise` the largest standard deviation of a
        pixel, as a share of white. All 0 leave lines as they are, at no cost.

    Returns:
      uint8 strips of the same shape, 0 where there is no line.
    """
    moves = settings.slant or settings.shift or settings.turn or settings.scale
    moves = bool(moves or settings.elastic)
    lights = bool(settings.brightness or settings.contrast)
    if not (moves or lights or settings.thickness or settings.noise):
        return frames_TxNxHxWxC
    steps, count, height, strip, channels = frames_TxNxHxWxC.shape
    line_NxW = jnp.repeat(jnp.asarray(lanes.sequence_TxN).T, strip, axis=1)
    real_NxW = line_NxW >= 0
    numbers_Bx8 = jax.vmap(
        lambda key: jax.random.uniform(jax.random.fold_in(key, NUMBERS), (8,), np.float32, -1)
    )(keys_B)
    pictures = frames_TxNxHxWxC.transpose(1, 2, 0, 3, 4).reshape(count, height, -1, channels)
    if moves:
        pictures = _move(pictures, lanes, keys_B, numbers_Bx8, settings)

    # In what follows, a number for each column of a lane, Nx1xWx1.
    *_, pen, brighter, stronger, rougher = jnp.moveaxis(numbers_Bx8, 1, 0)[:, line_NxW]
    pictures = pictures.astype(jnp.float32)
    if settings.thickness:
        share = settings.thickness * pen[:, None, :, None]
        changed = _pen(pictures, share > 0, real_NxW[:, None, :, None])
        pictures += jnp.abs(share) * (changed - pictures)
    if lights:
        contrast = 1 + settings.contrast * stronger[:, None, :, None]
        pictures = 127.5 + contrast * (pictures - 127.5)
        pictures += 255 * settings.brightness * brighter[:, None, :, None]
    if settings.noise:
        deviation = settings.noise * (1 + rougher[:, None, :, None]) / 2
        pictures += 255 * deviation * _paper(frames_TxNxHxWxC, lanes, keys_B)
    pictures = jnp.where(real_NxW[:, None, :, None], jnp.clip(jnp.round(pictures), 0, 255), 0)
    frames = pictures.astype(jnp.uint8).reshape(count, height, steps, strip, channels)
    return frames.transpose(2, 0, 1, 3, 4)


def _move(
    pictures_NxHxWxC: Array,
    lanes: Lanes,
    keys_B: Array,
    numbers_Bx8: Array,
    settings: ConfigDict,
) -> Array:
    """Move pixels, first along the line, then up and down, with linear interpolation.

    What moves into a line from outside repeats its border.
    """
    _, height, width, _ = pictures_NxHxWxC.shape
    strip = width // len(lanes.sequence_TxN)
    line_NxT = jnp.asarray(lanes.sequence_TxN).T
    first_NxW, pixels_NxW = (
        jnp.repeat(strip * jnp.asarray(x)[line_NxT], strip, axis=1)
        for x in (lanes.first_B, lanes.length_B)
    )
    column_W, row_H = jnp.arange(width), jnp.arange(height)[None, :, None]
    middle = row_H - (height - 1) / 2
    slant, turn, scale, shift = jnp.moveaxis(numbers_Bx8, 1, 0)[
        :4, jnp.repeat(line_NxT, strip, axis=1)
    ][..., None, :]
    along_NxHxW = settings.slant * slant * middle
    steepest = jnp.minimum(settings.turn, height / 4 / jnp.maximum(pixels_NxW, 1))
    from_middle_NxW = column_W[None] - first_NxW - (pixels_NxW - 1) / 2
    down_NxHxW = (steepest * from_middle_NxW)[:, None] * turn
    down_NxHxW += settings.scale * scale * middle + settings.shift * shift
    if settings.elastic:
        bend = settings.elastic * _bend(lanes, keys_B, height, strip)
        along_NxHxW, down_NxHxW = along_NxHxW + bend[0], down_NxHxW + bend[1]
    x_NxHxW = jnp.clip(
        column_W[None, None] + along_NxHxW,
        first_NxW[:, None],
        jnp.maximum(first_NxW + pixels_NxW - 1, 0)[:, None],
    )
    y_NxHxW = jnp.clip(row_H + down_NxHxW, 0, height - 1)

    def move(picture_HxWxC: Array, x_HxW: Array, y_HxW: Array) -> Array:
        picture = picture_HxWxC.astype(jnp.float32)
        if settings.slant or settings.elastic:
            picture = _look_up(picture, x_HxW, 1)
        if settings.turn or settings.scale or settings.shift or settings.elastic:
            picture = _look_up(picture, y_HxW, 0)
        return picture

    inputs = (pictures_NxHxWxC, x_NxHxW, jnp.broadcast_to(y_NxHxW, x_NxHxW.shape))
    # A loop for the reason that `augment` has one.
    if jax.default_backend() != "cpu":
        return lax.optimization_barrier(jax.vmap(move)(*inputs))
    return lax.map(lambda x: move(*x), inputs, batch_size=LANES_AT_ONCE)


def _look_up(picture_HxWxC: Array, place_HxW: Array, axis: int) -> Array:
    """The pixels at these places of an axis, none of them outside."""
    low_HxW = jnp.floor(place_HxW).astype(jnp.int32)
    high_HxW = jnp.minimum(low_HxW + 1, picture_HxWxC.shape[axis] - 1)
    low, high = (
        jnp.take_along_axis(picture_HxWxC, i[..., None], axis) for i in (low_HxW, high_HxW)
    )
    return low + (place_HxW - low_HxW)[..., None] * (high - low)


def _bend(lanes: Lanes, keys_B: Array, height: int, strip: int) -> Array:
    """Smooth random displacements of unit variance along the line and down, 2xNxHxW.

    Each strip of a line has random numbers of its own. They are smoothed by a Gaussian of about 5
    pixels, as in `augment`, which ends with the line.
    """
    rows = spread(height)
    noise = _of_strips(
        lanes, keys_B, BEND, lambda key: jax.random.normal(key, (2, rows.shape[1]), np.float32)
    )
    steps, offsets = len(noise), np.arange(-REACH, REACH + 1)
    # Of each column of a strip, to the middles of this strip and of those around it.
    distance = (np.arange(strip)[:, None] - (strip - 1) / 2) - strip * offsets[None]
    weight = np.exp(-np.square(distance / 5) / 2)
    weight /= np.linalg.norm(weight, axis=1, keepdims=True)
    line_TxN = jnp.asarray(lanes.sequence_TxN)

    def shifted(x_TxN: Array, by: int) -> Array:
        padding = ((REACH, REACH), *[(0, 0)] * (x_TxN.ndim - 1))
        return jnp.pad(x_TxN, padding)[REACH + by : REACH + by + steps]

    around = jnp.stack(
        [
            jnp.where((shifted(line_TxN, k) == line_TxN)[..., None, None], shifted(noise, k), 0)
            for k in offsets.tolist()
        ]
    )
    bend = jnp.einsum("hg,sk,ktndg->dnhts", rows, weight.astype(np.float32), around)
    return bend.reshape(*bend.shape[:3], -1)


def _pen(pictures_NxHxWxC: Array, thicker: Array, real: Array) -> Array:
    """Lines after 3x3 grey dilation, or erosion, each as if it were alone."""

    def extreme(pictures: Array, choose: Callable[[Array, Array], Array], outside: float) -> Array:
        pictures = jnp.where(real, pictures, outside)
        for axis in (1, 2):
            padding = [(0, 0)] * 4
            padding[axis] = (1, 1)
            padded = jnp.pad(pictures, padding, constant_values=outside)
            size = pictures.shape[axis]
            one, two, three = (lax.slice_in_dim(padded, i, i + size, axis=axis) for i in range(3))
            pictures = choose(choose(one, two), three)
        return pictures

    return jnp.where(
        thicker,
        extreme(pictures_NxHxWxC, jnp.maximum, 0),
        extreme(pictures_NxHxWxC, jnp.minimum, 255),
    )


def _paper(frames_TxNxHxWxC: Array, lanes: Lanes, keys_B: Array) -> Array:
    """Random numbers of unit variance for each pixel, NxHxWxC; uniform, for they are cheap."""
    steps, count, height, strip, channels = frames_TxNxHxWxC.shape
    pixels = height * strip * channels

    def draw(key: Array) -> Array:
        """Four bytes of each random number."""
        numbers = jax.random.bits(key, (-(-pixels // 4),), np.uint32)
        return lax.bitcast_convert_type(numbers, np.uint8).reshape(-1)[:pixels]

    bytes_TxN = _of_strips(lanes, keys_B, PAPER, draw)
    frames = bytes_TxN.reshape(steps, count, height, strip, channels)
    pictures = frames.transpose(1, 2, 0, 3, 4).reshape(count, height, -1, channels)
    return (pictures.astype(jnp.float32) - 127.5) / np.float32(np.sqrt((256**2 - 1) / 12))


def _of_strips(lanes: Lanes, keys_B: Array, purpose: int, draw: Callable[[Array], Array]) -> Array:
    """What is drawn for each strip, TxN…, with a key of its line and its place in it."""

    def drawn(sequence: Array, frame: Array) -> Array:
        key = jax.random.fold_in(keys_B[sequence], purpose)
        return draw(jax.random.fold_in(key, frame))

    return jax.vmap(jax.vmap(drawn))(jnp.asarray(lanes.sequence_TxN), jnp.asarray(lanes.frame_TxN))
