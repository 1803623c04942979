"""Random small affine changes of training frames, made on the device."""

import jax
import jax.numpy as jnp
from jax import Array, lax
from ml_collections import ConfigDict

FRAMES_AT_ONCE = 32


def augment(frames_FxHxW: Array, keys_F: Array, settings: ConfigDict) -> Array:
    """Shifts, turns, scales and shears each frame at random, with bilinear interpolation.

    Args:
      frames_FxHxW: uint8 frames.
      keys_F: one random key a frame.
      settings: `data.augment`: `shift` in pixels, `turn` in radians, `scale` and `shear` as
        shares of 1. Each is the largest change; what is used is uniform between minus and plus
        it. All 0 leaves frames as they are, at no cost.

    Returns:
      uint8 frames of the same shape, black where the frame was left.
    """
    if not (settings.shift or settings.turn or settings.scale or settings.shear):
        return frames_FxHxW
    _, height, width = frames_FxHxW.shape
    y, x = jnp.mgrid[:height, :width]
    center = jnp.array([(height - 1) / 2, (width - 1) / 2])
    offsets_2xHxW = jnp.stack([y, x]) - center[:, None, None]
    limits = jnp.array(
        [settings.turn, settings.scale, settings.scale, settings.shear, settings.shift, settings.shift]
    )

    def change(frame_HxW: Array, key: Array) -> Array:
        turn, tall, wide, shear, down, right = jax.random.uniform(key, (6,), minval=-1) * limits
        cos, sin = jnp.cos(turn), jnp.sin(turn)
        rotation = jnp.array([[cos, -sin], [sin, cos]])
        stretch = jnp.array([[1 + tall, 0], [shear, 1 + wide]])
        source_2xHxW = jnp.einsum("ij,jyx->iyx", rotation @ stretch, offsets_2xHxW)
        source_2xHxW += (center + jnp.array([down, right]))[:, None, None]
        frame = jax.scipy.ndimage.map_coordinates(
            frame_HxW.astype(jnp.float32), list(source_2xHxW), order=1
        )
        return jnp.round(frame).astype(jnp.uint8)

    # Mapped all at once, XLA would fuse this into what takes patches of the frames, and interpolate
    # anew for every patch that a pixel is in; a loop ends the fusion.
    return lax.map(lambda x: change(*x), (frames_FxHxW, keys_F), batch_size=FRAMES_AT_ONCE)
