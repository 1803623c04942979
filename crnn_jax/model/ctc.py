"""The head that writes a line: connectionist temporal classification (see `paths`)."""

import dataclasses

import flax.linen as nn
import flax.struct
import jax.numpy as jnp
from jax import Array, lax

from crnn_jax.data.lanes import Lanes
from crnn_jax.model.beam import search
from crnn_jax.model.heads import Answers
from crnn_jax.model.marginal import IMPOSSIBLE
from crnn_jax.model.paths import best_paths, ctc_loss, log_likelihood


@flax.struct.dataclass
class Transcript:
    """Logits of every column's class, one of V symbols or the blank, in lanes.

    Attributes:
      logits_TxNxV: the logits; the last is the blank's.
      log_temperature: log of what logits are divided by for probabilities that people see.
      lanes: the lines.
      steps: columns of the longest line, where several share a lane.
      beam: prefixes kept; 1 takes the most probable path.
      unroll: steps that one turn of a loop makes.
    """

    logits_TxNxV: Array
    log_temperature: Array
    lanes: Lanes
    steps: int = flax.struct.field(pytree_node=False)
    beam: int = flax.struct.field(default=1, pytree_node=False)
    unroll: int = flax.struct.field(default=1, pytree_node=False)

    def loss(self, targets: Array) -> Array:
        """Negative log-likelihood of the right texts BxS, TxN; see `ctc_loss`."""
        return ctc_loss(self.logits_TxNxV, targets, self.lanes, self.unroll)

    @property
    def logits_BxLxV(self) -> Array:
        """The logits one line a row."""
        steps, count, _ = self.logits_TxNxV.shape
        alone = count == self.lanes.count  # then a line may be longer than any in training
        return self.lanes.rows(self.logits_TxNxV, steps if alone else min(steps, self.steps))

    def answers(self) -> Answers:
        """The texts, the columns of each symbol, and how sure they are.

        A symbol's confidence is the probability of its class where that is highest among its
        columns, a text's that of all paths that say it.
        """
        logits_BxLxV, length_B = self.logits_BxLxV, jnp.asarray(self.lanes.length_B)
        if self.beam > 1:
            log_probs_BxLxV = nn.log_softmax(logits_BxLxV)
            found_BxL = search(log_probs_BxLxV, length_B, self.beam, self.unroll)
            path_BxL = best_paths(log_probs_BxLxV, length_B, found_BxL, self.unroll)
        else:
            path_BxL = jnp.argmax(logits_BxLxV, axis=-1)
        log_probs_BxLxV = nn.log_softmax(logits_BxLxV / jnp.exp(self.log_temperature))
        answers = read(path_BxL, log_probs_BxLxV, length_B)
        log_prob_B = log_likelihood(log_probs_BxLxV, length_B, answers.answer, self.unroll)
        return dataclasses.replace(answers, whole=jnp.exp(jnp.minimum(log_prob_B, 0.0)))


def read(path_BxL: Array, log_probs_BxLxV: Array, length_B: Array) -> Answers:
    """What paths say: repeated classes are one symbol, blanks none.

    Args:
      path_BxL: the class of each column.
      log_probs_BxLxV: log-probability of each class.
      length_B: columns of each line.
    """
    count, steps, classes = log_probs_BxLxV.shape
    step_1xL = jnp.arange(steps)[None]
    symbol_BxL = (path_BxL != classes - 1) & (step_1xL < length_B[:, None])
    before_BxL = jnp.pad(path_BxL, ((0, 0), (1, 0)), constant_values=-1)[:, :-1]
    begins_BxL = symbol_BxL & (path_BxL != before_BxL)
    place_BxL = jnp.where(symbol_BxL, jnp.cumsum(begins_BxL, axis=1) - 1, steps)
    at = (jnp.arange(count)[:, None], place_BxL)
    prob_BxL = jnp.exp(jnp.take_along_axis(log_probs_BxLxV, path_BxL[..., None], axis=-1))[..., 0]

    none_BxL = jnp.full((count, steps), -1, jnp.int32)
    text_BxL = none_BxL.at[at].set(path_BxL.astype(jnp.int32), mode="drop")
    last_BxL = none_BxL.at[at].max(step_1xL, mode="drop")
    first_BxL = jnp.full_like(none_BxL, steps).at[at].min(step_1xL, mode="drop")
    confidence_BxL = jnp.zeros((count, steps)).at[at].max(prob_BxL, mode="drop")
    there_BxL = text_BxL >= 0
    return Answers(
        text_BxL,
        confidence=jnp.where(there_BxL, confidence_BxL, 1.0),
        steps=jnp.stack([jnp.where(there_BxL, first_BxL, -1), last_BxL], axis=-1),
    )


def fit_temperature(logits_BxLxV: Array, length_B: Array, texts_BxS: Array) -> Array:
    """The temperature under which the right texts of lines are most probable.

    Guo et al., "On calibration of modern neural networks" (2017), section 4.2, with the
    likelihood of texts in place of that of classes. Texts that do not fit count for nothing.

    Args:
      logits_BxLxV: of the classes of each column, one line a row; of validation lines.
      length_B: columns of each line.
      texts_BxS: the right texts, -1 behind the end.

    Returns:
      A number between 0.09 and 23, to 5 %; 1 where no text fits.
    """

    def loss(temperature: Array) -> Array:
        log_probs_BxLxV = nn.log_softmax(logits_BxLxV / temperature)
        log_prob_B = log_likelihood(log_probs_BxLxV, length_B, texts_BxS)
        return -jnp.sum(jnp.where(log_prob_B > IMPOSSIBLE / 2, log_prob_B, 0.0))

    def best(middle: Array | float, exponents: Array) -> Array:
        # Of equals the one nearest to the middle: where no text fits, all are.
        temperatures = middle * 2.0 ** exponents[jnp.argsort(jnp.abs(exponents))]
        return temperatures[jnp.argmin(lax.map(loss, temperatures))]

    coarse = best(1.0, jnp.linspace(-3, 4, 15))
    return best(coarse, jnp.linspace(-0.5, 0.5, 17))


class CTC(nn.Module):
    """A dense layer to the classes of each column.

    Its parameter `log_temperature` takes no part in training: `fit_temperature` gives what it is
    set to afterwards.

    Attributes:
      vocabulary: number of symbols V, without the blank.
      steps, beam, unroll: see `Transcript`.
    """

    vocabulary: int
    steps: int
    beam: int = 1
    unroll: int = 1

    @nn.compact
    def __call__(
        self, hidden_TxNxU: Array, lanes: Lanes, targets: Array | None = None
    ) -> Transcript:
        """Read a `Transcript` off hidden states."""
        del targets
        logits = nn.Dense(self.vocabulary + 1, name="symbol")(hidden_TxNxU.astype(jnp.float32))
        log_temperature = self.param("log_temperature", nn.initializers.zeros, ())
        return Transcript(
            logits, lax.stop_gradient(log_temperature), lanes, self.steps, self.beam, self.unroll
        )
