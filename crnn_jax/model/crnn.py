"""The network: frames → features → states → what the head reads."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array
from ml_collections import ConfigDict

from crnn_jax.model.decoder import Decoder, Text
from crnn_jax.model.dropout import lane_dropout
from crnn_jax.model.encoder import Encoder
from crnn_jax.model.heads import Cumulative, Last, Marginal, Posterior, Value
from crnn_jax.model.recurrent import GRU, RunningMean
from crnn_jax.tasks import TASKS, Task

AGGREGATORS = ("gru", "mean", "none")
HEADS = ("last", "cumulative", "marginal", "decoder")


class CRNN(nn.Module):
    """Frame encoder, aggregator and head.

    Frames stand in N lanes of T steps (`data/draw.py`): a lane holds whole sequences one behind
    the other, and `starts_TxN` is true where one begins.

    Attributes:
      convs, dense, activation: see `Encoder`.
      classify: whether of each frame only the probabilities of its class go on.
      aggregator: one of `AGGREGATORS`: GRU layers, the mean of the features so far, or each
        frame's features alone.
      recurrent: units of each GRU layer.
      feature_dropout: the encoder's dropout.
      dropout: share of the last states' units set to zero in training.
      head: one of `HEADS`, the classes of `heads.py` and `decoder.py`.
      decoder: units of the decoder.
      task, digits, max_length: what is asked, of how many classes and frames.
      dtype: what encoder and aggregator compute in; parameters and the head are float32.
    """

    convs: Sequence[tuple]
    dense: Sequence[int]
    activation: str
    classify: bool
    aggregator: str
    recurrent: Sequence[int]
    feature_dropout: float
    dropout: float
    head: str
    decoder: int
    task: Task
    digits: int
    max_length: int
    dtype: jnp.dtype

    def setup(self) -> None:
        """Makes the parts."""
        self.encoder = Encoder(
            self.convs,
            self.dense,
            self.activation,
            self.feature_dropout,
            self.dtype,
            classes=self.digits if self.classify else 0,
        )
        match self.aggregator:
            case "gru":
                self.gru = [GRU(hidden, self.dtype) for hidden in self.recurrent]
            case "mean":
                self.running_mean = RunningMean()
        match self.head:
            case "last":
                self.answer_head = Last()
            case "cumulative":
                self.answer_head = Cumulative()
            case "marginal":
                given = self.classify and self.aggregator == "none"
                self.answer_head = Marginal(self.task, self.digits, self.max_length, given)
            case "decoder":
                symbols = self.task.symbols(self.max_length)
                self.answer_head = Decoder(self.decoder, len(self.task.vocabulary), symbols)

    def encode(self, frames_TxNxHxWxC: Array, dropout_keys_N: Array | None = None) -> Array:
        """All that needs no time: uint8 frames to what `aggregate` takes, TxNxD.

        That is the features; for GRU layers, the gate inputs of the first, TxNx3H. With
        `classify` the features are probabilities, or their logarithms where nothing aggregates.

        Args:
          frames_TxNxHxWxC: frames in lanes.
          dropout_keys_N: one random key a lane, to train with dropout; None without.
        """
        features_TxNxD = self.encoder(frames_TxNxHxWxC, dropout_keys_N)
        if self.classify and self.aggregator != "none":
            features_TxNxD = jnp.exp(features_TxNxD)
        return self._project(features_TxNxD)

    def encode_labels(self, labels_TxN: Array) -> Array:
        """What `encode` would make of frames whose classes are certain; with `classify`.

        Args:
          labels_TxN: the frames' classes.
        """
        return self._project(jax.nn.one_hot(labels_TxN, self.digits))

    def _project(self, features_TxNxD: Array) -> Array:
        return self.gru[0].project(features_TxNxD) if self.aggregator == "gru" else features_TxNxD

    def aggregate(
        self,
        encoded_TxNxD: Array,
        starts_TxN: Array,
        dropout_keys_N: Array | None = None,
        right_NxS: Array | None = None,
    ) -> Value | Posterior | Text:
        """Runs the aggregator over `encode`'s output and reads the head.

        Args:
          encoded_TxNxD: encoded frames.
          starts_TxN: bool, true where a sequence starts.
          dropout_keys_N: one random key a lane, to train with dropout; None without.
          right_NxS: the right symbols, to train a decoder.
        """
        hidden_TxNxH = encoded_TxNxD
        match self.aggregator:
            case "gru":
                hidden_TxNxH = self.gru[0](encoded_TxNxD, starts_TxN)
                for layer in self.gru[1:]:
                    hidden_TxNxH = layer(layer.project(hidden_TxNxH), starts_TxN)
            case "mean":
                hidden_TxNxH = self.running_mean(encoded_TxNxD, starts_TxN)
        if dropout_keys_N is not None:
            hidden_TxNxH = lane_dropout(hidden_TxNxH, dropout_keys_N, self.dropout)
        if self.head == "decoder":
            return self.answer_head(hidden_TxNxH, right_NxS)
        return self.answer_head(hidden_TxNxH, starts_TxN)

    def __call__(
        self,
        frames_TxNxHxWxC: Array,
        starts_TxN: Array,
        dropout_keys_N: Array | None = None,
        right_NxS: Array | None = None,
    ) -> Value | Posterior | Text:
        """`encode`, then `aggregate`."""
        encoded_TxNxD = self.encode(frames_TxNxHxWxC, dropout_keys_N)
        return self.aggregate(encoded_TxNxD, starts_TxN, dropout_keys_N, right_NxS)


def build(config: ConfigDict, *, digits: int) -> CRNN:
    """The network of a config.

    Args:
      config: its `model` section, `task.name` and `task.max_length` are read.
      digits: number of classes of the corpus.
    """
    model = config.model
    return CRNN(
        convs=tuple(tuple(layer) for layer in model.convs),
        dense=tuple(model.dense),
        activation=model.activation,
        classify=model.class_bottleneck,
        aggregator=model.aggregator,
        recurrent=tuple(model.gru_units),
        feature_dropout=model.encoder_dropout,
        dropout=model.state_dropout,
        head=model.head,
        decoder=model.decoder_units,
        task=TASKS[config.task.name],
        digits=digits,
        max_length=config.task.max_length,
        dtype=jnp.dtype(model.dtype),
    )


def example(
    config: ConfigDict, frame_shape: tuple[int, int, int]
) -> tuple[jax.ShapeDtypeStruct, ...]:
    """Shapes of one lane of what a config's network sees: frames and starts.

    Args:
      config: its `task` section is read.
      frame_shape: height, width and channels of the data set's images.
    """
    lane = (config.task.max_length, 1)

    def show() -> tuple[Array, Array]:
        images, labels = jnp.zeros((*lane, *frame_shape), jnp.uint8), jnp.zeros(lane, jnp.int32)
        starts, keys = jnp.zeros(lane, bool), jax.random.split(jax.random.key(0), 1)
        frames, starts, _ = TASKS[config.task.name].show(images, labels, starts, keys)
        return frames, starts

    return jax.eval_shape(show)


def parameter_shapes(
    network: CRNN, config: ConfigDict, frame_shape: tuple[int, int, int]
) -> dict[str, Any]:
    """Shapes of a network's parameters, without computing any.

    Args:
      network: built from the config.
      config: its `task` section is read.
      frame_shape: height, width and channels of the data set's images.
    """
    return jax.eval_shape(network.init, jax.random.key(0), *example(config, frame_shape))
