"""Layers over time: a GRU with its input projected outside the loop, and a running mean."""

import functools
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array, lax

from crnn_jax.data.lanes import Lanes
from crnn_jax.model.backend import backend
from crnn_jax.model.memory import keep, recall


def unrolled(steps: int = 0) -> int:
    """Steps that one turn of a loop over time makes; 0 leaves it to the backend.

    On an accelerator each turn costs launches, on a CPU only unrolled code costs: to compile it.
    """
    return steps or (1 if backend() in ("cpu", "any") else 16)


class GRUStep(nn.Module):
    """One step of a GRU whose input is already projected (see `GRU`)."""

    hidden: int
    dtype: jnp.dtype

    def setup(self) -> None:
        """Make the recurrent weights."""
        shape = (self.hidden, self.hidden)
        self.kernels = [
            self.param(f"{gate}_kernel", nn.initializers.orthogonal(), shape)
            for gate in ("reset", "update", "candidate")
        ]
        self.bias = self.param("candidate_bias", nn.initializers.zeros, (self.hidden,))

    def weights(self) -> tuple[Array, Array]:
        """The recurrent kernel Ux3U and the candidate's bias U, in `dtype`."""
        kernel_Ux3U = jnp.concatenate(self.kernels, axis=1)
        return kernel_Ux3U.astype(self.dtype), self.bias.astype(self.dtype)

    def __call__(
        self, carry_NxU: Array, inputs: tuple[Sequence[Array], Array]
    ) -> tuple[Array, Array]:
        """Advance the carry by one step, after setting it to zero where a sequence starts.

        Args:
          carry_NxU: hidden state, float32.
          inputs: the projected input for reset, update and candidate, NxU each; starts_N, bool.

        Returns:
          The new hidden state, twice: as the carry and as the step's output.
        """
        return _advance(*self.weights(), carry_NxU, inputs)


class GRU(nn.Module):
    """A GRU layer (Cho et al. 2014; the variant of `flax.linen.GRUCell` and cuDNN).

    The input's product with its three kernels does not depend on the state, so `project` makes
    it for all frames at once, in one matrix product; only the small recurrent product stays in
    the scan over time.

    Attributes:
      hidden: units U.
      dtype: what matrix products are computed in; parameters and the carry are float32.
      unroll: steps that one turn of the loop makes. With more than one, the gradient is that of
        `unrolled_gru`, and no state is kept (`memory.py`).
    """

    hidden: int
    dtype: jnp.dtype
    unroll: int = 1

    def setup(self) -> None:
        """Make the input projection and the step."""
        self.input = nn.Dense(3 * self.hidden, dtype=self.dtype)
        scan = nn.scan(GRUStep, variable_broadcast="params", split_rngs={"params": False})
        self.step = scan(self.hidden, self.dtype)

    def project(self, features: Array) -> Array:
        """Project features (..., D) to the three gates' inputs (..., 3U)."""
        return self.input(features)

    def __call__(self, gates_TxNx3U: Array, lanes: Lanes) -> Array:
        """See `run`; sequences start where `lanes` say."""
        return self.run(gates_TxNx3U, jnp.asarray(lanes.starts_TxN))

    def run(self, gates_TxNx3U: Array, starts_TxN: Array) -> Array:
        """Run over time.

        Args:
          gates_TxNx3U: projected inputs.
          starts_TxN: bool, true where a sequence starts and the state is set to zero.

        Returns:
          hidden_TxNxU in `dtype`.
        """
        if self.unroll == 1:
            carry = recall(self, jnp.zeros((gates_TxNx3U.shape[1], self.hidden)))
            # Not in the step: XLA does not vectorize a loop over thirds of a row chosen there.
            gates = jnp.split(gates_TxNx3U, 3, axis=-1)
            carry, hidden_TxNxU = self.step(carry, (gates, starts_TxN))
            keep(self, carry)
        else:
            run: Any = unrolled_gru  # of a function with its own gradient no types are known
            weights = self.step.weights()
            hidden_TxNxU = run(*weights, gates_TxNx3U, starts_TxN, self.unroll)
        return hidden_TxNxU.astype(self.dtype)


def _advance(
    kernel_Ux3U: Array, bias_U: Array, carry_NxU: Array, inputs: tuple[Sequence[Array], Array]
) -> tuple[Array, Array]:
    """See `GRUStep`."""
    gates, starts_N = inputs
    carry = jnp.where(starts_N[:, None], 0, carry_NxU)
    _, update, candidate, _ = _open_gates(kernel_Ux3U, bias_U, gates, carry)
    hidden = (1 - update) * candidate + update * carry
    return hidden, hidden


def _open_gates(
    kernel_Ux3U: Array, bias_U: Array, gates: Sequence[Array], carry: Array
) -> tuple[Array, ...]:
    """Reset, update and candidate, and the state's share of the candidate before the reset."""
    reset_in, update_in, candidate_in = gates
    products = jnp.matmul(
        carry.astype(kernel_Ux3U.dtype), kernel_Ux3U, preferred_element_type=carry.dtype
    )
    reset_h, update_h, candidate_h = jnp.split(products, 3, axis=-1)
    reset = nn.sigmoid(reset_in + reset_h)
    update = nn.sigmoid(update_in + update_h)
    candidate_h = candidate_h + jnp.broadcast_to(bias_U, candidate_h.shape)
    return reset, update, jnp.tanh(candidate_in + reset * candidate_h), candidate_h


def _scan_gru(
    kernel_Ux3U: Array, bias_U: Array, gates_TxNx3U: Array, starts_TxN: Array, unroll: int
) -> Array:
    """Hidden states TxNxU, float32."""
    _, lanes, _ = gates_TxNx3U.shape
    carry = jnp.zeros((lanes, len(bias_U)))
    gates = jnp.split(gates_TxNx3U, 3, axis=-1)
    step = functools.partial(_advance, kernel_Ux3U, bias_U)
    return lax.scan(step, carry, (gates, starts_TxN), unroll=unroll)[1]


@functools.partial(jax.custom_vjp, nondiff_argnums=(4,))
def unrolled_gru(
    kernel_Ux3U: Array, bias_U: Array, gates_TxNx3U: Array, starts_TxN: Array, unroll: int
) -> Array:
    """The same as the scan of `GRUStep`, with a gradient of few operations: each is a launch.

    The gates are opened anew for all steps at once; the loop back holds one matrix product a
    step, and the kernel's gradient is one product after it, as in cuDNN.
    """
    return _scan_gru(kernel_Ux3U, bias_U, gates_TxNx3U, starts_TxN, unroll)


def _gru_forward(
    kernel_Ux3U: Array, bias_U: Array, gates_TxNx3U: Array, starts_TxN: Array, unroll: int
) -> tuple[Array, tuple[Array, ...]]:
    hidden_TxNxU = _scan_gru(kernel_Ux3U, bias_U, gates_TxNx3U, starts_TxN, unroll)
    return hidden_TxNxU, (kernel_Ux3U, bias_U, gates_TxNx3U, starts_TxN, hidden_TxNxU)


def _gru_backward(
    unroll: int, saved: tuple[Array, ...], gradient_TxNxU: Array
) -> tuple[Array, Array, Array, None]:
    kernel_Ux3U, bias_U, gates_TxNx3U, starts_TxN, hidden_TxNxU = saved
    before = jnp.concatenate([jnp.zeros_like(hidden_TxNxU[:1]), hidden_TxNxU[:-1]])
    before = jnp.where(starts_TxN[..., None], 0, before)
    gates = jnp.split(gates_TxNx3U, 3, axis=-1)
    reset, update, candidate, candidate_h = _open_gates(kernel_Ux3U, bias_U, gates, before)
    # What a change of the hidden state is multiplied by on its way to each product.
    of_candidate = (1 - update) * (1 - jnp.square(candidate))
    of_update = (before - candidate) * update * (1 - update)
    of_reset = of_candidate * candidate_h * reset * (1 - reset)
    factors_TxNx3U = jnp.concatenate([of_reset, of_update, of_candidate * reset], axis=-1)

    def back(later_NxU: Array, inputs: tuple[Array, ...]) -> tuple[Array, Array]:
        gradient_NxU, factors_Nx3U, update_NxU, starts_N = inputs
        gradient_NxU = gradient_NxU + later_NxU
        products = jnp.tile(gradient_NxU, 3) * factors_Nx3U
        earlier = jnp.matmul(
            products.astype(kernel_Ux3U.dtype), kernel_Ux3U.T, preferred_element_type=jnp.float32
        )
        earlier = earlier + gradient_NxU * update_NxU
        return jnp.where(starts_N[:, None], 0, earlier), gradient_NxU

    inputs = (gradient_TxNxU, factors_TxNx3U, update, starts_TxN)
    _, total_TxNxU = lax.scan(
        back, jnp.zeros_like(gradient_TxNxU[0]), inputs, reverse=True, unroll=unroll
    )
    # XLA would compute the loop's sums anew in each operation that reads them.
    total_TxNxU = lax.optimization_barrier(total_TxNxU)
    products_TxNx3U = jnp.tile(total_TxNxU, 3) * factors_TxNx3U
    kernel_gradient = jnp.einsum(
        "tnh,tng->hg",
        before.astype(kernel_Ux3U.dtype),
        products_TxNx3U.astype(kernel_Ux3U.dtype),
        preferred_element_type=jnp.float32,
    )
    hidden = len(bias_U)
    bias_gradient = products_TxNx3U[..., 2 * hidden :].sum((0, 1))
    gates_gradient = jnp.concatenate(
        [products_TxNx3U[..., : 2 * hidden], total_TxNxU * of_candidate], axis=-1
    )
    return (
        kernel_gradient.astype(kernel_Ux3U.dtype),
        bias_gradient.astype(bias_U.dtype),
        gates_gradient.astype(gates_TxNx3U.dtype),
        None,
    )


unrolled_gru.defvjp(_gru_forward, _gru_backward)


class RunningMean(nn.Module):
    """The mean of a sequence's features so far: the aggregator without memory of the order.

    Attributes:
      unroll: see `GRU`.
    """

    unroll: int = 1

    def project(self, features: Array) -> Array:
        """The features as they are."""
        return features

    @nn.compact
    def __call__(self, features_TxNxD: Array, lanes: Lanes) -> Array:
        """Run over time.

        Args:
          features_TxNxD: the encoder's features.
          lanes: where a sequence starts, the mean begins anew.

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
        inputs = (features, jnp.asarray(lanes.starts_TxN))
        carry, mean_TxNxD = lax.scan(add, recall(self, nothing), inputs, unroll=self.unroll)
        keep(self, carry)
        return mean_TxNxD.astype(features_TxNxD.dtype)
