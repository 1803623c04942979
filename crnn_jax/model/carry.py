"""The head that adds as on paper: from what each frame may show to the digits of a sum."""

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
from jax import Array, lax

from crnn_jax.data.lanes import Lanes
from crnn_jax.model.heads import Answers
from crnn_jax.model.marginal import IMPOSSIBLE
from crnn_jax.model.question import Addends

BASE = 10
"""Digits there are; W below are the ways in which the frames may be two numbers, Z what two
digits may add up to, 0 to 18."""


@flax.struct.dataclass
class WrittenSum:
    """Log-probabilities of what the digits of each column add up to, the units first.

    Attributes:
      ways_BxW: of each way in which the frames may be two numbers.
      totals_DxBxWxZ: of the total of each column, without what is carried.
    """

    ways_BxW: Array
    totals_DxBxWxZ: Array

    def loss(self, targets: Array) -> Array:
        """Negative log-likelihood of the right sum BxS, B."""

        def column(carry_BxWxC: Array, inputs: tuple[Array, Array]) -> tuple[Array, None]:
            totals_BxWxZ, symbol_B = inputs
            hit_Bx1x1xV = jax.nn.one_hot(symbol_B, BASE)[:, None, None]
            return jnp.sum(hit_Bx1x1xV * write(carry_BxWxC, totals_BxWxZ), axis=-1), None

        inputs = (self.totals_DxBxWxZ, targets[:, :-1].T)
        carry_BxWxC, _ = lax.scan(column, self._nothing_carried(), inputs)
        last_Bx1xC = jax.nn.one_hot(targets[:, -1], 2)[:, None]
        return -jax.nn.logsumexp(jnp.sum(last_Bx1xC * carry_BxWxC, axis=-1), axis=-1)

    def answers(self) -> Answers:
        """The sum, each symbol the likeliest after those before it, and their probabilities."""

        def column(carry_BxWxC: Array, totals_BxWxZ: Array) -> tuple[Array, tuple[Array, Array]]:
            joint_BxWxCxV = write(carry_BxWxC, totals_BxWxZ)
            symbol_B, sure_B = _likeliest(jax.nn.logsumexp(joint_BxWxCxV, axis=(1, 2)))
            chosen_Bx1x1x1 = symbol_B[:, None, None, None]
            carry_BxWxC = jnp.take_along_axis(joint_BxWxCxV, chosen_Bx1x1x1, axis=-1)[..., 0]
            return carry_BxWxC, (symbol_B, sure_B)

        carry_BxWxC, (symbols_DxB, sure_DxB) = lax.scan(
            column, self._nothing_carried(), self.totals_DxBxWxZ
        )
        last_B, sure_B = _likeliest(jax.nn.logsumexp(carry_BxWxC, axis=1))
        return Answers(
            jnp.concatenate([symbols_DxB.T, last_B[:, None]], axis=1),
            confidence=jnp.concatenate([sure_DxB.T, sure_B[:, None]], axis=1),
        )

    def _nothing_carried(self) -> Array:
        return self.ways_BxW[..., None] + jnp.array([[[0.0, IMPOSSIBLE]]])


def _likeliest(log_probs_BxV: Array) -> tuple[Array, Array]:
    """The likeliest symbols and their probabilities."""
    best_B = jnp.argmax(log_probs_BxV, axis=-1).astype(jnp.int32)
    return best_B, jnp.max(nn.softmax(log_probs_BxV), axis=-1)


def write(carry_BxWxC: Array, totals_BxWxZ: Array) -> Array:
    """Log-probabilities of what is carried from a column and of the symbol written there.

    Args:
      carry_BxWxC: log-probabilities of what is carried to it, 0 or 1.
      totals_BxWxZ: of what its two digits add up to.

    Returns:
      BxWxCxV, 2 times 10: a total of 10 c + v, or one less where 1 is carried to it.
    """
    ends = ((0, 0), (0, 0), (1, 1))
    padded = jnp.pad(totals_BxWxZ, ends, constant_values=IMPOSSIBLE)
    same, less = (x.reshape(*x.shape[:-1], 2, BASE) for x in (padded[..., 1:], padded[..., :-1]))
    return jnp.logaddexp(
        carry_BxWxC[..., 0, None, None] + same, carry_BxWxC[..., 1, None, None] + less
    )


def totals(first_xV: Array, second_xV: Array) -> Array:
    """Log-probabilities of the sum of two digits …xZ, from those of each."""
    axes = [(0, 0)] * (first_xV.ndim - 1)
    terms = [
        jnp.pad(first_xV, [*axes, (v, BASE - 1 - v)], constant_values=IMPOSSIBLE)
        + second_xV[..., v, None]
        for v in range(BASE)
    ]
    return jax.nn.logsumexp(jnp.stack(terms), axis=0)


class Carry(nn.Module):
    """A posterior over classes for every frame, and the exact posterior of the sum they lead to.

    The classes of a sequence's frames are taken as independent given the frames. The likelihood of
    a written sum follows column by column, with what is carried, so that numbers may have any
    length; where it is not known which frame parts the two numbers, it is summed over all of them.
    Trained by right answers alone: no label of a frame is ever seen.

    Attributes:
      addends: what the frames are.
      classes: number of classes; the last one is the blank, where there is one.
    """

    addends: Addends
    classes: int

    @nn.compact
    def __call__(
        self, hidden_TxNxU: Array, lanes: Lanes, targets: Array | None = None
    ) -> WrittenSum:
        """Read a `WrittenSum` off hidden states."""
        del targets
        # From zero: a column tells its total up to what is carried, which says nothing of whether
        # the digits are even. Guessed wrong at random, all digits are read as one more or one less.
        dense = nn.Dense(self.classes, kernel_init=nn.initializers.zeros, name="digit")
        logits = dense(hidden_TxNxU.astype(jnp.float32))
        read = self._parted if self.addends.parted else self._halves
        return read(nn.log_softmax(logits), lanes)

    def _halves(self, log_probs_TxNxG: Array, lanes: Lanes) -> WrittenSum:
        """Numbers of equally many digits; one sequence a lane."""
        digits = self.addends.digits
        first, second = log_probs_TxNxG[:digits][::-1], log_probs_TxNxG[digits:][::-1]
        certain_BxW = jnp.zeros((lanes.count, 1))
        return WrittenSum(certain_BxW, totals(first, second)[:, :, None])

    def _parted(self, log_probs_TxNxG: Array, lanes: Lanes) -> WrittenSum:
        """Numbers with a blank between them, which may be behind 1 to `digits` frames."""
        digits, place_1xD = self.addends.digits, jnp.arange(self.addends.digits)[None]
        steps = log_probs_TxNxG.shape[0]
        shown_TxNx1 = jax.nn.logsumexp(log_probs_TxNxG[..., :BASE], axis=-1, keepdims=True)
        digit_TxNxV = log_probs_TxNxG[..., :BASE] - shown_TxNx1  # given that it is one

        def of_frames(frame_BxD: Array) -> tuple[Array, Array, Array]:
            """Log-probabilities of frames: which digit is there, a digit at all, the blank."""
            step_BxD = jnp.clip(jnp.asarray(lanes.first_B)[:, None] + frame_BxD, 0, steps - 1)
            place = (step_BxD, jnp.asarray(lanes.lane_B)[:, None])
            return digit_TxNxV[place], shown_TxNx1[..., 0][place], log_probs_TxNxG[..., -1][place]

        length_Bx1 = jnp.asarray(lanes.length_B)[:, None]
        start_BxDxV, start_BxD, blank_BxD = of_frames(0 * length_Bx1 + jnp.arange(digits + 1)[None])
        end_BxDxV, end_BxD, _ = of_frames(length_Bx1 - 1 - place_1xD)
        nothing_1x1xV = jnp.where(jnp.arange(BASE) == 0, 0.0, IMPOSSIBLE)[None, None]
        ways, columns = [], []
        for count in range(1, digits + 1):  # of digits before the blank
            missing = jnp.broadcast_to(nothing_1x1xV, (lanes.count, digits - count, BASE))
            first_BxDxV = jnp.concatenate([start_BxDxV[:, count - 1 :: -1], missing], axis=1)
            behind_Bx1 = length_Bx1 - 1 - count
            there_BxD = place_1xD < behind_Bx1
            second_BxDxV = jnp.where(there_BxD[..., None], end_BxDxV, nothing_1x1xV)
            shown_B = start_BxD[:, :count].sum(axis=1) + (end_BxD * there_BxD).sum(axis=1)
            fits_B = (behind_Bx1[:, 0] >= 1) & (behind_Bx1[:, 0] <= digits)
            ways.append(jnp.where(fits_B, shown_B + blank_BxD[:, count], IMPOSSIBLE))
            columns.append(totals(first_BxDxV, second_BxDxV))
        return WrittenSum(jnp.stack(ways, axis=1), jnp.stack(columns).transpose(2, 1, 0, 3))
