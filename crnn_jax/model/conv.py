"""Convolution and max pooling of one frame, in the form that is fast where it runs.

Every function takes one frame HxWxC and a kernel in XLA's own layout (height, width, input
channels, output channels), so parameters move freely between machines. `vmap` in `encoder.py` makes
them work on many frames.

Where that is faster (`MATRIX_CHANNELS`), a convolution is written as one matrix product. On a CPU
it takes a fifth of the time of XLA's own for one input channel, and for others a twentieth to a
half less, forward and backward (benchmarks/NOTES.md):

* `row_conv`: patches are taken along the width only; one product gives, for every input row, its
  share of each of the `kernel height` output rows that it touches, and these are summed. It copies
  only `kernel width` times the frame; the only wasted work is the shares of rows outside the
  output, few where a frame is much higher than the kernel.
* `pooled_conv`: for one input channel and a 2x2 pool. The four members of a pool see almost the
  same pixels, so a patch under a block of whole pools is multiplied once by shifted copies of the
  kernel, side by side, and the pool is the maximum of the results.

Patches are several times as large as the frames. They are recomputed for the gradient
(`jax.checkpoint`), which is cheaper than reading them back from beyond the cache.

For a 3x3 kernel with many channels there is a form with fewer multiplications (`winograd.py`). What
it makes of the kernel is the same for all frames, so `ready` makes it before they are mapped over.
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from crnn_jax.model import winograd
from crnn_jax.model.backend import backend

MATRIX_CHANNELS = {"cpu": math.inf, "gpu": 8}
"""By backend, the most input channels of a layer whose matrix-product form is the faster one.

CPU: benchmarks/NOTES.md. GPU (an H200, docs/speed.md): at 1,024 sequences a step, `pooled_conv` for
1 channel makes sum8 1.17 times as fast as XLA's own form, `row_conv` for 8 makes sum8_2016 1.16
times as fast, and for 24 and 48 it makes sum8 1.22 times slower. Other backends: XLA's own.
"""

WINOGRAD_CHANNELS = 48
WINOGRAD_OUTPUTS = 64
"""From this many input channels and this many outputs (height x width) of a frame on, Winograd's
form of a 3x3 layer is the faster one on a CPU.

With few channels its 16 products are narrow, with few outputs they are short; such are slow
(benchmarks/NOTES.md).
"""

Kernel = Array | tuple[Array, ...]
"""An array (height, width, C, features), or what `winograd.transform` made of it."""


def ready(kernel: Array, outputs: int) -> Kernel:
    """The kernel as `conv` and `conv_max_pool` take it, for any number of frames.

    Args:
      kernel: (height, width, C, features).
      outputs: positions in a frame at which it is applied.
    """
    # In bfloat16 the sums would cancel most of its 8 bits. In an export, which is for any backend,
    # lines have any width, so that `outputs` is no number.
    if backend() != "cpu" or kernel.dtype != jnp.float32:
        return kernel
    height, width, channels, _ = kernel.shape
    large = channels >= WINOGRAD_CHANNELS and outputs >= WINOGRAD_OUTPUTS
    return winograd.transform(kernel) if (height, width) == (3, 3) and large else kernel


def conv(frame_HxWxC: Array, kernel: Kernel) -> Array:
    """Valid convolution (no padding, stride 1) of one frame.

    Args:
      frame_HxWxC: one frame, which is converted to the kernel's dtype.
      kernel: (height, width, C, features), or what `ready` made of it.

    Returns:
      (H - height + 1, W - width + 1, features).
    """
    if isinstance(kernel, tuple):
        return winograd_conv(frame_HxWxC, kernel)
    if kernel.shape[2] <= MATRIX_CHANNELS.get(backend(), 0):
        return row_conv(frame_HxWxC, kernel)
    return xla_conv(frame_HxWxC, kernel)


def conv_max_pool(frame_HxWxC: Array, kernel: Kernel) -> Array:
    """Valid convolution and 2x2 max pooling with stride 2; an odd last row or column is dropped.

    Args:
      frame_HxWxC: one frame, which is converted to the kernel's dtype.
      kernel: (height, width, C, features), or what `ready` made of it.

    Returns:
      ((H - height + 1) // 2, (W - width + 1) // 2, features).
    """
    if frame_HxWxC.shape[-1] == 1 and backend() in MATRIX_CHANNELS:
        return pooled_conv(frame_HxWxC, kernel)
    return max_pool(conv(frame_HxWxC, kernel))


def pad_same(frame_HxWxC: Array, size: int) -> Array:
    """The frame, zero-padded so that a valid convolution keeps its size.

    Of an odd number of zeros the larger half comes last, as in Keras.
    """
    before = (size - 1) // 2
    border = (before, size - 1 - before)
    return jnp.pad(frame_HxWxC, (border, border, (0, 0)))


def xla_conv(frame_HxWxC: Array, kernel: Array) -> Array:
    """`conv` by XLA's own convolution: what GPU and TPU have hardware and libraries for."""
    layout = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(
        frame_HxWxC[None].astype(kernel.dtype), kernel, (1, 1), "VALID", dimension_numbers=layout
    )[0]


def _over_frames(function: Callable[[Array, Any], Array]) -> Callable[[Array, Any], Array]:
    """Turn a function of frames into one of a single frame, to which `vmap` gives all at once.

    vmap's own rule would keep the frames as an axis of their own in the matrix product, and XLA
    would transpose whole patch arrays for the kernel's gradient: as expensive as the convolution.
    """

    @jax.custom_batching.custom_vmap
    def of_frame(frame_HxWxC: Array, kernel: Kernel) -> Array:
        return function(frame_HxWxC[None], kernel)[0]

    @of_frame.def_vmap
    def of_frames(
        _: int, batched: list[Any], frames_FxHxWxC: Array, kernel: Kernel
    ) -> tuple[Array, bool]:
        frames_are, kernel_is = batched
        assert frames_are, "frames are mapped over"
        assert not any(jax.tree.leaves(kernel_is)), "the kernel is shared"
        return function(frames_FxHxWxC, kernel), True

    return functools.wraps(function)(of_frame)


_recomputed = functools.partial(jax.checkpoint, prevent_cse=False)


@_over_frames
@_recomputed
def winograd_conv(frames_FxHxWxC: Array, matrices: tuple[Array, ...]) -> Array:
    """`conv` as `winograd.convolve` has it."""
    return winograd.convolve(frames_FxHxWxC.astype(matrices[0].dtype), matrices)


@_over_frames
@_recomputed
def row_conv(frames_FxHxWxC: Array, kernel: Array) -> Array:
    """`conv` as one matrix product over patches along the width, then a sum of shifted rows."""
    height, width, channels, features = kernel.shape
    frames, rows, columns, _ = frames_FxHxWxC.shape
    rows, columns = rows - height + 1, columns - width + 1
    frames_FxHxWxC = frames_FxHxWxC.astype(kernel.dtype)
    patches = jnp.concatenate(
        [frames_FxHxWxC[:, :, j : j + columns] for j in range(width)], axis=-1
    )  # (F, H, columns, width * C)
    matrix = kernel.transpose(1, 2, 0, 3).reshape(width * channels, height * features)
    shares = patches.reshape(-1, width * channels) @ matrix
    shares = shares.reshape(frames, -1, columns, height * features)
    of_rows = [shares[:, i : i + rows, :, i * features : (i + 1) * features] for i in range(height)]
    return functools.reduce(jnp.add, of_rows)


def max_pool(frame_HxWxC: Array) -> Array:
    """2x2 max pooling with stride 2; an odd last row or column is dropped."""
    height, width, channels = frame_HxWxC.shape
    rows, columns = height // 2, width // 2
    pools = frame_HxWxC[: 2 * rows, : 2 * columns].reshape(rows, 2, columns, 2, channels)
    # A split's gradient is one concatenation; a slice's is an array of zeros for each, added up.
    upper, lower = jnp.split(pools, 2, axis=1)
    members = *jnp.split(upper, 2, axis=3), *jnp.split(lower, 2, axis=3)
    return largest(*members).reshape(rows, columns, channels)


def tall_max_pool(frame_HxWxC: Array) -> Array:
    """Max pooling of two rows each; an odd last row is dropped. The first of equals is taken."""
    height, width, channels = frame_HxWxC.shape
    rows = height // 2
    pairs = frame_HxWxC[: 2 * rows].reshape(rows, 2, width, channels)
    upper, lower = jnp.split(pairs, 2, axis=1)
    return jnp.where(upper >= lower, upper, lower).reshape(rows, width, channels)


@_over_frames
def pooled_conv(frames_FxHxWxC: Array, kernel: Array) -> Array:
    """`conv_max_pool` as one matrix product over patches, each under a block of whole pools."""
    height, width, _, features = kernel.shape
    rows = (frames_FxHxWxC.shape[1] - height + 1) // 2
    columns = (frames_FxHxWxC.shape[2] - width + 1) // 2
    # Pools along a block's side. A product with few columns is a slow one, but a patch under more
    # pools makes more arithmetic: from 24 features on it does not pay.
    side = 2 if features <= 16 and rows % 2 == columns % 2 == 0 else 1
    members = _pool_members(frames_FxHxWxC, kernel, rows, columns, side)
    if side == 1:
        return largest(*jnp.split(members, 4, axis=-1)).reshape(-1, rows, columns, features)
    pools = largest_of_rows(members)
    pools = pools.reshape(-1, rows // side, columns // side, side, side, features)
    return pools.swapaxes(2, 3).reshape(-1, rows, columns, features)


@functools.partial(_recomputed, static_argnums=(2, 3, 4))
def _pool_members(
    frames_FxHxWxC: Array, kernel: Array, rows: int, columns: int, side: int
) -> Array:
    """A row for each block of side x side pools: all first members, all second ones, and so on."""
    height, width, channels, _ = kernel.shape
    high, wide = 2 * side + height - 1, 2 * side + width - 1
    strips = _windows(frames_FxHxWxC, 1, rows // side, high, 2 * side)
    patches = _windows(strips, 3, columns // side, wide, 2 * side).swapaxes(2, 3)
    patches = patches.astype(kernel.dtype)
    place = _placement(height, width, side).astype(kernel.dtype)
    matrix = jnp.einsum("ijco,ijyxpab->yxcpabo", kernel, place)
    size = high * wide * channels
    return patches.reshape(-1, size) @ matrix.reshape(size, -1)


def _windows(array: Array, axis: int, count: int, size: int, stride: int) -> Array:
    """Windows along an axis, which becomes two: their number and what is in each.

    Put together from blocks of a stride, because XLA looks through all the parts of a stack for
    each of its elements: of blocks there are as few as strides in a window.
    """
    parts = -(-size // stride)
    needed = (count + parts - 1) * stride
    missing = max(0, needed - array.shape[axis])
    padding = [(0, missing if i == axis else 0) for i in range(array.ndim)]
    array = lax.slice_in_dim(jnp.pad(array, padding), 0, needed, axis=axis)
    shape = (*array.shape[:axis], -1, stride, *array.shape[axis + 1 :])
    blocks = array.reshape(shape)
    windows = [lax.slice_in_dim(blocks, i, i + count, axis=axis) for i in range(parts)]
    return lax.slice_in_dim(jnp.concatenate(windows, axis + 1), 0, size, axis=axis + 1)


@jax.custom_vjp
def largest(a: Array, b: Array, c: Array, d: Array) -> Array:
    """Elementwise maximum of four arrays; the first of equals gets the gradient.

    `jnp.maximum` shares the gradient among equals, with three divisions an element.
    """
    return jnp.maximum(jnp.maximum(a, b), jnp.maximum(c, d))


def _largest_forward(a: Array, b: Array, c: Array, d: Array) -> tuple[Array, Array]:
    most = largest(a, b, c, d)
    return most, _first(most, a, b, c)


def _largest_backward(first: Array, gradient: Array) -> tuple[Array, ...]:
    return tuple(jnp.where(first == i, gradient, 0) for i in range(4))


largest.defvjp(_largest_forward, _largest_backward)


@jax.custom_vjp
def largest_of_rows(members_Fx4D: Array) -> Array:
    """`largest` of the four quarters of each row, FxD, as a reduction.

    XLA computes a maximum of four arrays anew in every operation that reads it, three times in
    the patches of the next layer. A reduction is computed once, which pays where the pools still
    have to be put in another order.
    """
    return members_Fx4D.reshape(len(members_Fx4D), 4, -1).max(axis=1)


def _rows_forward(members_Fx4D: Array) -> tuple[Array, Array]:
    most = largest_of_rows(members_Fx4D)
    return most, _first(most, *jnp.split(members_Fx4D, 4, axis=1)[:3])


def _rows_backward(first_FxD: Array, gradient_FxD: Array) -> tuple[Array]:
    return (jnp.concatenate(_largest_backward(first_FxD, gradient_FxD), axis=1),)


largest_of_rows.defvjp(_rows_forward, _rows_backward)


def _first(most: Array, a: Array, b: Array, c: Array) -> Array:
    """Which of four is the first that is `most`, the fourth where none of these three is."""
    first = jnp.where(a == most, 0, jnp.where(b == most, 1, jnp.where(c == most, 2, 3)))
    return first.astype(jnp.uint8)


def _placement(height: int, width: int, side: int) -> np.ndarray:
    """1 where kernel tap (i, j) of member p of pool (a, b) meets pixel (y, x), else 0."""
    place = np.zeros((height, width, 2 * side + height - 1, 2 * side + width - 1, 4, side, side))
    for i, j, down, right, a, b in np.ndindex(height, width, 2, 2, side, side):
        place[i, j, 2 * a + down + i, 2 * b + right + j, 2 * down + right, a, b] = 1
    return place
