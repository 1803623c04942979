"""The head that is exact: from what each frame may show to what the sequence may add up to."""

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from crnn_jax.data.lanes import Lanes
from crnn_jax.model.heads import Answers
from crnn_jax.model.memory import keep, recall
from crnn_jax.model.question import Recurrence

IMPOSSIBLE = -1e30
"""Log-probability of what cannot be: finite, so that no gradient becomes NaN."""

NONE, ANY = -1, -2
"""In `before`: no number leads there with this class; every number does."""


@flax.struct.dataclass
class Posterior:
    """Log-probabilities of the numbers that the sequence so far can stand for, at every step."""

    log_probs_TxNxK: Array
    numbers: tuple[int, ...] = flax.struct.field(pytree_node=False)  # the K numbers, ascending

    def loss(self, targets: Array) -> Array:
        """Negative log-likelihood of the right number at every step, TxN."""
        hit_TxNxK = targets[..., None] == jnp.asarray(self.numbers)[None, None]
        return -jnp.sum(hit_TxNxK * self.log_probs_TxNxK, axis=-1)

    @property
    def probs_TxNxK(self) -> Array:
        """The probability of each number, at every step."""
        return jnp.exp(self.log_probs_TxNxK)

    def answers(self) -> Answers:
        """The most likely number, the posterior's mean and the probability of that number."""
        best_TxN = jnp.argmax(self.log_probs_TxNxK, axis=-1)
        return Answers(
            jnp.asarray(self.numbers, jnp.int32)[best_TxN],
            self.probs_TxNxK @ jnp.asarray(self.numbers, jnp.float32),
            jnp.exp(jnp.max(self.log_probs_TxNxK, axis=-1)),
        )


@flax.struct.dataclass
class Read:
    """Numbers too large for a posterior over all of them: what the frames are read as leads to.

    Attributes:
      answer_TxN: float32, what the most likely class of each frame leads to.
      mean_TxN: the posterior's mean; exact, for `Recurrence.combine` is linear and the frames'
        classes are independent.
      confidence_TxN: probability that all frames so far are of these classes.
    """

    answer_TxN: Array
    mean_TxN: Array
    confidence_TxN: Array

    def loss(self, targets: Array) -> Array:
        """Nothing: tasks refuse to train on such numbers."""
        raise TypeError("numbers beyond 32 bits are tested, not trained on")

    def answers(self) -> Answers:
        """See `Read`."""
        return Answers(self.answer_TxN, self.mean_TxN, self.confidence_TxN)


class Marginal(nn.Module):
    """A posterior over classes at every step, and the exact posterior of what they lead to.

    The classes of a sequence's frames are taken as independent given the frames. The distribution
    of their sum, or of whatever the recurrence makes of them, follows step by step in log space.
    It is trained by the likelihood of right answers alone: no label of a frame is ever seen. (The
    marginalisation of DeepProbLog's MNIST addition, Manhaeve et al. 2018, done as a scan.)

    Attributes:
      recurrence: what the classes lead to.
      classes: number of classes, 0 … classes - 1.
      max_length: longest sequence; fixes the numbers that can be reached.
      given: whether the hidden states are the classes' log-probabilities already.
      unroll: steps that one turn of the loop over time makes.
    """

    recurrence: Recurrence
    classes: int
    max_length: int
    given: bool = False
    unroll: int = 1

    @nn.compact
    def __call__(
        self, hidden_TxNxU: Array, lanes: Lanes, targets: Array | None = None
    ) -> Posterior | Read:
        """Read a `Posterior` over all reachable numbers off hidden states, where int32 holds them.

        Where it does not, `Read`.
        """
        del targets
        logits = hidden_TxNxU
        if not self.given:
            logits = nn.Dense(self.classes, name="digit")(hidden_TxNxU.astype(jnp.float32))
        if self.recurrence.longest(self.classes, self.max_length) < self.max_length:
            return self._read(nn.softmax(logits), lanes)
        numbers = self.recurrence.numbers(self.classes, self.max_length)
        log_probs_TxNxK = number_log_probs(
            nn.log_softmax(logits),
            jnp.asarray(lanes.starts_TxN),
            first=int(np.searchsorted(numbers, self.recurrence.first)),
            before_GxK=before(self.recurrence, self.classes, numbers),
            unroll=self.unroll,
            so_far_NxK=recall(self, None),
        )
        keep(self, log_probs_TxNxK[-1])
        return Posterior(log_probs_TxNxK, tuple(numbers.tolist()))

    def _read(self, probs_TxNxG: Array, lanes: Lanes) -> Read:
        best_TxN = jnp.argmax(probs_TxNxG, axis=-1).astype(jnp.float32)
        mean_TxN = probs_TxNxG @ jnp.arange(self.classes, dtype=jnp.float32)
        rules = (self.recurrence, self.recurrence, Recurrence(1, jnp.multiply))
        values = (best_TxN, mean_TxN, jnp.max(probs_TxNxG, axis=-1))
        return Read(
            *(
                rule.after_each(value_TxN, lanes.starts_TxN, self.unroll)
                for rule, value_TxN in zip(rules, values, strict=True)
            )
        )


def before(recurrence: Recurrence, classes: int, numbers: np.ndarray) -> np.ndarray:
    """From which number each class leads to each number.

    Args:
      recurrence: what a class does to the number so far.
      classes: number of classes G.
      numbers: the K numbers that are represented; what leads to others is left out.

    Returns:
      GxK: the index of the number before; or `NONE`; or `ANY`, where all lead there.
    """
    table = np.full((classes, len(numbers)), NONE)
    for digit in range(classes):
        following = np.broadcast_to(recurrence.combine(numbers, digit), numbers.shape)
        for k, number in enumerate(numbers):
            (found,) = np.nonzero(following == number)
            assert len(found) in (0, 1, len(numbers)), "the number before must be clear, or all"
            if len(found) == len(numbers):
                table[digit, k] = ANY
            elif len(found):
                table[digit, k] = found[0]
    return table


def number_log_probs(
    log_probs_TxNxG: Array,
    starts_TxN: Array,
    first: int,
    before_GxK: np.ndarray,
    unroll: int = 1,
    so_far_NxK: Array | None = None,
) -> Array:
    """Log-probabilities of the number that independent classes lead to.

    Args:
      log_probs_TxNxG: log-probabilities of the class at each step.
      starts_TxN: bool, true where a sequence starts.
      first: index of the number before any frame.
      before_GxK: see `before`.
      unroll: see `Marginal`.
      so_far_NxK: log-probabilities of the numbers before these steps, where there were any.

    Returns:
      TxNxK.
    """
    _, lanes, _ = log_probs_TxNxG.shape
    nothing_yet_1xK = jnp.full((1, before_GxK.shape[1]), IMPOSSIBLE).at[0, first].set(0.0)

    def combine(numbers_NxK: Array, inputs: tuple[Array, Array]) -> tuple[Array, Array]:
        log_probs_NxG, starts_N = inputs
        numbers_NxK = jnp.where(starts_N[:, None], nothing_yet_1xK, numbers_NxK)
        terms = [
            pick(numbers_NxK, before_K) + log_probs_NxG[:, digit, None]
            for digit, before_K in enumerate(before_GxK)
        ]
        numbers_NxK = jax.nn.logsumexp(jnp.stack(terms), axis=0)
        return numbers_NxK, numbers_NxK

    if so_far_NxK is None:
        so_far_NxK = jnp.broadcast_to(nothing_yet_1xK, (lanes, before_GxK.shape[1]))
    inputs = (log_probs_TxNxG, starts_TxN)
    _, numbers_TxNxK = lax.scan(combine, so_far_NxK, inputs, unroll=unroll)
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
