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

from crnn_jax.data.dataset import Dataset, Split
from crnn_jax.data.draw import SCENE, Draw
from crnn_jax.data.feed import lane_images
from crnn_jax.distributed import devices, processes
from crnn_jax.model import crnn
from crnn_jax.model.crnn import CRNN
from crnn_jax.runs.load import config_of, corpus_of, parse_step, restore
from crnn_jax.runs.progress import print_table
from crnn_jax.scores import number_scores, text_scores

IMAGES_AT_ONCE = 250
"""Images encoded together, at most: their features are few enough for a CPU's caches."""

FRAMES_AT_ONCE = 1152
"""Frames aggregated together, about: what a marginal head makes of more leaves a CPU's caches."""


class Evaluation:
    """The same sequences every time, drawn once from a split with a seed of its own.

    A frame's encoding does not depend on its sequence, so all images of the split are encoded
    once and sequences are put together from the encodings; but for tasks that film the images.
    """

    def __init__(
        self,
        network: CRNN,
        split: Split,
        draw: Draw,
        sequences: int,
        *,
        training_mean: float | None,
    ) -> None:
        """Prepares the evaluation; it compiles when first called.

        Args:
          network: what to evaluate; its task says what is right.
          split: the images to draw from.
          draw: of the sequences.
          sequences: how many to draw.
          training_mean: see `number_scores`.
        """
        self.network, self.split, self.draw = network, split, draw
        self.sequences, self.training_mean = sequences, training_mean
        mean_length = (draw.min_length + draw.max_length) / 2
        at_once = min(sequences, max(1, int(FRAMES_AT_ONCE / mean_length)))
        self.chunk = draw.period * -(-at_once // draw.period)
        self.lanes = draw.lanes(self.chunk)
        self.devices = jax.local_device_count()
        self.compiled: jax.stages.Compiled | None = None

    def __call__(self, params: Any) -> dict[str, Any]:
        """Answers all sequences with these parameters.

        Returns:
          See `number_scores` and `text_scores`; and seconds, without compilation.
        """
        given = (np.arange(self.devices), jax.device_get(params), tuple(self.split))
        if self.compiled is None:
            answer = devices.over_local_devices(self._answer_share)
            self.compiled = devices.compile_quickly(answer.lower(*given))
        start = time.perf_counter()
        found = jax.device_get(self.compiled(*given))
        seconds = time.perf_counter() - start
        found = tuple(x.reshape(-1, *x.shape[2:]) for x in found)  # chunks of all devices
        if self.network.task.written:
            target_BxS, answer_BxS = (x.reshape(-1, x.shape[-1])[: self.sequences] for x in found)
            return {**text_scores(target_BxS, answer_BxS), "seconds": seconds}
        scores = number_scores(
            *found, lanes=self.lanes, sequences=self.sequences, training_mean=self.training_mean
        )
        return {**scores, "seconds": seconds}

    def _answer_share(
        self, device: Array, params: Any, data: tuple[Array, Array]
    ) -> tuple[Array, Array, Array] | tuple[Array, Array]:
        """One device's share of the chunks of sequences.

        Returns:
          For each chunk in its lanes: targets, estimates and answers; or targets and answers.
        """
        images_NxHxWxC, labels_N = data
        task, starts_TxN = self.network.task, self.lanes.starts_TxN

        def encode(images_GxHxWxC: Array) -> Array:
            frames = images_GxHxWxC[:, None]
            return self.network.apply(params, frames, method="encode")[:, 0]

        if not task.films:
            groups = -(-len(labels_N) // (self.devices * IMAGES_AT_ONCE))
            size = -(-len(labels_N) // (self.devices * groups))
            first = device * groups * size
            mine_AxG = (first + jnp.arange(groups * size)).reshape(groups, size) % len(labels_N)
            encoded_AxGxD = lax.map(encode, images_NxHxWxC[mine_AxG])
            encoded_NxD = devices.gather(encoded_AxGxD.reshape(groups * size, -1))

        def answer(first: Array) -> tuple[Array, ...]:
            indices_TxN = lane_images(self.draw, self.lanes, 0, first)
            labels_TxN = labels_N[indices_TxN]
            if task.films:
                sequences_B = first + jnp.arange(self.chunk)
                keys_N = jax.vmap(self.draw.key, (None, 0, None))(0, sequences_B, SCENE)
                frames_TxNxHxWxC, starts, target = task.show(
                    images_NxHxWxC[indices_TxN], labels_TxN, starts_TxN, keys_N
                )
                output = self.network.apply(params, frames_TxNxHxWxC, starts)
            else:
                target = task.answers(labels_TxN, starts_TxN)
                output = self.network.apply(
                    params, encoded_NxD[indices_TxN], starts_TxN, method="aggregate"
                )
            if task.written:
                return target, output.answer()
            return target, output.estimate(), output.answer()

        chunks = -(-self.sequences // (self.devices * self.chunk))
        return lax.map(answer, (device * chunks + jnp.arange(chunks)) * self.chunk)


def validation(network: CRNN, config: ConfigDict, dataset: Dataset) -> Evaluation:
    """The evaluation on the validation images that a config asks for."""
    return Evaluation(
        network,
        dataset.validation,
        _draw(config, dataset.validation),
        config.eval.validation_sequences,
        training_mean=training_mean(network, config, dataset),
    )


def test(network: CRNN, config: ConfigDict, dataset: Dataset, params: Any) -> dict[str, Any]:
    """The results on the test images that a config asks for.

    Args:
      network: built from the config.
      config: its `task` and `eval` sections are read.
      dataset: the test images to draw from.
      params: of the network, on one device.

    Returns:
      See `Evaluation`; and `lengths`, the scores of sequences of each length in `eval.lengths`,
      of which so many are drawn that they hold about as many frames as there are test sequences,
      but 100 at least.
    """
    mean = training_mean(network, config, dataset)
    draw, sequences = _draw(config, dataset.test), config.eval.test_sequences
    evaluation = Evaluation(network, dataset.test, draw, sequences, training_mean=mean)
    results = evaluation(params)
    rows = []
    for length in config.eval.lengths:
        evaluation = Evaluation(
            network.clone(max_length=length),
            dataset.test,
            Draw(draw.seed, length, length, draw.images),
            max(100, sequences // length),
            training_mean=mean,
        )
        (row,) = evaluation(params)["per_length"]
        rows.append(row)
    return {**results, "lengths": rows}


def _draw(config: ConfigDict, split: Split) -> Draw:
    task = config.task
    return Draw(config.eval.seed, task.min_length, task.max_length, len(split.labels_N))


def training_mean(network: CRNN, config: ConfigDict, dataset: Dataset) -> float | None:
    """Mean of the right answers over the training distribution; None where they have none."""
    if not network.task.measures:
        return None
    lengths = np.arange(config.task.min_length, config.task.max_length + 1)
    return network.task.mean(dataset.train.labels_N, lengths)


def evaluate(workdir: Path, config: ConfigDict | None, *, step: str, as_json: bool) -> None:
    """Tests a checkpoint, with the config stored in it, and prints the results.

    Args:
      workdir: folder of a run.
      config: says where the data lies and must agree in all else; None for where it lay.
      step: "latest", "best" or a number.
      as_json: whether to print one JSON object instead of a table.

    Raises:
      UserError: the folder holds no such run or checkpoint, or the corpus cannot be had.
    """
    which = parse_step(step)
    devices.keep_compiled_programs()
    devices.use_cores(devices.core_count())
    restored = restore(workdir, which)
    config = config_of(restored, config, workdir)
    dataset = corpus_of(restored, config, workdir)
    results = {
        "corpus": dataset.identity,
        "step": restored.step,
        **test_config(config, dataset, restored.params),
    }
    if as_json:
        print(json.dumps(results))
    else:
        print_results(results, config)


def test_config(config: ConfigDict, dataset: Dataset, params: Any) -> dict[str, Any]:
    """`test` of the network that a config describes."""
    network = crnn.build(config, digits=len(dataset.info.classes))
    return test(network, config, dataset, params)


def print_results(results: dict[str, Any], config: ConfigDict) -> None:
    """Print the results of a run as a table."""
    if not processes.is_main():
        return
    rows = [
        ("corpus", results["corpus"]),
        ("step", f"{results['step']:,}"),
        ("test sequences", f"{results['n']:,}"),
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


def score_line(report: Mapping[str, Any]) -> str:
    """An evaluation's main scores, as people read them."""
    rmse = f"rmse {report['rmse']:.3f} · " if "rmse" in report else ""
    return f"{rmse}exact {report['exact']:.4f}"
