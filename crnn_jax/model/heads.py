"""Heads: what is read off the hidden states, at every step, about the sequence so far."""

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from crnn_jax.tasks import Running

IMPOSSIBLE = -1e30
"""Log-probability of what cannot be: finite, so that no gradient becomes NaN."""

NONE, ANY = -1, -2
"""In `before`: no number leads there with this digit; every number does."""


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
    """Log-probabilities of the numbers that the sequence so far can stand for, at every step."""

    log_probs_TxNxK: Array
    numbers: tuple[int, ...] = flax.struct.field(pytree_node=False)  # the K numbers, ascending

    def loss(self, target_TxN: Array) -> Array:
        """Negative log-likelihood of the right number at every step, TxN."""
        hit_TxNxK = target_TxN[..., None] == jnp.asarray(self.numbers)[None, None]
        return -jnp.sum(hit_TxNxK * self.log_probs_TxNxK, axis=-1)

    def estimate(self) -> Array:
        """The posterior's mean, which minimises the expected squared error, TxN float32."""
        return jnp.exp(self.log_probs_TxNxK) @ jnp.asarray(self.numbers, jnp.float32)

    def answer(self) -> Array:
        """The most likely number, TxN int32."""
        best_TxN = jnp.argmax(self.log_probs_TxNxK, axis=-1)
        return jnp.asarray(self.numbers, jnp.int32)[best_TxN]


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
    """A posterior over digits at every step, and the exact posterior of what they lead to.

    The digits of a sequence are taken as independent given its frames; the distribution of their
    sum, or whatever the task makes of them, follows from theirs step by step, in log space.
    Trained by the likelihood of right answers alone: no digit label is ever seen. (The
    marginalisation of DeepProbLog's MNIST addition, Manhaeve et al. 2018, done as a scan.)

    Attributes:
      task: what the digits lead to.
      digits: number of digit values, 0 … digits - 1.
      max_length: longest sequence; fixes the numbers that can be reached.
      given: whether the hidden states are the digits' log-probabilities already.
    """

    task: Running
    digits: int
    max_length: int
    given: bool = False

    @nn.compact
    def __call__(self, hidden_TxNxH: Array, starts_TxN: Array) -> Posterior:
        """Reads a `Posterior` over `task.numbers` off hidden states."""
        logits = hidden_TxNxH
        if not self.given:
            logits = nn.Dense(self.digits, name="digit")(hidden_TxNxH.astype(jnp.float32))
        numbers = self.task.numbers(self.digits, self.max_length)
        log_probs_TxNxK = number_log_probs(
            nn.log_softmax(logits),
            starts_TxN,
            first=int(np.searchsorted(numbers, self.task.first)),
            before_DxK=before(self.task, self.digits, numbers),
        )
        return Posterior(log_probs_TxNxK, tuple(numbers.tolist()))


def before(task: Running, digits: int, numbers: np.ndarray) -> np.ndarray:
    """From where each digit leads to each number.

    Args:
      task: what digits do to the number so far.
      digits: number of digit values D.
      numbers: the K numbers that are represented; what leads to others is left out.

    Returns:
      DxK: the index of the number before; or `NONE`; or `ANY`, where all lead there.
    """
    table = np.full((digits, len(numbers)), NONE)
    for digit in range(digits):
        following = np.broadcast_to(task.combine(numbers, digit), numbers.shape)
        for k, number in enumerate(numbers):
            (found,) = np.nonzero(following == number)
            assert len(found) in (0, 1, len(numbers)), "the number before must be clear, or all"
            if len(found) == len(numbers):
                table[digit, k] = ANY
            elif len(found):
                table[digit, k] = found[0]
    return table


def number_log_probs(
    log_probs_TxNxD: Array, starts_TxN: Array, first: int, before_DxK: np.ndarray
) -> Array:
    """Log-probabilities of the number that independent digits lead to.

    Args:
      log_probs_TxNxD: log-probabilities of the digit at each step.
      starts_TxN: bool, true where a sequence starts.
      first: index of the number before any digit.
      before_DxK: see `before`.

    Returns:
      TxNxK.
    """
    _, lanes, _ = log_probs_TxNxD.shape
    nothing_yet_1xK = jnp.full((1, before_DxK.shape[1]), IMPOSSIBLE).at[0, first].set(0.0)

    def combine(numbers_NxK: Array, inputs: tuple[Array, Array]) -> tuple[Array, Array]:
        log_probs_NxD, starts_N = inputs
        numbers_NxK = jnp.where(starts_N[:, None], nothing_yet_1xK, numbers_NxK)
        terms = [
            pick(numbers_NxK, before_K) + log_probs_NxD[:, digit, None]
            for digit, before_K in enumerate(before_DxK)
        ]
        numbers_NxK = jax.nn.logsumexp(jnp.stack(terms), axis=0)
        return numbers_NxK, numbers_NxK

    start = jnp.broadcast_to(nothing_yet_1xK, (lanes, before_DxK.shape[1]))
    _, numbers_TxNxK = lax.scan(combine, start, (log_probs_TxNxD, starts_TxN))
    return numbers_TxNxK


def pick(log_probs_NxK: Array, before_K: np.ndarray) -> Array:
    """Log-probability of the number before each number, NxK."""
    count = len(before_K)
    shift = count - 1 - before_K[-1]
    if (before_K == np.where(np.arange(count) < shift, NONE, np.arange(count) - shift)).all():
        # A slice: the gradient of indexing is a scatter, which a CPU does one by one.
        padding = ((0, 0), (shift, 0))
        return jnp.pad(log_probs_NxK, padding, constant_values=IMPOSSIBLE)[:, :count]
    column = jnp.full_like(log_probs_NxK[:, :1], IMPOSSIBLE)
    none_and_any = jnp.concatenate([log_probs_NxK, jnp.zeros_like(column), column], axis=1)
    return none_and_any[:, before_K]  # NONE is the last column, ANY the last but one
