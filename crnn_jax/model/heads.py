"""Heads: what is read off the hidden states, at every step, about the sequence so far."""

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
from jax import Array, lax

IMPOSSIBLE = -1e30
"""Log-probability of what cannot be: finite, so that no gradient becomes NaN."""


@flax.struct.dataclass
class Value:
    """A number for the sequence so far, at every step."""

    value_TxN: Array

    def loss(self, target_TxN: Array) -> Array:
        """Squared error at every step, TxN."""
        return jnp.square(self.value_TxN - target_TxN)

    def estimate(self) -> Array:
        """The number that minimises the expected squared error, TxN float32."""
        return self.value_TxN

    def answer(self) -> Array:
        """The most likely whole number, TxN int32."""
        return jnp.round(self.value_TxN).astype(jnp.int32)


@flax.struct.dataclass
class Posterior:
    """Log-probabilities of the totals 0, 1, 2, … of the sequence so far, at every step."""

    log_probs_TxNxK: Array

    def loss(self, target_TxN: Array) -> Array:
        """Negative log-likelihood of the true total at every step, TxN."""
        hit = jax.nn.one_hot(target_TxN, self.log_probs_TxNxK.shape[-1])
        return -jnp.sum(hit * self.log_probs_TxNxK, axis=-1)

    def estimate(self) -> Array:
        """The posterior's mean, which minimises the expected squared error, TxN float32."""
        return jnp.exp(self.log_probs_TxNxK) @ jnp.arange(
            self.log_probs_TxNxK.shape[-1], dtype=jnp.float32
        )

    def answer(self) -> Array:
        """The most likely total, TxN int32."""
        return jnp.argmax(self.log_probs_TxNxK, axis=-1).astype(jnp.int32)


class Last(nn.Module):
    """A dense unit on the hidden state, as in mnistCRNN (2016)."""

    @nn.compact
    def __call__(self, hidden_TxNxH: Array, starts_TxN: Array) -> Value:
        """Reads a `Value` off hidden states; where sequences start does not matter to it."""
        del starts_TxN
        return Value(nn.Dense(1, name="value")(hidden_TxNxH.astype(jnp.float32))[..., 0])


class Cumulative(nn.Module):
    """The sum over the steps so far of a dense unit: a value that grows frame by frame."""

    @nn.compact
    def __call__(self, hidden_TxNxH: Array, starts_TxN: Array) -> Value:
        """Reads a `Value` off hidden states TxNxH; the sum begins anew at `starts_TxN`."""
        shares_TxN = nn.Dense(1, name="value")(hidden_TxNxH.astype(jnp.float32))[..., 0]

        def add(total_N: Array, inputs: tuple[Array, Array]) -> tuple[Array, Array]:
            share_N, starts_N = inputs
            total_N = jnp.where(starts_N, 0, total_N) + share_N
            return total_N, total_N

        _, value_TxN = lax.scan(add, jnp.zeros_like(shares_TxN[0]), (shares_TxN, starts_TxN))
        return Value(value_TxN)


class Marginal(nn.Module):
    """A posterior over digits at every step, and the exact posterior of their total.

    The digits of a sequence are taken as independent given its frames; the total's distribution
    is then the convolution of theirs, computed step by step in log space. Trained by the
    likelihood of totals alone: no digit label is ever seen. (The marginalisation of
    DeepProbLog's MNIST addition, Manhaeve et al. 2018, done as a scan.)

    Attributes:
      digits: number of digit values, 0 … digits - 1.
      max_length: longest sequence; fixes the number of totals K.
    """

    digits: int
    max_length: int

    @nn.compact
    def __call__(self, hidden_TxNxH: Array, starts_TxN: Array) -> Posterior:
        """Reads a `Posterior` over K = (digits - 1) * max_length + 1 totals off hidden states."""
        logits = nn.Dense(self.digits, name="digit")(hidden_TxNxH.astype(jnp.float32))
        totals = (self.digits - 1) * self.max_length + 1
        return Posterior(total_log_probs(nn.log_softmax(logits), starts_TxN, totals))


def total_log_probs(log_probs_TxNxD: Array, starts_TxN: Array, totals: int) -> Array:
    """Log-probabilities of the running total of independent digits.

    Args:
      log_probs_TxNxD: log-probabilities of the digit at each step.
      starts_TxN: bool, true where a sequence starts and the total is 0 before.
      totals: K; totals of K and more are not represented.

    Returns:
      TxNxK.
    """
    _, lanes, digits = log_probs_TxNxD.shape
    nothing_yet_1xK = jnp.full((1, totals), IMPOSSIBLE).at[0, 0].set(0.0)

    def convolve(total_NxK: Array, inputs: tuple[Array, Array]) -> tuple[Array, Array]:
        log_probs_NxD, starts_N = inputs
        total_NxK = jnp.where(starts_N[:, None], nothing_yet_1xK, total_NxK)
        padded = jnp.pad(total_NxK, ((0, 0), (digits - 1, 0)), constant_values=IMPOSSIBLE)
        terms = [
            padded[:, digits - 1 - d : digits - 1 - d + totals] + log_probs_NxD[:, d, None]
            for d in range(digits)
        ]
        total_NxK = jax.nn.logsumexp(jnp.stack(terms), axis=0)
        return total_NxK, total_NxK

    start = jnp.broadcast_to(nothing_yet_1xK, (lanes, totals))
    _, totals_TxNxK = lax.scan(convolve, start, (log_probs_TxNxD, starts_TxN))
    return totals_TxNxK
