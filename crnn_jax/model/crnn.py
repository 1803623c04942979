"""The network: frames → features → states → what the head reads."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from ml_collections import ConfigDict

from crnn_jax import UserError
from crnn_jax.data.lanes import Lanes, padded_lanes
from crnn_jax.model.aggregators import AGGREGATORS
from crnn_jax.model.carry import Carry
from crnn_jax.model.classes import Classes
from crnn_jax.model.columns import Columns, check_columns
from crnn_jax.model.ctc import CTC
from crnn_jax.model.decoder import Decoder
from crnn_jax.model.dropout import lane_dropout
from crnn_jax.model.encoder import Encoder
from crnn_jax.model.flops import conv_sizes
from crnn_jax.model.heads import Cumulative, Last, Output
from crnn_jax.model.marginal import Marginal
from crnn_jax.model.question import Question
from crnn_jax.model.recurrent import unrolled


class Head(NamedTuple):
    """A head that a config can name.

    Attributes:
      kinds: of questions that it can answer.
      build: makes it, from a config's `model` section and the question.
      by_rule: whether it needs the rule by which frames lead to the answer.
      alone: whether it answers about one sequence in a lane only.
    """

    kinds: tuple[str, ...]
    build: Callable[[ConfigDict, Question], nn.Module]
    by_rule: bool = False
    alone: bool = False

    def fits(self, question: Question) -> bool:
        """Whether it can answer a question."""
        addends = question.addends
        ruled = question.recurrence is not None or addends is not None
        several = addends is not None and addends.parted
        return (
            question.kind in self.kinds
            and (ruled or not self.by_rule)
            and not (several and self.alone)
        )


HEADS = {
    "last": Head(
        ("number", "value"), lambda model, question: Last(question.mean, question.deviation)
    ),
    "cumulative": Head(
        ("number",),
        lambda model, question: Cumulative(question.recurrence, unrolled(model.unroll)),
        by_rule=True,
    ),
    "marginal": Head(
        ("number", "class"),
        lambda model, question: Marginal(
            question.recurrence,
            question.classes,
            question.steps,
            given=model.class_bottleneck and model.aggregator == "none",
            unroll=unrolled(model.unroll),
        ),
        by_rule=True,
    ),
    "class": Head(("class",), lambda model, question: Classes(question.classes)),
    "decoder": Head(
        ("symbols",),
        lambda model, question: Decoder(
            model.decoder_units,
            question.vocabulary,
            question.symbols,
            question.steps,
            unrolled(model.unroll),
        ),
        alone=True,
    ),
    "carry": Head(
        ("symbols",),
        lambda model, question: Carry(question.addends, question.classes),
        by_rule=True,
    ),
    "ctc": Head(
        ("line",),
        lambda model, question: CTC(
            question.vocabulary, question.steps, model.beam, unrolled(model.unroll)
        ),
    ),
}
"""The head of a config, by its `model.head`."""


ENCODERS: dict[str, type[Encoder]] = {"frames": Encoder, "columns": Columns}
"""The encoder of a config, by its `model.encoder`."""


class CRNN(nn.Module):
    """Frame encoder, aggregator and head.

    Frames stand in N lanes of T steps (`data/lanes.py`): a lane holds whole sequences, one behind
    the other.

    Attributes:
      encoder: maps frames to features.
      layers: of the aggregator; without any, each frame's features stand for themselves.
      answer_head: reads an output off the last layer's states, in float32.
      state_dropout: share of the last states' units set to zero in training.
    """

    preserve_adopted_names: ClassVar[bool] = True  # layers are named by their aggregator

    encoder: Encoder
    layers: tuple[nn.Module, ...]
    answer_head: nn.Module
    state_dropout: float

    if TYPE_CHECKING:

        def apply(self, *args: Any, **kwargs: Any) -> Any:
            """The output alone: nothing of this network is mutable."""

    def encode(
        self,
        frames_TxNxHxWxC: Array,
        dropout_keys: Array | None = None,
        lanes: Lanes | None = None,
    ) -> Array:
        """All that needs no time: uint8 frames to what `aggregate` takes, TxNxD.

        That is the features, as the first layer projects them: for a GRU its gate inputs, TxNx3U.
        Of an encoder with classes these features are probabilities, or log-probabilities where
        there are no layers.

        Args:
          frames_TxNxHxWxC: frames in lanes.
          dropout_keys: random keys to train with dropout, see `lane_dropout`; None without.
          lanes: where sequences start and end, for an encoder of lines.
        """
        features_TxNxD = self.encoder(frames_TxNxHxWxC, dropout_keys, lanes)
        if self.encoder.classes and self.layers:
            features_TxNxD = jnp.exp(features_TxNxD)
        return self._project(features_TxNxD)

    def encode_labels(self, labels_TxN: Array) -> Array:
        """What `encode` would make of frames whose classes are certain.

        Args:
          labels_TxN: the frames' classes; the encoder must have classes.
        """
        return self._project(jax.nn.one_hot(labels_TxN, self.encoder.classes))

    def _project(self, features_TxNxD: Array) -> Array:
        return self.layers[0].project(features_TxNxD) if self.layers else features_TxNxD

    def aggregate(
        self,
        encoded_TxNxD: Array,
        lanes: Lanes,
        dropout_keys: Array | None = None,
        targets: Array | None = None,
    ) -> Output:
        """Run the layers over `encode`'s output and read the head.

        Args:
          encoded_TxNxD: encoded frames.
          lanes: where sequences start and end.
          dropout_keys: random keys to train with dropout, see `lane_dropout`; None without.
          targets: the right answers, for heads that are trained with them.
        """
        hidden_TxNxU = encoded_TxNxD
        for i, layer in enumerate(self.layers):
            inputs = layer.project(hidden_TxNxU) if i else hidden_TxNxU
            hidden_TxNxU = layer(inputs, lanes)
        if dropout_keys is not None:
            hidden_TxNxU = lane_dropout(hidden_TxNxU, dropout_keys, self.state_dropout)
        return self.answer_head(hidden_TxNxU, lanes, targets)

    def __call__(
        self,
        frames_TxNxHxWxC: Array,
        lanes: Lanes,
        dropout_keys: Array | None = None,
        targets: Array | None = None,
    ) -> Output:
        """`encode`, then `aggregate`."""
        encoded_TxNxD = self.encode(frames_TxNxHxWxC, dropout_keys, lanes)
        return self.aggregate(encoded_TxNxD, lanes, dropout_keys, targets)


def build(model: ConfigDict, question: Question) -> CRNN:
    """The network of a config's `model` section that can answer a question.

    Raises:
      UserError: the layers leave nothing of a frame, or see frames that the answer must not depend
        on; or the head cannot answer the question.
    """
    if model.encoder == "columns":
        check_columns(model.convs, question)
    height, width, _ = question.frame_shape
    if min(conv_sizes(model.convs, height, width)[-1]) < 1:
        raise UserError(
            f"--config.model.convs={model.convs} leaves nothing of a frame of {height}x{width}: "
            "expected fewer or smaller kernels and pools"
        )
    head = HEADS[model.head]
    if not head.fits(question):
        fitting = " or ".join(name for name, head in HEADS.items() if head.fits(question))
        raise UserError(
            f"--config.model.head={model.head} gives no {question.kind}, which the task asks for: "
            f"expected {fitting}"
        )
    if (model.decoder_units > 0) != (model.head == "decoder"):
        raise UserError(
            f"--config.model.decoder_units={model.decoder_units} with the head {model.head}: "
            "expected units, as in 128, for the head decoder, and 0 with other heads"
        )
    encoder = ENCODERS[model.encoder](
        tuple(tuple(layer) for layer in model.convs),
        tuple(model.dense),
        model.activation,
        model.encoder_dropout,
        jnp.dtype(model.dtype),
        classes=question.classes if model.class_bottleneck else 0,
    )
    return CRNN(
        encoder,
        AGGREGATORS[model.aggregator](model, question),
        head.build(model, question),
        model.state_dropout,
    )


def example(question: Question) -> tuple[np.ndarray, Lanes]:
    """One black sequence of what the network sees: frames and lanes."""
    frames_TxNxHxWxC = np.zeros((question.steps, 1, *question.frame_shape), np.uint8)
    return frames_TxNxHxWxC, padded_lanes(np.array([question.steps]))


def parameter_shapes(network: CRNN, question: Question) -> Any:
    """Shapes of a network's parameters, without computing any."""
    return jax.eval_shape(lambda: network.init(jax.random.key(0), *example(question)))
