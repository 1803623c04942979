"""Convolution with 3x3 kernels in 16 products for four outputs, where a plain one has 36.

Winograd's minimal filtering F(2x2, 3x3), as in Lavin & Gray, "Fast algorithms for convolutional
neural networks" (2016), section 4.1: a tile of 4x4 pixels and the kernel become 4x4 numbers each,
which are multiplied place by place, and sums of the products are the 2x2 outputs under the tile.
Over all tiles of all frames each of the 16 places is one matrix product; all else is additions and,
once for a kernel, halving. In float32 its rounding errors are as small as those of XLA's own form.
"""

import functools
from collections.abc import Sequence

import jax.numpy as jnp
from jax import Array

OF_PIXELS = ((1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, 1, 0, -1))
OF_KERNEL = ((1, 0, 0), (0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0, 0, 1))
OF_OUTPUTS = ((1, 1, 1, 0), (0, 1, -1, -1))
"""What is added up along each side: B^T, G and A^T of the paper."""


def transform(kernel: Array) -> tuple[Array, ...]:
    """What `convolve` takes: for each of the 16 places, a matrix (C, features).

    Args:
      kernel: (3, 3, C, features).
    """
    rows = _sums(OF_KERNEL, list(kernel))
    return tuple(place for row in rows for place in _sums(OF_KERNEL, list(row)))


def convolve(frames_FxHxWxC: Array, matrices: tuple[Array, ...]) -> Array:
    """Valid convolution of frames with what `transform` made of a kernel.

    Returns:
      (F, H - 2, W - 2, features).
    """
    frames, height, width, channels = frames_FxHxWxC.shape
    features = matrices[0].shape[-1]
    high, wide = -(-(height - 2) // 2), -(-(width - 2) // 2)  # tiles
    padding = (0, 2 * (high + 1) - height), (0, 2 * (wide + 1) - width)
    padded = jnp.pad(frames_FxHxWxC, ((0, 0), *padding, (0, 0)))
    pairs = padded.reshape(frames, high + 1, 2, wide + 1, 2, channels)
    # A tile is two pairs of rows and of columns; its second pair is the first of the next tile.
    rows = pairs[:, :-1, 0], pairs[:, :-1, 1], pairs[:, 1:, 0], pairs[:, 1:, 1]
    tiles = []
    for row in _sums(OF_PIXELS, rows):
        columns = row[:, :, :-1, 0], row[:, :, :-1, 1], row[:, :, 1:, 0], row[:, :, 1:, 1]
        tiles += _sums(OF_PIXELS, columns)
    products = [
        (tile.reshape(-1, channels) @ matrix).reshape(frames, high, wide, features)
        for tile, matrix in zip(tiles, matrices, strict=True)
    ]
    of_rows = [_sums(OF_OUTPUTS, products[i : i + 4]) for i in range(0, 16, 4)]
    left, right = (_sums(OF_OUTPUTS, column) for column in zip(*of_rows, strict=True))
    lines = [jnp.stack(pair, axis=3) for pair in zip(left, right, strict=True)]
    outputs = jnp.stack(lines, axis=2).reshape(frames, 2 * high, 2 * wide, features)
    return outputs[:, : height - 2, : width - 2]


def _sums(weights: Sequence[Sequence[float]], arrays: Sequence[Array]) -> list[Array]:
    """Weighted sums of arrays, one for each row of weights."""
    return [
        functools.reduce(
            jnp.add,
            [w * x if w != 1 else x for w, x in zip(row, arrays, strict=True) if w],
        )
        for row in weights
    ]
