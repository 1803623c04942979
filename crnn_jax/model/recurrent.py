"""Aggregators: GRU layers over time, with their input projected outside the loop; a running mean.

An aggregator is a row of layers. A layer's `project` needs no time: that of the first layer runs
with the encoder. Called with what `project` made and with starts, a layer returns hidden states.
"""

from collections.abc import Callable, Sequence

import flax.linen as nn
import jax.numpy as jnp
from jax import Array, lax
from ml_collections import ConfigDict

from crnn_jax import UserError


class GRUStep(nn.Module):
    """One step of a GRU whose input is already projected (see `GRU`)."""

    hidden: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(
        self, carry_NxH: Array, inputs: tuple[Sequence[Array], Array]
    ) -> tuple[Array, Array]:
        """Advances the carry by one step, after setting it to zero where a sequence starts.

        Args:
          carry_NxH: hidden state.
          inputs: the projected input for reset, update and candidate, NxH each; starts_N, bool.

        Returns:
          The new hidden state, twice: as the carry and as the step's output.
        """
        (reset_in, update_in, candidate_in), starts_N = inputs
        initializer = nn.initializers.orthogonal()
        blocks = [
            self.param(f"{gate}_kernel", initializer, (self.hidden, self.hidden))
            for gate in ("reset", "update", "candidate")
        ]
        bias = self.param("candidate_bias", nn.initializers.zeros, (self.hidden,))
        kernel = jnp.concatenate(blocks, axis=1).astype(self.dtype)

        carry = jnp.where(starts_N[:, None], 0, carry_NxH)
        reset_h, update_h, candidate_h = jnp.split(carry @ kernel, 3, axis=-1)
        reset = nn.sigmoid(reset_in + reset_h)
        update = nn.sigmoid(update_in + update_h)
        candidate = jnp.tanh(candidate_in + reset * (candidate_h + bias.astype(self.dtype)[None]))
        hidden = (1 - update) * candidate + update * carry
        return hidden, hidden


class GRU(nn.Module):
    """A GRU layer (Cho et al. 2014; the variant of `flax.linen.GRUCell` and cuDNN).

    The input's product with its three kernels does not depend on the state, so `project` makes
    it for all frames at once, in one matrix product; only the small recurrent product stays in
    the scan over time.

    Attributes:
      hidden: units H.
      dtype: what is computed in, the carry too; parameters are float32.
    """

    hidden: int
    dtype: jnp.dtype

    def setup(self) -> None:
        """Makes the input projection and the scanned step."""
        self.input = nn.Dense(3 * self.hidden, dtype=self.dtype)
        scan = nn.scan(
            GRUStep,
            variable_broadcast="params",
            split_rngs={"params": False},
            in_axes=0,
            out_axes=0,
        )
        self.step = scan(self.hidden, self.dtype)

    def project(self, features: Array) -> Array:
        """Projects features (..., D) to the three gates' inputs (..., 3H)."""
        return self.input(features)

    def __call__(self, gates_TxNx3H: Array, starts_TxN: Array) -> Array:
        """Runs over time.

        Args:
          gates_TxNx3H: projected inputs.
          starts_TxN: bool, true where a sequence starts and the state is set to zero.

        Returns:
          hidden_TxNxH in `dtype`.
        """
        carry = jnp.zeros((gates_TxNx3H.shape[1], self.hidden), self.dtype)
        # Not in the step: XLA's loop over thirds of a row that is chosen there does not vectorize.
        gates = jnp.split(gates_TxNx3H, 3, axis=-1)
        _, hidden_TxNxH = self.step(carry, (gates, starts_TxN))
        return hidden_TxNxH


class RunningMean(nn.Module):
    """The mean of a sequence's features so far: the aggregator without memory of the order."""

    def project(self, features: Array) -> Array:
        """The features as they are."""
        return features

    @nn.compact
    def __call__(self, features_TxNxD: Array, starts_TxN: Array) -> Array:
        """Runs over time.

        Args:
          features_TxNxD: the encoder's features.
          starts_TxN: bool, true where a sequence starts.

        Returns:
          mean_TxNxD in the features' dtype.
        """

        def add(
            carry: tuple[Array, Array], inputs: tuple[Array, Array]
        ) -> tuple[tuple[Array, Array], Array]:
            total_NxD, count_N = carry
            features_NxD, starts_N = inputs
            total_NxD = jnp.where(starts_N[:, None], 0, total_NxD) + features_NxD
            count_N = jnp.where(starts_N, 0, count_N) + 1
            return (total_NxD, count_N), total_NxD / count_N[:, None]

        features = features_TxNxD.astype(jnp.float32)
        nothing = (jnp.zeros_like(features[0]), jnp.zeros(features.shape[1]))
        _, mean_TxNxD = lax.scan(add, nothing, (features, starts_TxN))
        return mean_TxNxD.astype(features_TxNxD.dtype)


def gru_layers(model: ConfigDict) -> tuple[GRU, ...]:
    """GRU layers of `model.gru_units`."""
    if not model.gru_units:
        raise UserError(
            "--config.model.gru_units=() with model.aggregator=gru: expected the units of one or "
            'more layers, as in "(128,)"'
        )
    dtype = jnp.dtype(model.dtype)
    return tuple(GRU(units, dtype, name=f"gru_{i}") for i, units in enumerate(model.gru_units))


def mean_layers(model: ConfigDict) -> tuple[RunningMean, ...]:
    """The running mean alone."""
    _refuse_units(model)
    return (RunningMean(name="running_mean"),)


def no_layers(model: ConfigDict) -> tuple[()]:
    """Each frame's features alone."""
    _refuse_units(model)
    return ()


def _refuse_units(model: ConfigDict) -> None:
    if model.gru_units:
        raise UserError(
            f"--config.model.gru_units={model.gru_units} with model.aggregator="
            f"{model.aggregator}: expected ()"
        )


AGGREGATORS: dict[str, Callable[[ConfigDict], tuple[nn.Module, ...]]] = {
    "gru": gru_layers,
    "mean": mean_layers,
    "none": no_layers,
}
"""The layers of a config, by its `model.aggregator`."""
