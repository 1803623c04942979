"""Prefix beam search: the most probable text of a line under CTC, and not of one path alone.

In this file K are the prefixes of a beam, C the symbols that may follow one, and P and Q two of the
K prefixes that are compared.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array, lax

from crnn_jax.model.marginal import IMPOSSIBLE

EMPTY = -1
"""In the place of a symbol: there is none."""

HASH_FACTORS = (0x9E3779B1, 0x85EBCA6B)
"""Odd, so that prefixes which differ in one symbol alone never share a hash."""


class Beam(NamedTuple):
    """The K most probable prefixes of a text so far, the best first.

    Attributes:
      blank_BxK, symbol_BxK: log-probability of all paths that say the prefix and end in a blank,
        and of those that end in its last symbol.
      last_BxK: the last symbol; `EMPTY` where there is none.
      hash_Bx2xK, parent_Bx2xK: stand for the prefix, and for the same without its last symbol. Two
        of 32 bits: that they confuse any two prefixes of a million lines is not to be expected.
    """

    blank_BxK: Array
    symbol_BxK: Array
    last_BxK: Array
    hash_Bx2xK: Array
    parent_Bx2xK: Array

    @property
    def total_BxK(self) -> Array:
        """Log-probability of each prefix."""
        return jnp.logaddexp(self.blank_BxK, self.symbol_BxK)


def search(log_probs_BxLxV: Array, length_B: Array, beam: int, unroll: int = 1) -> Array:
    """Find the most probable texts by prefix beam search.

    Graves, "Sequence transduction with recurrent neural networks" (2012), and Hannun et al.,
    "First-pass large vocabulary continuous speech recognition using bi-directional recurrent
    DNNs" (2014), without a language model.

    Args:
      log_probs_BxLxV: of the classes of each column; the last class is the blank.
      length_B: columns of each line.
      beam: prefixes K that are kept.
      unroll: columns that one turn of the loop reads.

    Returns:
      The texts, BxL int32, -1 behind the end.
    """
    count, steps, _ = log_probs_BxLxV.shape

    def step(beams: Beam, inputs: tuple[Array, Array]) -> tuple[Beam, tuple[Array, Array]]:
        log_probs_BxV, t = inputs
        read, source_BxK, written_BxK = extend(beams, log_probs_BxV)
        real_B = t < length_B

        def hold(new: Array, old: Array) -> Array:
            return jnp.where(real_B.reshape(-1, *[1] * (new.ndim - 1)), new, old)

        beams = Beam(*map(hold, read, beams))
        stays_1xK = jnp.arange(beam)[None]
        return beams, (hold(source_BxK, stays_1xK), hold(written_BxK, jnp.array(EMPTY)))

    def back(k_B: Array, inputs: tuple[Array, Array]) -> tuple[Array, Array]:
        source_BxK, written_BxK = (jnp.take_along_axis(x, k_B[:, None], 1)[:, 0] for x in inputs)
        return source_BxK, written_BxK

    inputs = (log_probs_BxLxV.swapaxes(0, 1), jnp.arange(steps))
    _, history = lax.scan(step, empty(count, beam), inputs, unroll=unroll)
    best_B = jnp.zeros(count, jnp.int32)
    _, written_LxB = lax.scan(back, best_B, history, reverse=True, unroll=unroll)
    return compact(written_LxB.T)


def empty(count: int, beam: int) -> Beam:
    """The beams of B lines before anything is read: the empty prefix, and nothing else."""
    impossible_BxK = jnp.full((count, beam), IMPOSSIBLE)
    hash_Bx2xK = jnp.zeros((count, 2, beam), jnp.uint32)
    return Beam(
        impossible_BxK.at[:, 0].set(0.0),
        impossible_BxK,
        jnp.full((count, beam), EMPTY),
        hash_Bx2xK,
        hash_Bx2xK,
    )


def extend(beams: Beam, log_probs_BxV: Array) -> tuple[Beam, Array, Array]:
    """Read one column.

    Returns:
      The new beams; and for each prefix the one that it was made of, BxK, and the symbol that it
      got, BxK, or `EMPTY`.
    """
    beam, total_BxK = beams.last_BxK.shape[1], beams.total_BxK
    of_last_BxK = jnp.take_along_axis(log_probs_BxV, beams.last_BxK, axis=1)
    of_last_BxK = jnp.where(beams.last_BxK == EMPTY, IMPOSSIBLE, of_last_BxK)

    # More symbols than prefixes, and one that repeats the last, can never all be kept.
    log_probs_BxC, symbols_BxC = lax.top_k(
        log_probs_BxV[:, :-1], min(log_probs_BxV.shape[1] - 1, beam + 1)
    )
    repeats_BxKxC = beams.last_BxK[..., None] == symbols_BxC[:, None]
    before_BxKxC = jnp.where(repeats_BxKxC, beams.blank_BxK[..., None], total_BxK[..., None])
    longer_BxKxC = before_BxKxC + log_probs_BxC[:, None]

    # Where prefix q is prefix p and one symbol, what would make q of p is part of q.
    is_parent_BxQxP = (beams.parent_Bx2xK[..., None] == beams.hash_Bx2xK[:, :, None]).all(axis=1)
    is_parent_BxQxP &= (beams.last_BxK != EMPTY)[..., None]
    repeats_BxQxP = beams.last_BxK[..., None] == beams.last_BxK[:, None]
    parents_BxQxP = jnp.where(repeats_BxQxP, beams.blank_BxK[:, None], total_BxK[:, None])
    parent_BxQ = jnp.max(jnp.where(is_parent_BxQxP, parents_BxQxP, IMPOSSIBLE), axis=-1)
    same_BxQxPxC = is_parent_BxQxP[..., None] & repeats_BxKxC[:, :, None]
    longer_BxKxC = jnp.where(same_BxQxPxC.any(axis=1), IMPOSSIBLE, longer_BxKxC)

    blank_BxK = total_BxK + log_probs_BxV[:, -1:]
    symbol_BxK = jnp.logaddexp(beams.symbol_BxK, parent_BxQ) + of_last_BxK
    scores = jnp.concatenate(
        [jnp.logaddexp(blank_BxK, symbol_BxK), longer_BxKxC.reshape(total_BxK.shape[0], -1)], axis=1
    )
    # Of equals the first are kept: where there are fewer prefixes, an empty place stays empty.
    score_BxK, place_BxK = lax.top_k(scores, beam)
    stays_BxK = place_BxK < beam
    source_BxK = jnp.where(stays_BxK, place_BxK, (place_BxK - beam) // symbols_BxC.shape[1])
    symbol_place_BxK = jnp.where(stays_BxK, 0, (place_BxK - beam) % symbols_BxC.shape[1])
    written_BxK = jnp.take_along_axis(symbols_BxC, symbol_place_BxK, axis=1)

    def of_source(x: Array) -> Array:
        index = source_BxK if x.ndim == 2 else source_BxK[:, None]
        return jnp.take_along_axis(x, index, axis=-1)

    hash_Bx2xK = of_source(beams.hash_Bx2xK)
    stays_Bx1xK = stays_BxK[:, None]
    read = Beam(
        jnp.where(stays_BxK, of_source(blank_BxK), IMPOSSIBLE),
        jnp.where(stays_BxK, of_source(symbol_BxK), score_BxK),
        jnp.where(stays_BxK, of_source(beams.last_BxK), written_BxK),
        jnp.where(stays_Bx1xK, hash_Bx2xK, hashed(hash_Bx2xK, written_BxK)),
        jnp.where(stays_Bx1xK, of_source(beams.parent_Bx2xK), hash_Bx2xK),
    )
    return read, source_BxK, jnp.where(stays_BxK, EMPTY, written_BxK)


def hashed(hash_Bx2xK: Array, symbol_BxK: Array) -> Array:
    """The hashes of prefixes with one more symbol."""
    factors = jnp.array(HASH_FACTORS, jnp.uint32)[None, :, None]
    mixed = (hash_Bx2xK + symbol_BxK.astype(jnp.uint32)[:, None] + 1) * factors
    return mixed ^ (mixed >> 15)


def compact(written_BxL: Array) -> Array:
    """Symbols moved to the front of their row; `EMPTY` behind them."""
    steps = written_BxL.shape[1]
    place_BxL = jnp.where(written_BxL == EMPTY, steps, jnp.cumsum(written_BxL != EMPTY, axis=1) - 1)
    row_Bx1 = jnp.arange(written_BxL.shape[0])[:, None]
    text_BxL = jnp.full_like(written_BxL, EMPTY)
    return text_BxL.at[row_Bx1, place_BxL].set(written_BxL, mode="drop")
