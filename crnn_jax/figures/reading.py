"""What a network answers about test images, every image encoded once."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from crnn_jax.data.dataset import Split
from crnn_jax.data.draw import SCENE, Draw
from crnn_jax.model.heads import Posterior
from crnn_jax.runs.load import Restored

SEQUENCES = 2000

FRAMES = 20_000
"""Of all sequences, about, where they are long."""

IMAGES_AT_ONCE = 250

CLIPS_AT_ONCE = 25


@dataclasses.dataclass(frozen=True)
class Numbers:
    """What is answered about B sequences of up to L frames, after each of them.

    Attributes:
      frames_BxLxHxWxC: uint8; those behind a sequence's end do not count.
      lengths_B: frames of each sequence.
      target_BxL, answer_BxL: the right number, and the most likely.
      estimate_BxL: what minimises the expected squared error.
      confidence_BxL: probability of the answer; None where the head gives none.
    """

    frames_BxLxHxWxC: np.ndarray
    lengths_B: np.ndarray
    target_BxL: np.ndarray
    answer_BxL: np.ndarray
    estimate_BxL: np.ndarray
    confidence_BxL: np.ndarray | None

    def last(self, values_BxL: np.ndarray) -> np.ndarray:
        """The values after each sequence's last frame."""
        return values_BxL[np.arange(len(self.lengths_B)), self.lengths_B - 1]

    @property
    def wrong_B(self) -> np.ndarray:
        """Whether the last answer is wrong."""
        return self.last(self.answer_BxL) != self.last(self.target_BxL)

    @property
    def severity_B(self) -> np.ndarray:
        """How bad an error is: the probability of the answer, or the error of the estimate."""
        if self.confidence_BxL is not None:
            return self.last(self.confidence_BxL)
        return np.abs(self.last(self.estimate_BxL) - self.last(self.target_BxL))


@dataclasses.dataclass(frozen=True)
class Texts:
    """What is written about B sequences, in S symbols.

    Attributes:
      frames_BxTxHxWxC: uint8.
      target_BxS, answer_BxS: the right symbols, and those written.
      confidence_BxS: probabilities of the symbols written.
    """

    frames_BxTxHxWxC: np.ndarray
    target_BxS: np.ndarray
    answer_BxS: np.ndarray
    confidence_BxS: np.ndarray

    @property
    def wrong_B(self) -> np.ndarray:
        """Whether a symbol is wrong."""
        return (self.answer_BxS != self.target_BxS).any(axis=1)

    @property
    def severity_B(self) -> np.ndarray:
        """Probability of the whole answer."""
        return self.confidence_BxS.astype(np.float64).prod(axis=1)


class SplitReader:
    """A network that reads the images of a split, and sequences of them."""

    def __init__(self, restored: Restored, split: Split) -> None:
        """Encodes the images, but for a task that films them."""
        self.network, self.params, self.split = restored.network, restored.params, split
        self.config = restored.config
        self.encoded_NxD = None
        if not self.network.task.films:
            self.encoded_NxD = jax.jit(self._encode)(self.params, split.images_NxHxWxC)

    def sequences(self) -> Numbers | Texts:
        """Reads the first test sequences, those that evaluation draws; or each image, alone.

        Alone, where all sequences are of one image and no film is made of it.
        """
        task, config = self.network.task, self.config.task
        if config.max_length == 1 and not task.films:
            return self.images_alone()
        count = min(SEQUENCES, max(100, FRAMES // config.max_length))
        draw = Draw(
            self.config.eval.seed, config.min_length, config.max_length, len(self.split.labels_N)
        )
        sequences_B = jnp.arange(count)
        indices_BxL = draw.image_indices(0, sequences_B)
        if task.films:
            keys_B = jax.vmap(draw.key, (None, 0, None))(0, sequences_B, SCENE)
            return Texts(*self._run(self._film, CLIPS_AT_ONCE, indices_BxL, keys_B))
        frames_BxLxHxWxC = self.split.images_NxHxWxC[np.asarray(indices_BxL)]
        if task.written:
            return Texts(frames_BxLxHxWxC, *self._run(self._write, IMAGES_AT_ONCE, indices_BxL))
        return self._numbers(indices_BxL, draw.lengths(count))

    def images_alone(self) -> Numbers:
        """Reads every image as a sequence of length 1; for a task with a number."""
        count = len(self.split.labels_N)
        return self._numbers(jnp.arange(count)[:, None], np.ones(count, np.int64))

    def _numbers(self, indices_BxL: Array, lengths_B: np.ndarray) -> Numbers:
        frames_BxLxHxWxC = self.split.images_NxHxWxC[np.asarray(indices_BxL)]
        target, answer, estimate, *confidence = self._run(self._count, IMAGES_AT_ONCE, indices_BxL)
        confidence_BxL = confidence[0] if confidence else None
        return Numbers(frames_BxLxHxWxC, lengths_B, target, answer, estimate, confidence_BxL)

    def _run(self, read_one: Callable, at_once: int, *inputs: Array) -> tuple[np.ndarray, ...]:
        """What `read_one` makes of the parameters, the data and each row of the inputs."""

        @jax.jit
        def run(params: Any, data: tuple, rows: tuple) -> tuple[Array, ...]:
            return lax.map(lambda row: read_one(params, data, *row), rows, batch_size=at_once)

        pictures = self.split.images_NxHxWxC if self.encoded_NxD is None else self.encoded_NxD
        return jax.device_get(run(self.params, (pictures, self.split.labels_N), inputs))

    def _encode(self, params: Any, images_NxHxWxC: Array) -> Array:
        def encode(image_HxWxC: Array) -> Array:
            frames = image_HxWxC[None, None]
            return self.network.apply(params, frames, method="encode")[0, 0]

        return lax.map(encode, images_NxHxWxC, batch_size=IMAGES_AT_ONCE)

    def _aggregate(self, params: Any, data: tuple, indices_L: Array) -> tuple[Array, Any]:
        """The right answers and the network's, about one sequence in a lane of its own."""
        encoded_NxD, labels_N = data
        starts_Lx1 = (jnp.arange(len(indices_L)) == 0)[:, None]
        target = self.network.task.answers(labels_N[indices_L][:, None], starts_Lx1)
        encoded_Lx1xD = encoded_NxD[indices_L][:, None]
        return target, self.network.apply(params, encoded_Lx1xD, starts_Lx1, method="aggregate")

    def _count(self, params: Any, data: tuple, indices_L: Array) -> tuple[Array, ...]:
        target_Lx1, output = self._aggregate(params, data, indices_L)
        found = [target_Lx1, output.answer(), output.estimate()]
        if isinstance(output, Posterior):
            found.append(jnp.exp(jnp.max(output.log_probs_TxNxK, axis=-1)))
        return tuple(x[:, 0] for x in found)

    def _write(self, params: Any, data: tuple, indices_L: Array) -> tuple[Array, ...]:
        target_1xS, output = self._aggregate(params, data, indices_L)
        return target_1xS[0], output.answer()[0], output.confidence()[0]

    def _film(self, params: Any, data: tuple, indices_L: Array, key: Array) -> tuple[Array, ...]:
        images_NxHxWxC, labels_N = data
        frames_TxNxHxWxC, starts_TxN, target_NxS = self.network.task.show(
            images_NxHxWxC[indices_L][:, None],
            labels_N[indices_L][:, None],
            (jnp.arange(len(indices_L)) == 0)[:, None],
            key[None],
        )
        output = self.network.apply(params, frames_TxNxHxWxC, starts_TxN)
        return frames_TxNxHxWxC[:, 0], target_NxS[0], output.answer()[0], output.confidence()[0]
