"""The decoder: a recurrent head that writes an answer, symbol by symbol."""

from typing import Any

import flax.linen as nn
import flax.struct
import jax.numpy as jnp
from jax import Array

from crnn_jax.data.lanes import Lanes
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


def attend(
    query_NxU: Array, keys_NxTxU: Array, memory_NxTxD: Array, real_NxT: Array | None
) -> Array:
    """Look at the sequence `ATTENTIONS` (Q) times, each with its share of query and keys.

    Attention by scaled dot products in several heads (Vaswani et al., "Attention is all you
    need", 2017, section 3.2).

    Args:
      query_NxU: what is looked for.
      keys_NxTxU: what each step is found by; U is a multiple of Q.
      memory_NxTxD: what is seen of each step.
      real_NxT: which steps there are; None for all.

    Returns:
      The Q mixtures of steps side by side, NxQD.
    """
    lanes, steps, hidden = keys_NxTxU.shape
    share = hidden // ATTENTIONS
    query_NxQxE = query_NxU.reshape(lanes, ATTENTIONS, share)
    keys_NxTxQxE = keys_NxTxU.reshape(lanes, steps, ATTENTIONS, share)
    scores_NxQxT = jnp.einsum("nas,ntas->nat", query_NxQxE, keys_NxTxQxE)
    if real_NxT is not None:
        scores_NxQxT = jnp.where(real_NxT[:, None], scores_NxQxT, jnp.finfo(jnp.float32).min)
    weights_NxQxT = nn.softmax(scores_NxQxT / jnp.sqrt(share))
    return jnp.einsum("nat,ntd->nad", weights_NxQxT, memory_NxTxD).reshape(lanes, -1)


class WriteSymbol(nn.Module):
    """One step of the decoder: looks at the sequence, advances its state, writes a symbol.

    Attributes:
      hidden: units U.
      vocabulary: number of symbols V.
    """

    hidden: int
    vocabulary: int

    @nn.compact
    def __call__(
        self,
        carry: tuple[Array, Array],
        given_N: Array,
        place_U: Array,
        memory: tuple[Array, Array | None],
    ) -> tuple[tuple[Array, Array], Array]:
        """Write one symbol.

        Args:
          carry: state_NxU, and the symbol written before, N (V at the beginning).
          given_N: the symbol that was right before, or `OWN`.
          place_U: what stands for the symbol's place in the answer.
          memory: what the sequence left at each step, NxTxD; and which steps there are, NxT, or
            None for all.

        Returns:
          The new carry and the logits NxV.
        """
        state_NxU, written_N = carry
        memory_NxTxD, real_NxT = memory
        before_N = jnp.where(given_N == OWN, written_N, given_N)
        embedded = nn.Embed(self.vocabulary + 1, self.hidden, name="symbols")(before_N)

        query_NxU = nn.Dense(self.hidden, name="query")(state_NxU) + place_U[None]
        keys_NxTxU = nn.Dense(self.hidden, use_bias=False, name="keys")(memory_NxTxD)
        steps = memory_NxTxD.shape[1]
        places_TxU = self.param("places", nn.initializers.normal(1.0), (steps, self.hidden))
        seen_NxQD = attend(query_NxU, keys_NxTxU + places_TxU[None], memory_NxTxD, real_NxT)

        inputs = jnp.concatenate([embedded, seen_NxQD], axis=-1)
        gates_Nx3U = nn.Dense(3 * self.hidden, name="input")(inputs)
        never_N = jnp.zeros_like(given_N, bool)
        state_NxU, _ = GRUStep(self.hidden, jnp.dtype("float32"), name="step")(
            state_NxU, (jnp.split(gates_Nx3U, 3, axis=-1), never_N)
        )
        features = nn.relu(
            nn.Dense(self.hidden, name="dense")(jnp.concatenate([state_NxU, seen_NxQD], axis=-1))
        )
        logits_NxV = nn.Dense(self.vocabulary, name="symbol")(features)
        return (state_NxU, jnp.argmax(logits_NxV, axis=-1)), logits_NxV


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
      steps: frames T of the longest sequence.
      unroll: symbols that one turn of the loop writes.
    """

    hidden: int
    vocabulary: int
    symbols: int
    steps: int
    unroll: int = 1

    @nn.compact
    def __call__(self, hidden_TxNxU: Array, lanes: Lanes, targets: Array | None = None) -> Text:
        """Write one answer a sequence; N are sequences here.

        Args:
          hidden_TxNxU: states in lanes.
          lanes: the sequences in them.
          targets: the right symbols NxS, to train; None to write freely.
        """
        real_NxT = None
        if lanes.one_each and len(hidden_TxNxU) == self.steps:
            memory_NxTxD = hidden_TxNxU.swapaxes(0, 1)
        else:
            memory_NxTxD = lanes.rows(hidden_TxNxU, self.steps)
            real_NxT = jnp.arange(self.steps)[None] < lanes.length_B[:, None]
        memory_NxTxD = memory_NxTxD.astype(jnp.float32)
        count = memory_NxTxD.shape[0]
        start_N = jnp.full(count, self.vocabulary)
        if targets is None:
            given_SxN = jnp.full((self.symbols, count), OWN)
        else:
            given_SxN = jnp.concatenate([start_N[None], targets.T[:-1]])
        state_NxU = jnp.tanh(nn.Dense(self.hidden, name="state")(memory_NxTxD[:, -1]))
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
        places_SxU = self.param("places", nn.initializers.normal(1.0), shape)
        _, logits_NxSxV = write(
            (state_NxU, start_N), given_SxN, places_SxU, (memory_NxTxD, real_NxT)
        )
        return Text(logits_NxSxV)
