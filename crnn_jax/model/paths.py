"""Paths through a line's columns: the loss of CTC, the probability of a text, its best path.

A path names one class for each column, a symbol or the blank. It says the text that is left when
repeated classes are one and blanks are none (Graves et al., "Connectionist temporal
classification", 2006). The blank is the last class.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from crnn_jax.data.lanes import Lanes
from crnn_jax.model.marginal import IMPOSSIBLE


class States(NamedTuple):
    """What the paths of B texts go through: blank, symbol, blank, symbol, …, blank.

    E is 2S + 1; states behind a text's last blank are never read.

    Attributes:
      class_BxE: the class of each state.
      skips_BxE: whether a path may come from the symbol before, without a blank between.
      final_BxE: whether a path may end there: at the last symbol, or at the blank behind it.
    """

    class_BxE: Array
    skips_BxE: Array
    final_BxE: Array


def states_of(texts_BxS: Array, blank: int) -> States:
    """The states of texts, which are -1 behind their end."""
    symbols_BxS = jnp.where(texts_BxS < 0, blank, texts_BxS)
    pairs_BxSx2 = jnp.stack([jnp.full_like(symbols_BxS, blank), symbols_BxS], axis=-1)
    class_BxE = jnp.pad(
        pairs_BxSx2.reshape(len(texts_BxS), -1), ((0, 0), (0, 1)), constant_values=blank
    )
    before_BxE = jnp.pad(class_BxE, ((0, 0), (2, 0)), constant_values=blank)[:, :-2]
    last_Bx1 = 2 * jnp.sum(texts_BxS >= 0, axis=1, keepdims=True)
    state_1xE = jnp.arange(class_BxE.shape[1])[None]
    return States(
        class_BxE,
        (class_BxE != blank) & (class_BxE != before_BxE),
        (state_1xE == last_Bx1) | (state_1xE == last_Bx1 - 1),
    )


def before_any(count: int, states: int) -> Array:
    """Log-probabilities of the states before the first column: a path starts behind state 0."""
    return jnp.full((count, states), IMPOSSIBLE).at[:, 0].set(0.0)


def ways_into(log_probs_NxE: Array, skips_NxE: Array) -> tuple[Array, Array, Array]:
    """Log-probability of coming to each state from itself, the one before, and two before."""
    padded = jnp.pad(log_probs_NxE, ((0, 0), (2, 0)), constant_values=IMPOSSIBLE)
    return (
        log_probs_NxE,
        padded[:, 1:-1],
        jnp.where(skips_NxE, padded[:, :-2], IMPOSSIBLE),
    )


def advance(log_probs_NxE: Array, emitted_NxE: Array, skips_NxE: Array) -> Array:
    """The forward variables of one more column (Graves et al. 2006, equation 6)."""
    ways = ways_into(log_probs_NxE, skips_NxE)
    # The result is the same whatever `top` is: nothing is gained by its gradient.
    top = lax.stop_gradient(jnp.maximum(jnp.maximum(ways[0], ways[1]), ways[2]))
    total = jnp.exp(ways[0] - top) + jnp.exp(ways[1] - top) + jnp.exp(ways[2] - top)
    return top + jnp.log(total) + emitted_NxE


def final_log_prob(log_probs_BxE: Array, final_BxE: Array) -> Array:
    """Log-probability of all paths that end where a text may end, B."""
    return jax.nn.logsumexp(jnp.where(final_BxE, log_probs_BxE, IMPOSSIBLE), axis=-1)


def ctc_loss(logits_TxNxV: Array, texts_BxS: Array, lanes: Lanes, unroll: int = 1) -> Array:
    """Negative log-likelihood of the right text of each line.

    One scan reads all lanes; the forward variables begin anew where a line starts.

    Args:
      logits_TxNxV: of the classes of each column.
      texts_BxS: the right symbols, -1 behind the end.
      lanes: the lines.
      unroll: steps that one turn of the loop makes.

    Returns:
      TxN: at each line's last step; 0 elsewhere. A text that needs more columns than its line has
      (a repeated symbol needs a blank between) is as if it were not there: loss and gradient 0.
    """
    log_probs_TxNxV = jax.nn.log_softmax(logits_TxNxV)
    sequence_TxN = jnp.maximum(jnp.asarray(lanes.sequence_TxN), 0)
    states = states_of(texts_BxS, blank=logits_TxNxV.shape[-1] - 1)
    emitted_TxNxE = jnp.take_along_axis(log_probs_TxNxV, states.class_BxE[sequence_TxN], axis=-1)
    first_NxE = before_any(*emitted_TxNxE.shape[1:])

    def step(alpha_NxE: Array, inputs: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        emitted_NxE, skips_NxE, starts_N = inputs
        alpha_NxE = jnp.where(starts_N[:, None], first_NxE, alpha_NxE)
        alpha_NxE = advance(alpha_NxE, emitted_NxE, skips_NxE)
        return alpha_NxE, alpha_NxE

    inputs = (emitted_TxNxE, states.skips_BxE[sequence_TxN], jnp.asarray(lanes.starts_TxN))
    _, alpha_TxNxE = lax.scan(step, first_NxE, inputs, unroll=unroll)
    step_B, lane_B = lanes.last_frames
    alpha_BxE = alpha_TxNxE[jnp.maximum(step_B, 0), lane_B]  # of missing lines too
    log_prob_B = final_log_prob(alpha_BxE, states.final_BxE)
    loss_B = jnp.where(log_prob_B > IMPOSSIBLE / 2, -log_prob_B, 0.0)
    return jnp.where(jnp.asarray(lanes.ends_TxN), loss_B[sequence_TxN], 0.0)


def log_likelihood(
    log_probs_BxLxV: Array, length_B: Array, texts_BxS: Array, unroll: int = 1
) -> Array:
    """Log-probability of a text of each line, B; near `IMPOSSIBLE` where it does not fit.

    Args:
      log_probs_BxLxV: of the classes of each column, one line a row.
      length_B: columns of each line.
      texts_BxS: the texts, -1 behind the end.
      unroll: columns that one turn of the loop reads.
    """
    count, steps, classes = log_probs_BxLxV.shape
    states = states_of(texts_BxS, blank=classes - 1)

    def step(alpha_BxE: Array, inputs: tuple[Array, Array]) -> tuple[Array, None]:
        log_probs_BxV, t = inputs
        emitted_BxE = jnp.take_along_axis(log_probs_BxV, states.class_BxE, axis=1)
        read_BxE = advance(alpha_BxE, emitted_BxE, states.skips_BxE)
        return jnp.where((t < length_B)[:, None], read_BxE, alpha_BxE), None

    start_BxE = before_any(count, states.class_BxE.shape[1])
    inputs = (log_probs_BxLxV.swapaxes(0, 1), jnp.arange(steps))
    alpha_BxE, _ = lax.scan(step, start_BxE, inputs, unroll=unroll)
    return final_log_prob(alpha_BxE, states.final_BxE)


def best_paths(log_probs_BxLxV: Array, length_B: Array, texts_BxS: Array, unroll: int = 1) -> Array:
    """The most probable path that says a text (Viterbi), BxL; the blank behind a line's end.

    Args: as of `log_likelihood`. A text must fit into its line.
    """
    count, steps, classes = log_probs_BxLxV.shape
    states = states_of(texts_BxS, blank=classes - 1)

    def step(best_BxE: Array, inputs: tuple[Array, Array]) -> tuple[Array, Array]:
        log_probs_BxV, t = inputs
        real_Bx1 = (t < length_B)[:, None]
        ways = jnp.stack(ways_into(best_BxE, states.skips_BxE))
        emitted_BxE = jnp.take_along_axis(log_probs_BxV, states.class_BxE, axis=1)
        read_BxE = jnp.max(ways, axis=0) + emitted_BxE
        back_BxE = jnp.where(real_Bx1, jnp.argmax(ways, axis=0), 0)
        return jnp.where(real_Bx1, read_BxE, best_BxE), back_BxE.astype(jnp.int8)

    def go_back(state_B: Array, back_BxE: Array) -> tuple[Array, Array]:
        back_B = jnp.take_along_axis(back_BxE, state_B[:, None], axis=1)[:, 0]
        return state_B - back_B, state_B

    start_BxE = before_any(count, states.class_BxE.shape[1])
    inputs = (log_probs_BxLxV.swapaxes(0, 1), jnp.arange(steps))
    best_BxE, back_LxBxE = lax.scan(step, start_BxE, inputs, unroll=unroll)
    last_B = jnp.argmax(jnp.where(states.final_BxE, best_BxE, 2 * IMPOSSIBLE), axis=1)
    _, state_LxB = lax.scan(go_back, last_B, back_LxBxE, reverse=True, unroll=unroll)
    path_BxL = jnp.take_along_axis(states.class_BxE, state_LxB.T, axis=1)
    return jnp.where(jnp.arange(steps)[None] < length_B[:, None], path_BxL, classes - 1)
