"""Evaluation: every drawn sequence answered once, every image encoded once."""

import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from ml_collections import ConfigDict

from crnn_jax.data.corpora import Corpus, Split
from crnn_jax.data.draw import Draw
from crnn_jax.model.crnn import CRNN
from crnn_jax.tasks import TASKS

FRAMES_AT_ONCE = 250
"""Frames encoded together: few enough for a CPU's caches."""

SEQUENCES_AT_ONCE = 512
"""Sequences aggregated together, about."""


class Evaluation:
    """The same sequences every time, drawn once from a split with a seed of its own.

    A frame's encoding does not depend on its sequence, so all images of the split are encoded
    once and sequences are put together from the encodings.
    """

    def __init__(
        self,
        network: CRNN,
        config: ConfigDict,
        split: Split,
        *,
        sequences: int,
        training_mean: float,
    ) -> None:
        """Prepares the evaluation; it compiles when first called.

        Args:
          network: what to evaluate.
          config: its `task` and `eval.seed` say what is drawn.
          split: the images to draw from.
          sequences: how many to draw.
          training_mean: mean of the right answers in training, the baseline's only answer.
        """
        self.network, self.split, self.sequences = network, split, sequences
        self.training_mean = training_mean
        self.task = TASKS[config.task.name]
        self.draw = Draw(
            config.eval.seed,
            config.task.min_length,
            config.task.max_length,
            len(split.labels_N),
        )
        self.compiled: jax.stages.Compiled | None = None

    def __call__(self, params: Any) -> dict[str, Any]:
        """Answers all sequences with these parameters (on one device).

        Returns:
          n, rmse and mae of the estimates, exact (share of answers that are right),
          baseline_rmse (of always answering the training mean), per_length (length, n, rmse and
          exact of each length) and seconds (without compilation).
        """
        data = (self.split.images_NxHxW, self.split.labels_N)
        if self.compiled is None:
            self.compiled = jax.jit(self._answer_all).lower(params, *data).compile()
        start = time.perf_counter()
        target_B, estimate_B, answer_B = (
            np.asarray(x)[: self.sequences] for x in self.compiled(params, *data)
        )
        seconds = time.perf_counter() - start
        lengths_B = self.draw.lengths(self.sequences)
        error_B = estimate_B.astype(np.float64) - target_B
        right_B = answer_B == target_B

        def scores(chosen_B: np.ndarray) -> dict[str, Any]:
            return {
                "n": int(chosen_B.sum()),
                "rmse": float(np.sqrt(np.mean(np.square(error_B[chosen_B])))),
                "exact": float(np.mean(right_B[chosen_B])),
            }

        everything = np.ones(self.sequences, bool)
        return {
            **scores(everything),
            "mae": float(np.mean(np.abs(error_B))),
            "baseline_rmse": float(np.sqrt(np.mean(np.square(target_B - self.training_mean)))),
            "per_length": [
                {"length": int(length), **scores(lengths_B == length)}
                for length in np.unique(lengths_B)
            ],
            "seconds": seconds,
        }

    def _answer_all(
        self, params: Any, images_NxHxW: Array, labels_N: Array
    ) -> tuple[Array, Array, Array]:
        """Targets, estimates and answers of all sequences, and of what fills the last chunk."""

        def encode(frame_HxW: Array) -> Array:
            return self.network.apply(params, frame_HxW[None, ..., None], method="encode")[0]

        gates_Nx3H = lax.map(encode, images_NxHxW, batch_size=FRAMES_AT_ONCE)

        period = self.draw.period
        chunk = period * -(-min(SEQUENCES_AT_ONCE, self.sequences) // period)
        lanes = self.draw.lanes(chunk)

        def answer(first: Array) -> tuple[Array, Array, Array]:
            indices_BxL = self.draw.image_indices(0, first + jnp.arange(chunk))
            indices_TxN = indices_BxL[lanes.sequence_TxN, lanes.frame_TxN]
            output = self.network.apply(
                params, gates_Nx3H[indices_TxN], lanes.starts_TxN, method="aggregate"
            )
            target_TxN = self.task(labels_N[indices_TxN], lanes.starts_TxN)
            at_ends = lanes.last_frames
            return tuple(x[at_ends] for x in (target_TxN, output.estimate(), output.answer()))

        firsts = jnp.arange(0, self.sequences, chunk)
        return jax.tree.map(lambda x: x.reshape(-1), lax.map(answer, firsts))


def training_mean(config: ConfigDict, corpus: Corpus) -> float:
    """Mean of the right answers over the training distribution: mean length times mean label."""
    mean_length = (config.task.min_length + config.task.max_length) / 2
    return mean_length * float(np.mean(corpus.train.labels_N))
