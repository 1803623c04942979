"""The frame encoder: a CNN over one frame, mapped over all frames by `nn.vmap`."""

from collections.abc import Callable, Sequence

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from crnn_jax.model.conv import conv, conv_max_pool

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {"relu": nn.relu, "tanh": jnp.tanh}

INITIALIZERS = {"relu": nn.initializers.he_normal, "tanh": nn.initializers.lecun_normal}
"""Initializers that keep the size of activations through the layers."""


class FrameEncoder(nn.Module):
    """Convolutions, each with bias, optional 2x2 max pool and activation; then flattened.

    Attributes:
      convs: one (features, kernel size, pool) a layer; kernels are square and valid.
      dense: features of a dense layer with activation after them; 0 for none.
      activation: a name in `ACTIVATIONS`. All are monotone, so pooling before them is the same
        as after them, and cheaper.
      dtype: what is computed in; parameters are float32.
    """

    convs: Sequence[tuple[int, int, bool]]
    dense: int
    activation: str
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, frame_HxWxC: Array) -> Array:
        """Encodes one uint8 frame HxWxC to features D, in `dtype`."""
        activation = ACTIVATIONS[self.activation]
        x = frame_HxWxC.astype(self.dtype) / 255
        for i, (features, size, pool) in enumerate(self.convs):
            shape = (size, size, x.shape[-1], features)
            kernel = self.param(f"conv{i}_kernel", INITIALIZERS[self.activation](), shape)
            bias = self.param(f"conv{i}_bias", nn.initializers.zeros, (features,))
            apply = conv_max_pool if pool else conv
            x = apply(x, kernel.astype(self.dtype))
            x = activation(x + bias.astype(self.dtype)[None, None])
        x = x.reshape(-1)
        if self.dense:
            initializer = INITIALIZERS[self.activation]()
            dense = nn.Dense(self.dense, dtype=self.dtype, kernel_init=initializer, name="dense")
            x = activation(dense(x))
        return x


FramesEncoder = nn.vmap(
    FrameEncoder,
    in_axes=0,
    out_axes=0,
    variable_axes={"params": None},
    split_rngs={"params": False},
)
"""`FrameEncoder` over frames FxHxWxC to features FxD, one set of parameters for all."""
