"""The frame encoder: a CNN mapped over all frames by `nn.vmap`, then dense layers."""

from collections.abc import Callable, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from crnn_jax.data.lanes import Lanes
from crnn_jax.model.backend import backend
from crnn_jax.model.conv import conv, conv_max_pool, pad_same, tall_max_pool
from crnn_jax.model.dropout import fold_lanes, lane_dropout

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "relu": nn.relu,
    "tanh": jnp.tanh,
    "sigmoid": nn.sigmoid,
}

INITIALIZERS = {
    "relu": nn.initializers.he_normal,
    "tanh": nn.initializers.lecun_normal,
    "sigmoid": nn.initializers.glorot_uniform,
}
"""Initializers that keep the size of activations through the layers; for sigmoid, where none
does, the usual one."""


class FrameCNN(nn.Module):
    """Convolutions of one frame, each with bias, optional max pool and activation; flattened.

    Attributes:
      convs: one (features, kernel size, pool) a layer, or (features, kernel size, pool, "same")
        for one that is padded so that it keeps height and width; kernels are square. The pool is
        False, True for 2x2, or "tall" for 2x1, of the height alone.
      activation: a name in `ACTIVATIONS`. All are monotone, so pooling before them is the same
        as after them, and cheaper.
      dtype: what is computed in; parameters are float32.
    """

    convs: Sequence[tuple]
    activation: str
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, frame_HxWxC: Array, real_W: Array | None = None) -> Array:
        """Map one uint8 frame HxWxC to features D, in `dtype`.

        Args:
          frame_HxWxC: the frame; or a lane of lines side by side.
          real_W: of such a lane, which columns belong to lines. Around each line every layer sees
            zeros, as if it were alone. The features are those of each column that is left.
        """
        activation = ACTIVATIONS[self.activation]
        if not self.convs:
            return frame_HxWxC.reshape(-1).astype(self.dtype) / 255
        x = frame_HxWxC
        if real_W is not None:
            x = jnp.where(real_W[None, :, None], x, 0)
        for i, (features, size, pool, *same) in enumerate(self.convs):
            shape = (size, size, x.shape[-1], features)
            kernel = self.param(f"conv{i}_kernel", INITIALIZERS[self.activation](), shape)
            bias = self.param(f"conv{i}_bias", nn.initializers.zeros, (features,))
            if i == 0:
                kernel = kernel / 255  # and not the pixels: a CPU keeps bytes for the gradient
            apply = conv_max_pool if pool is True else conv
            x = apply(pad_same(x, size) if same else x, kernel.astype(self.dtype))
            x = tall_max_pool(x) if pool == "tall" else x
            x = activation(x + bias.astype(self.dtype)[None, None])
            if real_W is not None:
                real_W = real_W[::2] if pool is True else real_W
                x = jnp.where(real_W[None, :, None], x, 0)
        return x.reshape(-1) if real_W is None else x.swapaxes(0, 1).reshape(real_W.shape[0], -1)


BatchedCNN = nn.vmap(
    FrameCNN,
    in_axes=0,
    out_axes=0,
    variable_axes={"params": None},
    split_rngs={"params": False},
)
"""`FrameCNN` over frames FxHxWxC to features FxD, one set of parameters for all."""

FRAMES_AT_ONCE = 12
"""Frames that a CPU convolves together: larger chunks overflow a core's L2 cache."""

PIXELS_AT_ONCE = 4 * 112 * 112
"""Their pixels, at most: of large frames fewer are fast."""

ChunkedCNN = nn.scan(
    lambda convs, _, chunk: (None, convs(*chunk)),
    variable_broadcast="params",
    split_rngs={"params": False},
)
"""`BatchedCNN` over chunks of its arguments, MxFx…, one after the other, to features MxFx…."""


class Encoder(nn.Module):
    """`FrameCNN` over all frames, then dense layers with activation, all without time.

    With `classes`, a softmax over them comes last: of a frame, only the log-probabilities of what
    it shows go on.

    Attributes:
      convs, activation, dtype: see `FrameCNN`.
      dense: features of each dense layer.
      dropout: share of each dense layer's features set to zero in training, or of the
        convolutions' where there is no dense layer.
      classes: number of classes; 0 for features as they are.
    """

    convs: Sequence[tuple]
    dense: Sequence[int]
    activation: str
    dropout: float
    dtype: jnp.dtype
    classes: int = 0

    @nn.compact
    def __call__(
        self,
        frames_TxNxHxWxC: Array,
        dropout_keys: Array | None = None,
        lanes: Lanes | None = None,
    ) -> Array:
        """Encode uint8 frames to features TxNxD, in `dtype`.

        Args:
          frames_TxNxHxWxC: frames in N lanes of T steps.
          dropout_keys: random keys to train with dropout, see `lane_dropout`; None without.
          lanes: where sequences start and end, for an encoder of lines.
        """
        convs = BatchedCNN(self.convs, self.activation, self.dtype, name="convs")
        x = self.convolve(convs, frames_TxNxHxWxC, lanes)
        for i, features in enumerate(self.dense):
            initializer = INITIALIZERS[self.activation]()
            dense = nn.Dense(features, dtype=self.dtype, kernel_init=initializer, name=f"dense{i}")
            x = ACTIVATIONS[self.activation](dense(x))
            x = self._drop(x, dropout_keys, i)
        if not self.dense:
            x = self._drop(x, dropout_keys, 0)
        if self.classes:
            initializer = nn.initializers.glorot_uniform()
            dense = nn.Dense(self.classes, kernel_init=initializer, name="classes")
            x = nn.log_softmax(dense(x.astype(jnp.float32)))
        return x

    def convolve(self, convs: nn.Module, frames_TxNxHxWxC: Array, lanes: Lanes | None) -> Array:
        """Features TxNxD of the convolutions: here of each frame by itself."""
        del lanes
        steps, count = frames_TxNxHxWxC.shape[:2]
        frames = frames_TxNxHxWxC.reshape(steps * count, *frames_TxNxHxWxC.shape[2:])
        features_FxD = in_chunks(convs, frames, pixels=PIXELS_AT_ONCE)
        return features_FxD.reshape(steps, count, -1)

    def _drop(self, features_TxNxD: Array, keys: Array | None, layer: int) -> Array:
        if keys is None:
            return features_TxNxD
        return lane_dropout(features_TxNxD, fold_lanes(keys, 1 + layer), self.dropout)


def in_chunks(convs: nn.Module, frames_FxHxWxC: Array, *others: Array, pixels: int) -> Array:
    """Features of all frames; on a CPU in equal chunks, the last one zero-padded.

    Args:
      convs: see `BatchedCNN`.
      frames_FxHxWxC: the frames.
      others: what else `convs` takes of each frame, Fx….
      pixels: of a chunk, at most, but for a larger frame.
    """
    if backend() != "cpu":
        return convs(frames_FxHxWxC, *others)
    frames, height, width, _ = frames_FxHxWxC.shape
    at_once = max(1, min(FRAMES_AT_ONCE, pixels // (height * width)))
    if frames <= at_once:
        return convs(frames_FxHxWxC, *others)
    chunks = -(-frames // at_once)
    size = -(-frames // chunks)

    def cut(x: Array) -> Array:
        padding = ((0, chunks * size - frames), *[(0, 0)] * (x.ndim - 1))
        return jnp.pad(x, padding).reshape(chunks, size, *x.shape[1:])

    _, features = ChunkedCNN(convs, None, jax.tree.map(cut, (frames_FxHxWxC, *others)))
    return features.reshape(chunks * size, *features.shape[2:])[:frames]
