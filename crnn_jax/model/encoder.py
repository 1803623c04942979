"""The frame encoder: a CNN mapped over all frames by `vmap`, then dense layers."""

import functools
from collections.abc import Callable, Sequence

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
from jax import Array, lax

from crnn_jax.data.lanes import Lanes
from crnn_jax.model.backend import backend
from crnn_jax.model.conv import Kernel, conv, conv_max_pool, pad_same, ready, tall_max_pool
from crnn_jax.model.dropout import fold_lanes, lane_dropout
from crnn_jax.model.flops import conv_positions

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


@flax.struct.dataclass
class Layer:
    """A convolution of one frame with bias, optional max pool and activation.

    Attributes:
      kernel: (size, size, input channels, features), or what `conv.ready` made of it.
      bias: one number a feature.
      same: the kernel's size, if the frame is padded to keep its height and width; 0 if not.
      pool: False, True for 2x2, or "tall" for 2x1, of the height alone.
      activation: a name in `ACTIVATIONS`. All are monotone, so pooling before them is the same
        as after them, and cheaper.
    """

    kernel: Kernel
    bias: Array
    same: int = flax.struct.field(pytree_node=False)
    pool: bool | str = flax.struct.field(pytree_node=False)
    activation: str = flax.struct.field(pytree_node=False)

    def __call__(self, frame_HxWxC: Array) -> Array:
        """Features of one frame, H'xW'xD."""
        if self.same:
            frame_HxWxC = pad_same(frame_HxWxC, self.same)
        apply = conv_max_pool if self.pool is True else conv
        x = apply(frame_HxWxC, self.kernel)
        x = tall_max_pool(x) if self.pool == "tall" else x
        return ACTIVATIONS[self.activation](x + self.bias[None, None])


class Convolutions(nn.Module):
    """The parameters of the convolutions, and the function of frames that they make.

    Attributes:
      convs: one (features, kernel size, pool) a layer, or (features, kernel size, pool, "same")
        for one that is padded; kernels are square. Of pools see `Layer`.
      activation: see `Layer`.
      dtype: what is computed in; parameters are float32.
    """

    convs: Sequence[tuple]
    activation: str
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, height: int, width: int, channels: int) -> Callable[..., Array]:
        """`frame_features` of many frames of this shape."""
        layers = []
        positions = conv_positions(self.convs, height, width)
        for i, (features, size, pool, *same) in enumerate(self.convs):
            shape = (size, size, channels, features)
            kernel = self.param(f"conv{i}_kernel", INITIALIZERS[self.activation](), shape)
            bias = self.param(f"conv{i}_bias", nn.initializers.zeros, (features,))
            if i == 0:
                kernel = kernel / 255  # and not the pixels: a CPU keeps bytes for the gradient
            # Made ready before frames are mapped over: once for all of them.
            kernel = ready(kernel.astype(self.dtype), positions[i])
            padded = size if same else 0
            layers.append(Layer(kernel, bias.astype(self.dtype), padded, pool, self.activation))
            channels = features
        return jax.vmap(functools.partial(frame_features, layers, self.dtype))


def frame_features(
    layers: Sequence[Layer], dtype: jnp.dtype, frame_HxWxC: Array, real_W: Array | None = None
) -> Array:
    """Features D of one uint8 frame, in `dtype`.

    Args:
      layers: in order; without any, the features are the pixels.
      dtype: what is computed in.
      frame_HxWxC: the frame; or a lane of lines side by side.
      real_W: of such a lane, which columns belong to lines. Around each line every layer sees
        zeros, as if it were alone. The features are those of each column that is left.
    """
    if not layers:
        return frame_HxWxC.reshape(-1).astype(dtype) / 255
    x = frame_HxWxC
    if real_W is not None:
        x = jnp.where(real_W[None, :, None], x, 0)
    for layer in layers:
        x = layer(x)
        if real_W is not None:
            real_W = real_W[::2] if layer.pool is True else real_W
            x = jnp.where(real_W[None, :, None], x, 0)
    return x.reshape(-1) if real_W is None else x.swapaxes(0, 1).reshape(real_W.shape[0], -1)


FRAMES_AT_ONCE = 12
"""Frames that a CPU convolves together: larger chunks overflow a core's L2 cache."""

PIXELS_AT_ONCE = 4 * 112 * 112
"""Their pixels, at most: of large frames fewer are fast."""


class Encoder(nn.Module):
    """Convolutions over all frames, then dense layers with activation, all without time.

    With `classes`, a softmax over them comes last: of a frame, only the log-probabilities of what
    it shows go on.

    Attributes:
      convs, activation, dtype: see `Convolutions`.
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
        convolutions = Convolutions(self.convs, self.activation, self.dtype, name="convs")
        x = self.convolve(convolutions, frames_TxNxHxWxC, lanes)
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

    def convolve(
        self, convolutions: Convolutions, frames_TxNxHxWxC: Array, lanes: Lanes | None
    ) -> Array:
        """Features TxNxD of the convolutions: here of each frame by itself."""
        del lanes
        steps, count = frames_TxNxHxWxC.shape[:2]
        frames = frames_TxNxHxWxC.reshape(steps * count, *frames_TxNxHxWxC.shape[2:])
        features = convolutions(*frames.shape[1:])
        features_FxD = in_chunks(features, frames, pixels=PIXELS_AT_ONCE)
        return features_FxD.reshape(steps, count, -1)

    def _drop(self, features_TxNxD: Array, keys: Array | None, layer: int) -> Array:
        if keys is None:
            return features_TxNxD
        return lane_dropout(features_TxNxD, fold_lanes(keys, 1 + layer), self.dropout)


def in_chunks(
    features: Callable[..., Array], frames_FxHxWxC: Array, *others: Array, pixels: int
) -> Array:
    """Features of all frames; on a CPU in equal chunks, the last one zero-padded.

    Args:
      features: of some frames and `others`, F….
      frames_FxHxWxC: the frames.
      others: what else `features` takes of each frame, Fx….
      pixels: of a chunk, at most, but for a larger frame.
    """
    if backend() != "cpu":
        return features(frames_FxHxWxC, *others)
    frames, height, width, _ = frames_FxHxWxC.shape
    at_once = max(1, min(FRAMES_AT_ONCE, pixels // (height * width)))
    if frames <= at_once:
        return features(frames_FxHxWxC, *others)
    chunks = -(-frames // at_once)
    size = -(-frames // chunks)

    def cut(x: Array) -> Array:
        padding = ((0, chunks * size - frames), *[(0, 0)] * (x.ndim - 1))
        return jnp.pad(x, padding).reshape(chunks, size, *x.shape[1:])

    found = lax.map(lambda chunk: features(*chunk), tuple(map(cut, (frames_FxHxWxC, *others))))
    return found.reshape(chunks * size, *found.shape[2:])[:frames]
