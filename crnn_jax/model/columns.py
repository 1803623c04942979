"""The encoder of lines: a CNN over a whole lane, whose columns become the steps.

A line is a sequence of strips (`data/form.py`). Those of a lane are joined to one picture, which is
convolved once, so that nothing is computed for two overlapping windows. The pools leave one column
of each strip. Between two lines of a lane there are `GAP` strips of zeros, and what a layer makes
of them is set to zero, so that each line gives exactly what it gives alone, zero-padded.
"""

from collections.abc import Sequence

import jax.numpy as jnp
from jax import Array

from crnn_jax import UserError
from crnn_jax.data.lanes import Lanes
from crnn_jax.data.packing import GAP
from crnn_jax.model.encoder import Convolutions, Encoder, in_chunks
from crnn_jax.model.flops import conv_sizes
from crnn_jax.model.question import Question

PIXELS_AT_ONCE = 32 * 336
"""Pixels that a CPU convolves together, at most: of a lane 32 pixels high and 336 wide."""


class Columns(Encoder):
    """Convolutions over the lines of each lane, then dense layers, as `Encoder` has them."""

    def convolve(
        self, convolutions: Convolutions, frames_TxNxHxWxC: Array, lanes: Lanes | None
    ) -> Array:
        """Features TxNxD of the strips, each in its line."""
        assert lanes is not None, "where lines are must be known"
        steps, count, height, strip, channels = frames_TxNxHxWxC.shape
        pictures = frames_TxNxHxWxC.transpose(1, 2, 0, 3, 4)
        pictures_NxHxWxC = pictures.reshape(count, height, steps * strip, channels)
        real_NxW = jnp.repeat(jnp.asarray(lanes.real_TxN).T, strip, axis=1)
        features = convolutions(*pictures_NxHxWxC.shape[1:])
        columns_NxTxD = in_chunks(features, pictures_NxHxWxC, real_NxW, pixels=PIXELS_AT_ONCE)
        return columns_NxTxD.swapaxes(0, 1)


def check_columns(convs: Sequence[tuple], question: Question) -> None:
    """Refuse layers that leave anything but one column of each strip, or see two lines at once.

    Raises:
      UserError: says what would do.
    """
    height, strip, _ = question.frame_shape
    if question.kind != "line":
        raise UserError(
            "--config.model.encoder=columns reads lines, which this task is not about: expected "
            "frames"
        )
    sizes = conv_sizes(convs, height, strip)
    padded = all(len(layer) > 3 for layer in convs)
    # An odd column that a pool drops would move all strips behind it.
    whole = 2 ** sum(pool is True for _, _, pool, *_ in convs) == strip
    reach = [
        size // 2 * (strip // wide)
        for (_, size, *_), (_, wide) in zip(convs, sizes, strict=False)
        if wide
    ]
    if not convs or not padded or not whole or max(reach, default=0) > GAP * strip:
        raise UserError(
            f"--config.model.convs={convs} with model.encoder=columns and strips of {strip} "
            f'pixels: expected layers that are all "same", whose 2x2 pools halve {strip} to 1, and '
            f"whose kernels reach no further than {strip} pixels of the line; and a data.strip "
            "of 2, 4, 8, …"
        )
