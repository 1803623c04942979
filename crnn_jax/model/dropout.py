"""Dropout that does not depend on how lanes are divided over devices and micro-batches."""

import jax
import jax.numpy as jnp
from jax import Array


def lane_dropout(hidden_TxNxU: Array, keys: Array, rate: float) -> Array:
    """Dropout with a random key a lane, so that no split of the lanes changes what is dropped.

    Args:
      hidden_TxNxU: features or states.
      keys: one random key a lane, N; or one a frame, TxN, where a split puts others into a lane.
      rate: share of the units set to zero; the others are scaled up by 1 / (1 - rate).
    """
    if rate == 0:
        return hidden_TxNxU
    if keys.ndim == 2:
        of_frames = hidden_TxNxU.reshape(1, -1, hidden_TxNxU.shape[-1])
        return lane_dropout(of_frames, keys.reshape(-1), rate).reshape(hidden_TxNxU.shape)
    steps, _, units = hidden_TxNxU.shape
    kept = jnp.float32(1 - rate)  # whatever JAX_ENABLE_X64 says, the same is drawn
    keep_NxTxU = jax.vmap(lambda key: jax.random.bernoulli(key, kept, (steps, units)))(keys)
    return jnp.where(keep_NxTxU.swapaxes(0, 1), hidden_TxNxU / (1 - rate), 0)


def fold_lanes(keys: Array, number: int) -> Array:
    """Other keys for the same lanes or frames, one set for each number."""
    folded = jax.vmap(jax.random.fold_in, in_axes=(0, None))(keys.reshape(-1), number)
    return folded.reshape(keys.shape)
