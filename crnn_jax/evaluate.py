"""Evaluation: every drawn sequence answered once, every image encoded once."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from ml_collections import ConfigDict

from crnn_jax import tasks
from crnn_jax.data.batch import Batch
from crnn_jax.data.dataset import Dataset, Split
from crnn_jax.data.draw import SCENE, Draw
from crnn_jax.data.feed import lane_images
from crnn_jax.distributed import devices, processes
from crnn_jax.model import crnn
from crnn_jax.model.crnn import CRNN
from crnn_jax.model.heads import Answers
from crnn_jax.runs.load import config_of, dataset_of, parse_step, restore
from crnn_jax.runs.progress import print_table
from crnn_jax.tasks.task import Answered, Task

IMAGES_AT_ONCE = 250
"""Images that a CPU encodes together, at most: their features are few enough for its caches."""

FRAMES_AT_ONCE = 1152
"""Frames that a CPU aggregates together, about: larger chunks of a marginal head overflow its
caches."""

ACCELERATED = 16
"""How many times as many an accelerator takes together: enough to fill it."""


def answer(network: CRNN, params: Any, batch: Batch, encoded: Array | None = None) -> Answers:
    """What a network answers about a batch.

    Args:
      network: the Flax module.
      params: its parameters.
      batch: frames in lanes; targets are not looked at.
      encoded: the frames' encodings TxNxD, where they are known already.
    """
    if encoded is None:
        encoded = network.apply(params, batch.frames_TxNxHxWxC, method="encode")
    return network.apply(params, encoded, batch.lanes, method="aggregate").answers()


class Evaluation:
    """The same sequences every time, drawn once from a split with a seed of its own.

    A frame's encoding does not depend on its sequence: where the task's composition allows it, all
    images of the split are encoded once and sequences are put together from the encodings.
    """

    def __init__(
        self,
        network: CRNN,
        task: Task,
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
        self.network, self.task, self.split, self.draw = network, task, split, draw
        self.sequences, self.baseline = sequences, baseline
        mean_length = (draw.min_length + draw.max_length) / 2
        share = 1 if jax.default_backend() == "cpu" else ACCELERATED
        self.images_at_once = share * IMAGES_AT_ONCE
        at_once = min(sequences, max(1, int(share * FRAMES_AT_ONCE / mean_length)))
        self.chunk = draw.period * -(-at_once // draw.period)
        self.lanes = draw.lanes(self.chunk)
        self.devices = jax.local_device_count()
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

        table = task.composition.encode_images(encode_all, images_IxHxWxC)

        def answer_chunk(first: Array) -> tuple[Array, Answers]:
            indices_TxN = lane_images(self.draw, self.lanes, 0, first)
            sequences_N = first + self.lanes.sequence_TxN[0]
            keys_N = jax.vmap(self.draw.key, (None, 0, None))(0, sequences_N, SCENE)
            batch = task.batch(table[indices_TxN], labels_I[indices_TxN], self.lanes, keys_N)
            encoded = task.composition.encode_frames(encode, batch.frames_TxNxHxWxC)
            return batch.targets, answer(self.network, params, batch, encoded)

        chunks = -(-self.sequences // (self.devices * self.chunk))
        return lax.map(answer_chunk, (device * chunks + jnp.arange(chunks)) * self.chunk)


def validation_evaluator(
    network: CRNN, task: Task, config: ConfigDict, dataset: Dataset
) -> Evaluation:
    """The evaluation on the validation images that a config asks for."""
    return Evaluation(
        network,
        task,
        dataset.validation,
        task.draw(config.eval.seed, len(dataset.validation.labels_I)),
        config.eval.validation_sequences,
        baseline=task.baseline(dataset.train.labels_I),
    )


def evaluate_test(config: ConfigDict, dataset: Dataset, params: Any) -> dict[str, Any]:
    """The results on the test images that a config asks for.

    Args:
      config: describes the network, the task and the sequences.
      dataset: the test images to draw from.
      params: of the network, on one device.

    Returns:
      See `Evaluation`; the seed of the draw; and `lengths`, the scores of each length in
      `eval.lengths`, of which so many sequences are drawn that they hold about as many frames as
      the test does, but 100 at least.
    """
    task, split = tasks.build(config, dataset.info), dataset.test
    baseline = task.baseline(dataset.train.labels_I)

    def evaluate_task(task: Task, sequences: int) -> dict[str, Any]:
        network = crnn.build(config.model, task.question)
        draw = task.draw(config.eval.seed, len(split.labels_I))
        return Evaluation(network, task, split, draw, sequences, baseline=baseline)(params)

    results = evaluate_task(task, config.eval.test_sequences)
    rows = []
    for length in config.eval.lengths:
        longer = tasks.build(config, dataset.info, length)
        count = max(100, config.eval.test_sequences // length)
        (row,) = evaluate_task(longer, count)["per_length"]
        rows.append(row)
    return {**results, "seed": config.eval.seed, "lengths": rows}


def evaluate(workdir: Path, config: ConfigDict | None, *, step: str, as_json: bool) -> None:
    """Test a checkpoint, with the config stored in it, and print the results.

    Args:
      workdir: folder of a run.
      config: says where the data lies and what is tested, and must agree in all else; None for
        the run's own.
      step: "latest", "best" or a number.
      as_json: whether to print one JSON object instead of a table.

    Raises:
      UserError: the folder holds no such run or checkpoint, or its data is not available.
    """
    which = parse_step(step)
    devices.keep_compiled_programs()
    devices.use_cores(devices.core_count())
    restored = restore(workdir, which)
    config = config_of(restored, config, workdir)
    dataset = dataset_of(restored, config, workdir)
    results = {
        "corpus": dataset.identity,
        "step": restored.step,
        **evaluate_test(config, dataset, restored.params),
    }
    if as_json:
        print(json.dumps(results))
    else:
        print_results(results, config)


def print_results(results: dict[str, Any], config: ConfigDict) -> None:
    """Print the results of a run as a table."""
    if not processes.is_main():
        return
    rows = [
        ("corpus", results["corpus"]),
        ("step", _step_line(results)),
        ("test sequences", f"{results['n']:,}, drawn with seed {results.get('seed', '?')}"),
        ("exact", f"{results['exact']:.4f}"),
    ]
    if "per_symbol" in results:
        rows.append(("symbols right", f"{results['per_symbol']:.4f}"))
    if "rmse" in results:
        rows += [
            ("rmse", f"{results['rmse']:.3f}"),
            ("rmse of the training mean", f"{results['baseline_rmse']:.2f}"),
            ("mean absolute error", f"{results['mae']:.3f}"),
        ]
    if "training_seconds" in results:
        rows += [
            ("training", f"{results['training_seconds']:.1f} s without compilation and evaluation"),
            ("training rate", f"{results['sequences_per_second']:,.0f} sequences/s"),
        ]
    rows.append(("evaluation", f"{results['seconds']:.2f} s"))
    if len(results.get("per_length", ())) > 1:
        rows += [(f"length {row['length']:,}", score_line(row)) for row in results["per_length"]]
    if config.task.every_step:
        rows += [(f"after frame {row['step']:,}", score_line(row)) for row in results["per_step"]]
    rows += [
        (f"{row['n']:,} of length {row['length']:,}", score_line(row)) for row in results["lengths"]
    ]
    print_table("results", rows)


def _step_line(results: Mapping[str, Any]) -> str:
    """The step that was tested, and of a run with `train.patience` how it ended."""
    if "trained" not in results:
        return f"{results['step']:,}"
    waited = f"{results['waited']:,} evaluations without a better one"
    return f"{results['step']:,}, the best of {results['trained']:,}, which end with {waited}"


def score_line(report: Mapping[str, Any]) -> str:
    """An evaluation's main scores, as people read them."""
    rmse = f"rmse {report['rmse']:.3f} · " if "rmse" in report else ""
    return f"{rmse}exact {report['exact']:.4f}"
