"""The head that names a class: one softmax over classes."""

import flax.linen as nn
import flax.struct
import jax.numpy as jnp
import optax
from jax import Array

from crnn_jax.data.lanes import Lanes
from crnn_jax.model.heads import Answers


@flax.struct.dataclass
class ClassLogits:
    """Logits of the class of the sequence so far, at every step."""

    logits_TxNxK: Array

    def loss(self, targets: Array) -> Array:
        """Cross-entropy at every step, TxN."""
        return optax.softmax_cross_entropy_with_integer_labels(self.logits_TxNxK, targets)

    @property
    def probs_TxNxK(self) -> Array:
        """The probability of each class, at every step."""
        return nn.softmax(self.logits_TxNxK)

    def answers(self) -> Answers:
        """The most likely class and its probability."""
        return Answers(
            jnp.argmax(self.logits_TxNxK, axis=-1).astype(jnp.int32),
            confidence=jnp.max(self.probs_TxNxK, axis=-1),
        )


class Classes(nn.Module):
    """A dense layer and a softmax over classes, read off the hidden state.

    Attributes:
      classes: number of classes K.
    """

    classes: int

    @nn.compact
    def __call__(
        self, hidden_TxNxU: Array, lanes: Lanes, targets: Array | None = None
    ) -> ClassLogits:
        """Read `ClassLogits` off hidden states."""
        del lanes, targets
        return ClassLogits(nn.Dense(self.classes, name="class")(hidden_TxNxU.astype(jnp.float32)))
