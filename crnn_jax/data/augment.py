"""Random small changes of training frames, made on the device: of place, form and light."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from ml_collections import ConfigDict

FRAMES_AT_ONCE = 32

ELASTIC_NODES = 6
"""Displacements are drawn at so many nodes a side; for 28 pixels they vary over about 5 pixels,
as those of Simard et al. (2003) do, whose noise is smoothed by a Gaussian of 4 pixels."""


def augment(frames_FxHxWxC: Array, keys_F: Array, settings: ConfigDict) -> Array:
    """Shift, turn, scale, bend and flip each frame at random, and change its light.

    Frames of the same key are changed alike. For clips, give all frames of a clip the same key.

    Args:
      frames_FxHxWxC: uint8 frames.
      keys_F: one random key a frame.
      settings: `data.augment`: `shift` in pixels, `turn` in radians and `scale` as a share of 1
        are the largest change, what is used being uniform between minus and plus it; `elastic`
        is the standard deviation of the displacements in pixels. `flip` is the share of frames
        that are mirrored, left to right. `contrast` is the largest change of the distance from
        mid-grey, as a share, and `brightness` the largest change of all pixels, as a share of
        white. All 0 leave frames as they are, at no cost.

    Returns:
      uint8 frames of the same shape, black where the frame was left.
    """
    moves = bool(settings.shift or settings.turn or settings.scale or settings.elastic)
    lights = bool(settings.brightness or settings.contrast)
    if not (moves or lights or settings.flip):
        return frames_FxHxWxC
    _, height, width, _ = frames_FxHxWxC.shape
    move = _mover(height, width, settings)

    def change(frame_HxWxC: Array, key: Array) -> Array:
        frame = move(frame_HxWxC.astype(jnp.float32), key) if moves else frame_HxWxC
        if lights or settings.flip:
            # A number that splitting the key in two does not use.
            numbers = jax.random.uniform(jax.random.fold_in(key, 2), (3,), np.float32, -1)
            mirrored, brighter, stronger = numbers
            if settings.flip:
                frame = jnp.where(mirrored < 2 * settings.flip - 1, frame[:, ::-1], frame)
            if lights:
                contrast = 1 + settings.contrast * stronger
                frame = 127.5 + contrast * (frame - 127.5) + 255 * settings.brightness * brighter
                frame = jnp.clip(frame, 0, 255)
        return jnp.round(frame).astype(jnp.uint8)

    # XLA would fuse this into what takes patches of the frames, and interpolate anew for every
    # patch that a pixel is in. On a CPU a loop alone ends the fusion; elsewhere it costs launches.
    if jax.default_backend() != "cpu":
        return lax.optimization_barrier(jax.vmap(change)(frames_FxHxWxC, keys_F))
    return lax.map(lambda x: change(*x), (frames_FxHxWxC, keys_F), batch_size=FRAMES_AT_ONCE)


def _mover(height: int, width: int, settings: ConfigDict) -> Callable[[Array, Array], Array]:
    """What moves the pixels of a float32 frame by a key, with bilinear interpolation.

    Elastic bending after Simard, Steinkraus & Platt, "Best practices for convolutional neural
    networks applied to visual document analysis" (2003), section 2.
    """
    y, x = jnp.mgrid[:height, :width]
    center = jnp.array([(height - 1) / 2, (width - 1) / 2])
    offsets_2xHxW = jnp.stack([y, x]) - center[:, None, None]
    spread_rows, spread_columns = spread(height), spread(width)

    def move(frame_HxWxC: Array, key: Array) -> Array:
        affine_key, elastic_key = jax.random.split(key)
        turn, tall, wide, down, right = jax.random.uniform(affine_key, (5,), np.float32, -1)
        cos, sin = jnp.cos(settings.turn * turn), jnp.sin(settings.turn * turn)
        rotation = jnp.array([[cos, -sin], [sin, cos]])
        stretch = jnp.array([1 + settings.scale * tall, 1 + settings.scale * wide])
        shift = settings.shift * jnp.array([down, right])
        source_2xHxW = jnp.einsum("ij,jyx->iyx", rotation * stretch[None], offsets_2xHxW)
        source_2xHxW += (center + shift)[:, None, None]
        if settings.elastic:
            nodes = jax.random.normal(elastic_key, (2, ELASTIC_NODES, ELASTIC_NODES), np.float32)
            bend_2xHxW = jnp.einsum("yg,igh,xh->iyx", spread_rows, nodes, spread_columns)
            source_2xHxW += settings.elastic * bend_2xHxW

        def look_up(plane_HxW: Array) -> Array:
            return jax.scipy.ndimage.map_coordinates(plane_HxW, list(source_2xHxW), order=1)

        return jax.vmap(look_up, in_axes=-1, out_axes=-1)(frame_HxWxC)

    return move


def spread(pixels: int) -> np.ndarray:
    """Matrix (pixels, ELASTIC_NODES) of a smooth interpolation that keeps unit variance."""
    nodes = np.linspace(0, pixels - 1, ELASTIC_NODES)
    distance = (np.arange(pixels)[:, None] - nodes[None]) / (nodes[1] - nodes[0])
    weights = np.exp(-np.square(distance) / (2 * 0.7**2))
    return (weights / np.linalg.norm(weights, axis=1, keepdims=True)).astype(np.float32)
