"""The decoder: a recurrent head that writes an answer, symbol by symbol."""

from typing import Any

import flax.linen as nn
import flax.struct
import jax.numpy as jnp
from jax import Array

from crnn_jax.model.heads import Answers
from crnn_jax.model.recurrent import GRUStep

OWN = -1
"""Given in place of a symbol: the decoder goes on from what it wrote itself."""

ATTENTIONS = 4
"""How many mixtures of the frames are seen at once: with one alone, which must be of two frames
to add their digits, three-digit addition stays at chance for long."""


@flax.struct.dataclass
class Text:
    """Logits of every symbol of a written answer, one answer a lane."""

    logits_NxSxV: Array

    def loss(self, targets: Array) -> Array:
        """Negative log-likelihood of the right symbols NxS, their mean over an answer, N."""
        log_probs = nn.log_softmax(self.logits_NxSxV)
        hit = jnp.take_along_axis(log_probs, targets[..., None], axis=-1)
        return -jnp.mean(hit[..., 0], axis=-1)

    def answers(self) -> Answers:
        """The symbols written and the probability of each."""
        return Answers(
            jnp.argmax(self.logits_NxSxV, axis=-1).astype(jnp.int32),
            confidence=jnp.max(nn.softmax(self.logits_NxSxV), axis=-1),
        )


def attend(query_NxH: Array, keys_NxTxH: Array, memory_NxTxD: Array) -> Array:
    """Looks at the sequence `ATTENTIONS` (A) times, each with its share of query and keys.

    Attention by scaled dot products in several heads (Vaswani et al., "Attention is all you
    need", 2017, section 3.2).

    Args:
      query_NxH: what is looked for.
      keys_NxTxH: what each step is found by; H is a multiple of A.
      memory_NxTxD: what is seen of each step.

    Returns:
      The A mixtures of steps side by side, NxAD.
    """
    lanes, steps, hidden = keys_NxTxH.shape
    share = hidden // ATTENTIONS
    query_NxAxS = query_NxH.reshape(lanes, ATTENTIONS, share)
    keys_NxTxAxS = keys_NxTxH.reshape(lanes, steps, ATTENTIONS, share)
    scores_NxAxT = jnp.einsum("nas,ntas->nat", query_NxAxS, keys_NxTxAxS)
    weights_NxAxT = nn.softmax(scores_NxAxT / jnp.sqrt(share))
    return jnp.einsum("nat,ntd->nad", weights_NxAxT, memory_NxTxD).reshape(lanes, -1)


class WriteSymbol(nn.Module):
    """One step of the decoder: looks at the sequence, advances its state, writes a symbol.

    Attributes:
      hidden: units H.
      vocabulary: number of symbols V.
    """

    hidden: int
    vocabulary: int

    @nn.compact
    def __call__(
        self,
        carry: tuple[Array, Array],
        given_N: Array,
        place_H: Array,
        memory_NxTxD: Array,
    ) -> tuple[tuple[Array, Array], Array]:
        """Writes one symbol.

        Args:
          carry: state_NxH, and the symbol written before, N (V at the beginning).
          given_N: the symbol that was right before, or `OWN`.
          place_H: what stands for the symbol's place in the answer.
          memory_NxTxD: what the sequence left at each step.

        Returns:
          The new carry and the logits NxV.
        """
        state_NxH, written_N = carry
        before_N = jnp.where(given_N == OWN, written_N, given_N)
        embedded = nn.Embed(self.vocabulary + 1, self.hidden, name="symbols")(before_N)

        query_NxH = nn.Dense(self.hidden, name="query")(state_NxH) + place_H[None]
        keys_NxTxH = nn.Dense(self.hidden, use_bias=False, name="keys")(memory_NxTxD)
        steps = memory_NxTxD.shape[1]
        places_TxH = self.param("places", nn.initializers.normal(1.0), (steps, self.hidden))
        seen_NxAD = attend(query_NxH, keys_NxTxH + places_TxH[None], memory_NxTxD)

        inputs = jnp.concatenate([embedded, seen_NxAD], axis=-1)
        gates_Nx3H = nn.Dense(3 * self.hidden, name="input")(inputs)
        never_N = jnp.zeros(len(given_N), bool)
        state_NxH, _ = GRUStep(self.hidden, jnp.float32, name="step")(
            state_NxH, (jnp.split(gates_Nx3H, 3, axis=-1), never_N)
        )
        features = nn.relu(
            nn.Dense(self.hidden, name="dense")(jnp.concatenate([state_NxH, seen_NxAD], axis=-1))
        )
        logits_NxV = nn.Dense(self.vocabulary, name="symbol")(features)
        return (state_NxH, jnp.argmax(logits_NxV, axis=-1)), logits_NxV


class Decoder(nn.Module):
    """A GRU under `nn.scan` that writes an answer with attention on the sequence.

    Its state and the symbol's place are the query, what each frame left and the frame's place the
    keys: which frames matter to which symbol can be learned before anything is read.

    In training it is given the right symbols so far (teacher forcing, Williams & Zipser 1989);
    else it goes on from its own.

    Attributes:
      hidden: units of its state, a multiple of `ATTENTIONS`.
      vocabulary: number of symbols V.
      symbols: symbols S of an answer.
      unroll: symbols that one turn of the loop writes.
    """

    hidden: int
    vocabulary: int
    symbols: int
    unroll: int = 1

    @nn.compact
    def __call__(
        self, hidden_TxNxH: Array, starts_TxN: Array, targets: Array | None = None
    ) -> Text:
        """Write one answer a lane.

        Args:
          hidden_TxNxH: states of lanes that hold one sequence each.
          starts_TxN: not needed.
          targets: the right symbols NxS, to train; None to write freely.
        """
        del starts_TxN
        memory_NxTxD = hidden_TxNxH.swapaxes(0, 1).astype(jnp.float32)
        lanes = memory_NxTxD.shape[0]
        start_N = jnp.full(lanes, self.vocabulary)
        if targets is None:
            given_SxN = jnp.full((self.symbols, lanes), OWN)
        else:
            given_SxN = jnp.concatenate([start_N[None], targets.T[:-1]])
        state_NxH = jnp.tanh(nn.Dense(self.hidden, name="state")(memory_NxTxD[:, -1]))
        axes: Any = (0, 0, nn.broadcast)
        write = nn.scan(
            WriteSymbol,
            variable_broadcast="params",
            split_rngs={"params": False},
            in_axes=axes,
            out_axes=1,
            unroll=self.unroll,
        )(self.hidden, self.vocabulary, name="write")
        shape = (self.symbols, self.hidden)
        places_SxH = self.param("places", nn.initializers.normal(1.0), shape)
        _, logits_NxSxV = write((state_NxH, start_N), given_SxN, places_SxH, memory_NxTxD)
        return Text(logits_NxSxV)
