"""From parameters and a batch to answers: what all who ask a network call."""

from typing import Any

from jax import Array

from crnn_jax.data.batch import Batch
from crnn_jax.model.crnn import CRNN
from crnn_jax.model.heads import Answers, Output


def answer(network: CRNN, params: Any, batch: Batch, encoded: Array | None = None) -> Answers:
    """What a network answers about a batch; see `ask`."""
    return ask(network, params, batch, encoded).answers()


def ask(network: CRNN, params: Any, batch: Batch, encoded: Array | None = None) -> Output:
    """A network's output about a batch.

    Args:
      network: the Flax module.
      params: its parameters.
      batch: frames in lanes; targets are not looked at.
      encoded: the frames' encodings TxNxD, where they are known already.
    """
    if encoded is None:
        frames = batch.frames_TxNxHxWxC
        encoded = network.apply(params, frames, lanes=batch.lanes, method="encode")
    return network.apply(params, encoded, batch.lanes, method="aggregate")
