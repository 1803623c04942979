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

    R is 2S + 1; states behind a text's last blank are never read.

    Attributes:
      class_BxR: the class of each state.
      skips_BxR: whether a path may come from the symbol before, without a blank between.
      final_BxR: whether a path may end there: at the last symbol, or at the blank behind it.
    """

    class_BxR: Array
    skips_BxR: Array
    final_BxR: Array


def states_of(texts_BxS: Array, blank: int) -> States:
    """The states of texts, which are -1 behind their end."""
    symbols_BxS = jnp.where(texts_BxS < 0, blank, texts_BxS)
    pairs_BxSx2 = jnp.stack([jnp.full_like(symbols_BxS, blank), symbols_BxS], axis=-1)
    class_BxR = jnp.pad(
        pairs_BxSx2.reshape(texts_BxS.shape[0], -1), ((0, 0), (0, 1)), constant_values=blank
    )
    before_BxR = jnp.pad(class_BxR, ((0, 0), (2, 0)), constant_values=blank)[:, :-2]
    last_Bx1 = 2 * jnp.sum(texts_BxS >= 0, axis=1, keepdims=True)
    state_1xR = jnp.arange(class_BxR.shape[1])[None]
    return States(
        class_BxR,
        (class_BxR != blank) & (class_BxR != before_BxR),
        (state_1xR == last_Bx1) | (state_1xR == last_Bx1 - 1),
    )


def before_any(count: int, states: int) -> Array:
    """Log-probabilities of the states before the first column: a path starts behind state 0."""
    return jnp.full((count, states), IMPOSSIBLE).at[:, 0].set(0.0)


def ways_into(log_probs_NxR: Array, skips_NxR: Array) -> tuple[Array, Array, Array]:
    """Log-probability of coming to each state from itself, the one before, and two before."""
    padded = jnp.pad(log_probs_NxR, ((0, 0), (2, 0)), constant_values=IMPOSSIBLE)
    return (
        log_probs_NxR,
        padded[:, 1:-1],
        jnp.where(skips_NxR, padded[:, :-2], IMPOSSIBLE),
    )


def advance(log_probs_NxR: Array, emitted_NxR: Array, skips_NxR: Array) -> Array:
    """The forward variables of one more column (Graves et al. 2006, equation 6)."""
    ways = ways_into(log_probs_NxR, skips_NxR)
    # The result is the same whatever `top` is: nothing is gained by its gradient.
    top = lax.stop_gradient(jnp.maximum(jnp.maximum(ways[0], ways[1]), ways[2]))
    total = jnp.exp(ways[0] - top) + jnp.exp(ways[1] - top) + jnp.exp(ways[2] - top)
    return top + jnp.log(total) + emitted_NxR


def final_log_prob(log_probs_BxR: Array, final_BxR: Array) -> Array:
    """Log-probability of all paths that end where a text may end, B."""
    return jax.nn.logsumexp(jnp.where(final_BxR, log_probs_BxR, IMPOSSIBLE), axis=-1)


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
    emitted_TxNxR = jnp.take_along_axis(log_probs_TxNxV, states.class_BxR[sequence_TxN], axis=-1)
    first_NxR = before_any(*emitted_TxNxR.shape[1:])

    def step(alpha_NxR: Array, inputs: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        emitted_NxR, skips_NxR, starts_N = inputs
        alpha_NxR = jnp.where(starts_N[:, None], first_NxR, alpha_NxR)
        alpha_NxR = advance(alpha_NxR, emitted_NxR, skips_NxR)
        return alpha_NxR, alpha_NxR

    inputs = (emitted_TxNxR, states.skips_BxR[sequence_TxN], jnp.asarray(lanes.starts_TxN))
    _, alpha_TxNxR = lax.scan(step, first_NxR, inputs, unroll=unroll)
    step_B, lane_B = lanes.last_frames
    alpha_BxR = alpha_TxNxR[jnp.maximum(step_B, 0), lane_B]  # of missing lines too
    log_prob_B = final_log_prob(alpha_BxR, states.final_BxR)
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

    def step(alpha_BxR: Array, inputs: tuple[Array, Array]) -> tuple[Array, None]:
        log_probs_BxV, t = inputs
        emitted_BxR = jnp.take_along_axis(log_probs_BxV, states.class_BxR, axis=1)
        read_BxR = advance(alpha_BxR, emitted_BxR, states.skips_BxR)
        return jnp.where((t < length_B)[:, None], read_BxR, alpha_BxR), None

    start_BxR = before_any(count, states.class_BxR.shape[1])
    inputs = (log_probs_BxLxV.swapaxes(0, 1), jnp.arange(steps))
    alpha_BxR, _ = lax.scan(step, start_BxR, inputs, unroll=unroll)
    return final_log_prob(alpha_BxR, states.final_BxR)


def best_paths(log_probs_BxLxV: Array, length_B: Array, texts_BxS: Array, unroll: int = 1) -> Array:
    """The most probable path that says a text (Viterbi), BxL; the blank behind a line's end.

    Args: as of `log_likelihood`. A text must fit into its line.
    """
    count, steps, classes = log_probs_BxLxV.shape
    states = states_of(texts_BxS, blank=classes - 1)

    def step(best_BxR: Array, inputs: tuple[Array, Array]) -> tuple[Array, Array]:
        log_probs_BxV, t = inputs
        real_Bx1 = (t < length_B)[:, None]
        ways = jnp.stack(ways_into(best_BxR, states.skips_BxR))
        emitted_BxR = jnp.take_along_axis(log_probs_BxV, states.class_BxR, axis=1)
        read_BxR = jnp.max(ways, axis=0) + emitted_BxR
        back_BxR = jnp.where(real_Bx1, jnp.argmax(ways, axis=0), 0)
        return jnp.where(real_Bx1, read_BxR, best_BxR), back_BxR.astype(jnp.int8)

    def go_back(state_B: Array, back_BxR: Array) -> tuple[Array, Array]:
        back_B = jnp.take_along_axis(back_BxR, state_B[:, None], axis=1)[:, 0]
        return state_B - back_B, state_B

    start_BxR = before_any(count, states.class_BxR.shape[1])
    inputs = (log_probs_BxLxV.swapaxes(0, 1), jnp.arange(steps))
    best_BxR, back_LxBxR = lax.scan(step, start_BxR, inputs, unroll=unroll)
    last_B = jnp.argmax(jnp.where(states.final_BxR, best_BxR, 2 * IMPOSSIBLE), axis=1)
    _, state_LxB = lax.scan(go_back, last_B, back_LxBxR, reverse=True, unroll=unroll)
    path_BxL = jnp.take_along_axis(states.class_BxR, state_LxB.T, axis=1)
    return jnp.where(jnp.arange(steps)[None] < length_B[:, None], path_BxL, classes - 1)
