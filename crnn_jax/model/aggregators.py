"""Aggregators: from what the encoder makes of each frame to what the head reads.

An aggregator is a row of layers. A layer's `project` needs no time: that of the first layer runs
with the encoder. Called with what `project` made and with lanes, a layer returns hidden states.
"""

from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp
from ml_collections import ConfigDict

from crnn_jax import UserError
from crnn_jax.model.bidirectional import BidirectionalGRU
from crnn_jax.model.question import Question
from crnn_jax.model.recurrent import GRU, RunningMean, unrolled


def gru_layers(model: ConfigDict, question: Question) -> tuple[GRU, ...]:
    """GRU layers of `model.gru_units`."""
    del question
    _need_units(model)
    dtype, unroll = jnp.dtype(model.dtype), unrolled(model.unroll)
    return tuple(
        GRU(units, dtype, unroll, name=f"gru_{i}") for i, units in enumerate(model.gru_units)
    )


def bigru_layers(model: ConfigDict, question: Question) -> tuple[BidirectionalGRU, ...]:
    """GRU layers of `model.gru_units` in each direction."""
    if question.reads == "so_far":
        raise UserError(
            "--config.model.aggregator=bigru sees later frames, and this task answers after every "
            "frame from those so far: expected gru, mean or none"
        )
    _need_units(model)
    dtype, unroll = jnp.dtype(model.dtype), unrolled(model.unroll)
    last = len(model.gru_units) - 1
    return tuple(
        BidirectionalGRU(
            units, dtype, unroll, whole=question.reads == "whole" and i == last, name=f"bigru_{i}"
        )
        for i, units in enumerate(model.gru_units)
    )


def mean_layers(model: ConfigDict, question: Question) -> tuple[RunningMean, ...]:
    """The running mean alone."""
    del question
    _refuse_units(model)
    return (RunningMean(unrolled(model.unroll), name="running_mean"),)


def no_layers(model: ConfigDict, question: Question) -> tuple[()]:
    """Each frame's features alone."""
    del question
    _refuse_units(model)
    return ()


def _need_units(model: ConfigDict) -> None:
    if not model.gru_units:
        raise UserError(
            f"--config.model.gru_units=() with model.aggregator={model.aggregator}: expected the "
            'units of one or more layers, as in "(128,)"'
        )


def _refuse_units(model: ConfigDict) -> None:
    if model.gru_units:
        raise UserError(
            f"--config.model.gru_units={model.gru_units} with model.aggregator="
            f"{model.aggregator}: expected ()"
        )


AGGREGATORS: dict[str, Callable[[ConfigDict, Question], tuple[nn.Module, ...]]] = {
    "gru": gru_layers,
    "bigru": bigru_layers,
    "mean": mean_layers,
    "none": no_layers,
}
"""The layers of a config, by its `model.aggregator`."""
