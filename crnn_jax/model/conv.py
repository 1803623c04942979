"""Convolution and max pooling of one frame, in the form that is fast where it runs.

Every function takes one frame HxWxC and a kernel in XLA's own layout (height, width, input
channels, output channels), so parameters move freely between machines. `nn.vmap` in `encoder.py`
makes them work on many frames.

XLA's convolution for the CPU and above all its gradient are several times slower than its matrix
product (benchmarks/NOTES.md), so on the CPU each convolution is written as one matrix product:

* `row_conv`: patches are taken along the width only; one product gives, for every input row, its
  share of each of the `kernel height` output rows that it touches, and these are summed. It does
  no more arithmetic than the convolution has, and copies only `kernel width` times the frame.
* `pooled_conv`: for few input channels and a 2x2 pool. The four members of a pool see almost the
  same pixels, so the patch under a whole pool is multiplied once by four shifted copies of the
  kernel, side by side, and the pool is the maximum of the four results.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax


def conv(frame_HxWxC: Array, kernel: Array) -> Array:
    """Valid convolution (no padding, stride 1) of one frame.

    Args:
      frame_HxWxC: one frame.
      kernel: (height, width, C, features), in the frame's dtype.

    Returns:
      (H - height + 1, W - width + 1, features).
    """
    if jax.default_backend() == "cpu":
        return row_conv(frame_HxWxC, kernel)
    return xla_conv(frame_HxWxC, kernel)


def conv_max_pool(frame_HxWxC: Array, kernel: Array) -> Array:
    """Valid convolution and 2x2 max pooling with stride 2; an odd last row or column is dropped.

    Args:
      frame_HxWxC: one frame.
      kernel: (height, width, C, features), in the frame's dtype.

    Returns:
      ((H - height + 1) // 2, (W - width + 1) // 2, features).
    """
    if jax.default_backend() == "cpu" and frame_HxWxC.shape[-1] == 1:
        return pooled_conv(frame_HxWxC, kernel)
    return max_pool(conv(frame_HxWxC, kernel))


def pad_same(frame_HxWxC: Array, size: int) -> Array:
    """The frame with so many zeros around it that a valid convolution keeps its size.

    Of an odd number the larger half lies behind, as in Keras.
    """
    before = (size - 1) // 2
    border = (before, size - 1 - before)
    return jnp.pad(frame_HxWxC, (border, border, (0, 0)))


def xla_conv(frame_HxWxC: Array, kernel: Array) -> Array:
    """`conv` by XLA's own convolution: what GPU and TPU have hardware and libraries for."""
    layout = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(
        frame_HxWxC[None], kernel, (1, 1), "VALID", dimension_numbers=layout
    )[0]


def row_conv(frame_HxWxC: Array, kernel: Array) -> Array:
    """`conv` as one matrix product over patches along the width, then a sum of shifted rows."""
    height, width, channels, features = kernel.shape
    rows = frame_HxWxC.shape[0] - height + 1
    columns = frame_HxWxC.shape[1] - width + 1
    patches = jnp.concatenate(
        [frame_HxWxC[:, j : j + columns] for j in range(width)], axis=-1
    )  # (H, columns, width * C)
    matrix = kernel.transpose(1, 2, 0, 3).reshape(width * channels, height * features)
    shares = product(patches.reshape(-1, width * channels), matrix)
    shares = shares.reshape(-1, columns, height * features)
    return sum(shares[i : i + rows, :, i * features : (i + 1) * features] for i in range(height))


def max_pool(frame_HxWxC: Array) -> Array:
    """2x2 max pooling with stride 2; an odd last row or column is dropped."""
    height, width, channels = frame_HxWxC.shape
    rows, columns = height // 2, width // 2
    pools = frame_HxWxC[: 2 * rows, : 2 * columns].reshape(rows, 2, columns, 2, channels)
    return largest(pools[:, 0, :, 0], pools[:, 0, :, 1], pools[:, 1, :, 0], pools[:, 1, :, 1])


def pooled_conv(frame_HxWxC: Array, kernel: Array) -> Array:
    """`conv_max_pool` as one matrix product over the patches under whole pools."""
    height, width, channels, features = kernel.shape
    rows = (frame_HxWxC.shape[0] - height + 1) // 2
    columns = (frame_HxWxC.shape[1] - width + 1) // 2
    # A pool's patch has height + 1 by width + 1 pixels: so many 2x2 blocks cover it.
    high, wide = height // 2 + 1, width // 2 + 1
    blocks = _blocks(frame_HxWxC, rows + high - 1, columns + wide - 1)
    patches = jnp.concatenate(
        [blocks[i : i + rows, j : j + columns] for i in range(high) for j in range(wide)], axis=-1
    )
    place = _placement(height, width, high, wide).astype(kernel.dtype)
    matrix = jnp.einsum("ijco,ijyxbp->yxbcpo", kernel, place)
    size = high * wide * 4 * channels
    members = product(patches.reshape(-1, size), matrix.reshape(size, 4 * features))
    return largest(*jnp.split(members.reshape(rows, columns, 4 * features), 4, axis=-1))


@jax.custom_batching.custom_vmap
def product(patches_PxK: Array, matrix_KxN: Array) -> Array:
    """Matrix product that stays one product of two matrices when it is mapped over frames.

    vmap's own rule would keep the frames as an axis of their own, and XLA would transpose whole
    patch arrays for the gradient of the matrix: as dear as the convolution itself.
    """
    return patches_PxK @ matrix_KxN


@product.def_vmap
def _product_of_frames(
    frames: int, batched: list[bool], patches_FxPxK: Array, matrix_KxN: Array
) -> tuple[Array, bool]:
    assert batched == [True, False], "patches are mapped over frames, the kernel is shared"
    size = patches_FxPxK.shape[-1]
    rows = patches_FxPxK.reshape(-1, size) @ matrix_KxN
    return rows.reshape(frames, -1, matrix_KxN.shape[1]), True


@jax.custom_vjp
def largest(a: Array, b: Array, c: Array, d: Array) -> Array:
    """Elementwise maximum of four arrays; the first of equals gets the gradient.

    `jnp.maximum` shares the gradient among equals, with three divisions an element.
    """
    return jnp.maximum(jnp.maximum(a, b), jnp.maximum(c, d))


def _largest_forward(a: Array, b: Array, c: Array, d: Array) -> tuple[Array, tuple[Array, ...]]:
    most = largest(a, b, c, d)
    return most, (a, b, c, most)


def _largest_backward(saved: tuple[Array, ...], gradient: Array) -> tuple[Array, ...]:
    a, b, c, most = saved
    is_a = a == most
    is_b = (b == most) & ~is_a
    is_c = (c == most) & ~(is_a | is_b)
    is_d = ~(is_a | is_b | is_c)
    return tuple(jnp.where(chosen, gradient, 0) for chosen in (is_a, is_b, is_c, is_d))


largest.defvjp(_largest_forward, _largest_backward)


def _blocks(frame_HxWxC: Array, high: int, wide: int) -> Array:
    """The frame cut into 2x2 blocks, the four pixels of each along the channels."""
    height, width, channels = frame_HxWxC.shape
    missing = ((0, max(0, 2 * high - height)), (0, max(0, 2 * wide - width)), (0, 0))
    frame = jnp.pad(frame_HxWxC, missing)[: 2 * high, : 2 * wide]
    blocks = frame.reshape(high, 2, wide, 2, channels).transpose(0, 2, 1, 3, 4)
    return blocks.reshape(high, wide, 4 * channels)


def _placement(height: int, width: int, high: int, wide: int) -> np.ndarray:
    """1 where kernel tap (i, j) of pool member p meets pixel b of block (y, x), else 0."""
    place = np.zeros((height, width, high, wide, 4, 4), np.float32)
    for i, j, down, right in np.ndindex(height, width, 2, 2):
        y, x = i + down, j + right
        place[i, j, y // 2, x // 2, 2 * (y % 2) + x % 2, 2 * down + right] = 1
    return place
