"""A GRU layer over time in both directions."""

import flax.linen as nn
import jax.numpy as jnp
from jax import Array, lax

from crnn_jax.data.lanes import Lanes
from crnn_jax.model.recurrent import GRU


class BidirectionalGRU(nn.Module):
    """Two GRUs, one of which runs backward (Schuster & Paliwal 1997): every frame sees them all.

    The backward one starts anew at a sequence's last frame, so that neither the next sequence of a
    lane nor what is behind the last one has any part in it.

    Attributes:
      hidden: units U of each direction.
      dtype, unroll: see `GRU`.
      whole: whether each frame gets the backward state of its sequence's first frame, the only one
        that has seen the whole sequence, and not its own. That is for answers that are read at the
        last frame, whose own backward state has seen nothing but itself.
    """

    hidden: int
    dtype: jnp.dtype
    unroll: int = 1
    whole: bool = False

    def setup(self) -> None:
        """Make the input projection, one for both directions, and the directions."""
        self.input = nn.Dense(6 * self.hidden, dtype=self.dtype)
        self.forward = GRU(self.hidden, self.dtype, self.unroll)
        self.backward = GRU(self.hidden, self.dtype, self.unroll)

    def project(self, features: Array) -> Array:
        """Project features (..., D) to the gates' inputs of both directions (..., 6U)."""
        return self.input(features)

    def __call__(self, gates_TxNx6U: Array, lanes: Lanes) -> Array:
        """Run over time, forward and backward.

        Args:
          gates_TxNx6U: projected inputs.
          lanes: where sequences start and end.

        Returns:
          hidden_TxNx2U in `dtype`: the forward states, then the backward ones.
        """
        gates, gates_back = jnp.split(gates_TxNx6U, 2, axis=-1)
        forward_TxNxU = self.forward(gates, lanes)
        reverse = self.backward.run(
            jnp.flip(gates_back, 0), jnp.flip(jnp.asarray(lanes.ends_TxN), 0)
        )
        backward_TxNxU = jnp.flip(reverse, 0)
        if self.whole:
            steps, count = lanes.starts_TxN.shape
            first_TxN = lax.cummax(jnp.where(lanes.starts_TxN, jnp.arange(steps)[:, None], 0))
            backward_TxNxU = backward_TxNxU[first_TxN, jnp.arange(count)[None]]
        return jnp.concatenate([forward_TxNxU, backward_TxNxU], axis=-1)
