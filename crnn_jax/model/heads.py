"""Outputs of the network, and the heads that read one number off each hidden state.

A head is a module called with hidden states, lanes and, in training, targets. All heads stand in
`crnn.HEADS`.
"""

from typing import Any, Protocol

import flax.linen as nn
import flax.struct
import jax.numpy as jnp
from jax import Array

from crnn_jax.data.lanes import Lanes
from crnn_jax.model.memory import keep, recall
from crnn_jax.model.question import Recurrence


@flax.struct.dataclass
class Answers:
    """What a network answers about the sequences of a batch.

    Attributes:
      answer: TxN int32, the most likely number or class after every frame; or NxS int32, the
        symbols of one answer a lane; or of one a sequence, BxS, -1 behind the last.
      estimate: TxN float32, the number that minimises the expected squared error; None where an
        answer is no number.
      confidence: probability of each answer or symbol; None where the head gives none.
      whole: B, probability of a whole line; None of other answers.
      steps: BxSx2 int32, the first and the last frame that each symbol of a line was read from, -1
        behind the last symbol; None of other answers.
    """

    answer: Any
    estimate: Any = None
    confidence: Any = None
    whole: Any = None
    steps: Any = None


class Output(Protocol):
    """What a head returns."""

    def loss(self, targets: Array) -> Array:
        """Loss of each answer: TxN, after every frame; or N, one answer a lane."""
        ...

    def answers(self) -> Answers:
        """The answers."""
        ...


@flax.struct.dataclass
class Value:
    """A number for the sequence so far, at every step.

    Attributes:
      value_TxN: the number.
      unit: what errors are measured in.
    """

    value_TxN: Array
    unit: float = flax.struct.field(default=1.0, pytree_node=False)

    def loss(self, targets: Array) -> Array:
        """Squared error at every step, TxN."""
        return jnp.square((self.value_TxN - targets) / self.unit)

    def answers(self) -> Answers:
        """The value, and the whole number nearest to it."""
        return Answers(jnp.round(self.value_TxN).astype(jnp.int32), self.value_TxN)


class Last(nn.Module):
    """A dense unit on the hidden state, as in mnistCRNN (2016).

    Attributes:
      mean, deviation: of right answers: what a unit of 0 stands for, and a difference of 1.
    """

    mean: float = 0.0
    deviation: float = 1.0

    @nn.compact
    def __call__(self, hidden_TxNxU: Array, lanes: Lanes, targets: Array | None = None) -> Value:
        """Read a `Value` off each hidden state."""
        del lanes, targets
        unit_TxN = nn.Dense(1, name="value")(hidden_TxNxU.astype(jnp.float32))[..., 0]
        return Value(self.mean + self.deviation * unit_TxN, self.deviation)


class Cumulative(nn.Module):
    """What a dense unit leads to over the steps so far: its sum, or its product.

    Attributes:
      recurrence: how each unit changes the value.
      unroll: steps that one turn of the loop over time makes.
    """

    recurrence: Recurrence
    unroll: int = 1

    @nn.compact
    def __call__(self, hidden_TxNxU: Array, lanes: Lanes, targets: Array | None = None) -> Value:
        """Read a `Value` off hidden states; it begins anew where a sequence starts."""
        del targets
        units_TxN = nn.Dense(1, name="value")(hidden_TxNxU.astype(jnp.float32))[..., 0]
        value_TxN = self.recurrence.after_each(
            units_TxN, lanes.starts_TxN, self.unroll, recall(self, None)
        )
        keep(self, value_TxN[-1])
        return Value(value_TxN)
