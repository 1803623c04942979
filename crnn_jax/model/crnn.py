"""The network: frames → features → states → what the head reads."""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array
from ml_collections import ConfigDict

from crnn_jax.model.encoder import FramesEncoder
from crnn_jax.model.heads import Cumulative, Last, Marginal, Posterior, Value
from crnn_jax.model.recurrent import GRU

HEADS = ("last", "cumulative", "marginal")


class CRNN(nn.Module):
    """Frame encoder, GRU layers and head.

    Frames stand in N lanes of T steps (`data/draw.py`): a lane holds whole sequences one behind
    the other, and `starts_TxN` is true where one begins.

    Attributes:
      convs, dense, activation: see `FrameEncoder`.
      recurrent: units of each GRU layer, at least one.
      feature_dropout: share of the encoder's features set to zero in training.
      dropout: share of the last hidden states' units set to zero in training.
      head: one of `HEADS`, the classes of `heads.py`.
      digits, max_length: for the marginal head.
      dtype: what encoder and GRU compute in; parameters and the head are float32.
    """

    convs: Sequence[tuple[int, int, bool]]
    dense: int
    activation: str
    recurrent: Sequence[int]
    feature_dropout: float
    dropout: float
    head: str
    digits: int
    max_length: int
    dtype: jnp.dtype

    def setup(self) -> None:
        """Makes the parts."""
        self.encoder = FramesEncoder(self.convs, self.dense, self.activation, self.dtype)
        self.gru = [GRU(hidden, self.dtype) for hidden in self.recurrent]
        match self.head:
            case "last":
                self.answer_head = Last()
            case "cumulative":
                self.answer_head = Cumulative()
            case "marginal":
                self.answer_head = Marginal(self.digits, self.max_length)

    def encode(self, frames_FxHxWxC: Array) -> Array:
        """Encodes uint8 frames to the first GRU's gate inputs, Fx3H: all that needs no time."""
        return self.gru[0].project(self.encoder(frames_FxHxWxC))

    def aggregate(
        self, gates_TxNx3H: Array, starts_TxN: Array, dropout_keys_N: Array | None = None
    ) -> Value | Posterior:
        """Runs the GRU layers over `encode`'s output and reads the head at every step.

        Args:
          gates_TxNx3H: encoded frames.
          starts_TxN: bool, true where a sequence starts.
          dropout_keys_N: one random key a lane, to train with dropout; None without.
        """
        hidden_TxNxH = self.gru[0](gates_TxNx3H, starts_TxN)
        for layer in self.gru[1:]:
            hidden_TxNxH = layer(layer.project(hidden_TxNxH), starts_TxN)
        if dropout_keys_N is not None:
            hidden_TxNxH = lane_dropout(hidden_TxNxH, dropout_keys_N, self.dropout)
        return self.answer_head(hidden_TxNxH, starts_TxN)

    def __call__(
        self, frames_TxNxHxWxC: Array, starts_TxN: Array, dropout_keys_N: Array | None = None
    ) -> Value | Posterior:
        """`encode` all frames at once, then `aggregate`; with dropout of features if with keys."""
        steps, lanes = starts_TxN.shape
        features = self.encoder(frames_TxNxHxWxC.reshape(-1, *frames_TxNxHxWxC.shape[2:]))
        features_TxNxD = features.reshape(steps, lanes, -1)
        if dropout_keys_N is not None:
            other_keys_N = jax.vmap(jax.random.fold_in, in_axes=(0, None))(dropout_keys_N, 1)
            features_TxNxD = lane_dropout(features_TxNxD, other_keys_N, self.feature_dropout)
        gates_TxNx3H = self.gru[0].project(features_TxNxD)
        return self.aggregate(gates_TxNx3H, starts_TxN, dropout_keys_N)


def lane_dropout(hidden_TxNxH: Array, keys_N: Array, rate: float) -> Array:
    """Dropout with a random key a lane, so that no split of the lanes changes what is dropped."""
    if rate == 0:
        return hidden_TxNxH
    steps, _, units = hidden_TxNxH.shape
    keep_NxTxH = jax.vmap(lambda key: jax.random.bernoulli(key, 1 - rate, (steps, units)))(keys_N)
    return jnp.where(keep_NxTxH.swapaxes(0, 1), hidden_TxNxH / (1 - rate), 0)


def build(model: ConfigDict, *, digits: int, max_length: int) -> CRNN:
    """The network of a config's `model` section.

    Args:
      model: fields convs, dense, activation, recurrent, dropout, head, dtype.
      digits: number of classes of the corpus.
      max_length: longest sequence asked about.
    """
    return CRNN(
        convs=tuple(tuple(layer) for layer in model.convs),
        dense=model.dense,
        activation=model.activation,
        recurrent=tuple(model.recurrent),
        feature_dropout=model.feature_dropout,
        dropout=model.dropout,
        head=model.head,
        digits=digits,
        max_length=max_length,
        dtype=jnp.dtype(model.dtype),
    )
