"""Evaluation on sequences that are composed of the labelled images of a split."""

import time
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from ml_collections import ConfigDict

from crnn_jax import tasks
from crnn_jax.data.batch import Batch
from crnn_jax.data.dataset import Dataset
from crnn_jax.data.draw import SCENE, Draw
from crnn_jax.data.feed import lane_images
from crnn_jax.data.split import Split
from crnn_jax.distributed import devices
from crnn_jax.evaluate.answer import answer
from crnn_jax.model import crnn
from crnn_jax.model.crnn import CRNN
from crnn_jax.model.heads import Answers
from crnn_jax.tasks.composed import Composed
from crnn_jax.tasks.task import Answered

IMAGES_AT_ONCE = 250
"""Images that a CPU encodes together, at most: their features are few enough for its caches."""

FRAMES_AT_ONCE = 1152
"""Frames that a CPU aggregates together, about: larger chunks of a marginal head overflow its
caches."""

ACCELERATED = 16
"""How many times as many an accelerator takes together: enough to fill it."""


class Evaluation:
    """The same sequences every time, drawn once from a split with a seed of its own.

    A frame's encoding does not depend on its sequence: where the task's composition allows it, all
    images of the split are encoded once and sequences are put together from the encodings.
    """

    def __init__(
        self,
        network: CRNN,
        task: Composed,
        split: Split,
        draw: Draw,
        sequences: int,
        *,
        baseline: float | None = None,
    ) -> None:
        """Prepare the evaluation; it compiles when first called.

        Args:
          network: what to evaluate.
          task: says what is right.
          split: the images to draw from.
          draw: of the sequences.
          sequences: how many to draw.
          baseline: the mean answer of training (`Task.baseline`).
        """
        self.network, self.task, self.draw = network, task, draw
        self.split = task.images(split)
        self.sequences, self.baseline = sequences, baseline
        mean_length = (draw.min_length + draw.max_length) / 2
        share = 1 if jax.default_backend() == "cpu" else ACCELERATED
        self.images_at_once = share * IMAGES_AT_ONCE
        at_once = min(sequences, max(1, int(share * FRAMES_AT_ONCE / mean_length)))
        self.chunk = draw.period * -(-at_once // draw.period)
        self.lanes = draw.lanes(self.chunk)
        self.devices = jax.local_device_count()
        self._compiled_batch = jax.jit(self._batch)
        self.compiled: jax.stages.Compiled | None = None
        self.seconds = 0.0

    def __call__(self, params: Any) -> dict[str, Any]:
        """Score the answers to all sequences with these parameters.

        Returns:
          See `Task.scores`; and seconds, without compilation.
        """
        targets, answers = self.answers(params)
        scores = self.task.scores(targets, answers, self.lanes, self.sequences, self.baseline)
        return {**scores, "seconds": self.seconds}

    def answered(self, params: Any) -> Answered:
        """Answer all sequences with these parameters; one sequence a row."""
        targets, answers = self.answers(params)
        return self.task.answered(targets, answers, self.lanes, self.sequences)

    def answers(self, params: Any) -> tuple[np.ndarray, Answers]:
        """Answer all sequences with these parameters.

        Returns:
          The right answers and the network's, as NumPy arrays; an axis of chunks comes first.
        """
        inputs = (np.arange(self.devices), jax.device_get(params), tuple(self.split))
        if self.compiled is None:
            mapped = devices.over_local_devices(self._answer_share)
            self.compiled = devices.compile_quickly(mapped.lower(*inputs))
        start = time.perf_counter()
        found = jax.device_get(self.compiled(*inputs))
        self.seconds = time.perf_counter() - start
        return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), found)  # chunks of all devices

    def _answer_share(
        self, device: Array, params: Any, data: tuple[Array, Array]
    ) -> tuple[Array, Answers]:
        """Answer one device's share of the chunks; the right answers stand first."""
        images_IxHxWxC, labels_I = data
        task = self.task

        def encode(frames_TxNxHxWxC: Array) -> Array:
            return self.network.apply(params, frames_TxNxHxWxC, method="encode")

        def encode_all(images_IxHxWxC: Array) -> Array:
            """Encode all images, each on one device."""
            groups = -(-len(labels_I) // (self.devices * self.images_at_once))
            size = -(-len(labels_I) // (self.devices * groups))
            first = device * groups * size
            mine = (first + jnp.arange(groups * size)).reshape(groups, size) % len(labels_I)
            encoded = lax.map(lambda images: encode(images[:, None])[:, 0], images_IxHxWxC[mine])
            return devices.gather(encoded.reshape(groups * size, -1))

        keeps_images = task.composition.keeps_images
        table = encode_all(images_IxHxWxC) if keeps_images else images_IxHxWxC

        def answer_chunk(first: Array) -> tuple[Array, Answers]:
            batch = self._batch(first, table, labels_I)
            encoded = batch.frames_TxNxHxWxC if keeps_images else None
            return batch.targets, answer(self.network, params, batch, encoded)

        chunks = -(-self.sequences // (self.devices * self.chunk))
        return lax.map(answer_chunk, (device * chunks + jnp.arange(chunks)) * self.chunk)

    def _batch(self, first: Array, images: Array, labels_I: Array) -> Batch:
        """The chunk that begins with sequence `first`, of images or their encodings."""
        indices_TxN = lane_images(self.draw, self.lanes, 0, first)
        sequences_B = first + jnp.arange(self.chunk)
        keys_B = jax.vmap(self.draw.key, (None, 0, None))(0, sequences_B, SCENE)
        return self.task.batch(images[indices_TxN], labels_I[indices_TxN], self.lanes, keys_B)

    def batches(self) -> Iterator[Batch]:
        """The sequences and their right answers, a chunk at a time."""
        for first in range(0, self.sequences, self.chunk):
            yield self._compiled_batch(jnp.int32(first), *self.split)


def validation(network: CRNN, task: Composed, config: ConfigDict, dataset: Dataset) -> Evaluation:
    """The evaluation on the validation images that a config asks for."""
    return Evaluation(
        network,
        task,
        dataset.validation,
        task.draw(config.eval.seed, len(dataset.validation.labels_I)),
        config.eval.validation_sequences,
        baseline=task.baseline(dataset.train.labels_I),
    )


def test(config: ConfigDict, dataset: Dataset, params: Any) -> dict[str, Any]:
    """The results on drawn sequences of the test images; see `evaluate_test`.

    Of each length in `eval.lengths` so many sequences are drawn that they hold about as many frames
    as the test does, but 100 at least. Where every frame is asked, their RMSE over all frames is
    given too.
    """
    split = dataset.test

    def evaluate_task(length: int | None, sequences: int) -> dict[str, Any]:
        task: Any = tasks.build(config, dataset.info, length)
        network = crnn.build(config.model, task.question)
        draw = task.draw(config.eval.seed, len(split.labels_I))
        return Evaluation(network, task, split, draw, sequences, baseline=baseline)(params)

    whole: Any = tasks.build(config, dataset.info)
    baseline = whole.baseline(dataset.train.labels_I)
    results = evaluate_task(None, config.eval.test_sequences)
    rows = []
    for length in config.eval.lengths:
        count = max(100, config.eval.test_sequences // length)
        found = evaluate_task(length, count)
        (row,) = found["per_length"]
        if config.task.every_step and "rmse" in row:
            squares = [step["rmse"] ** 2 for step in found["per_step"]]
            row["rmse_every_step"] = float(np.sqrt(np.mean(squares)))
        rows.append(row)
    return {**results, "lengths": rows}
