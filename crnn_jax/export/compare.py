"""How far what was exported is from the checkpoint, on test sequences."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from ml_collections import ConfigDict

from crnn_jax import tasks
from crnn_jax.data.dataset import Dataset
from crnn_jax.data.draw import SCENE
from crnn_jax.data.feed import lane_images
from crnn_jax.export.answers import Step, Whole
from crnn_jax.model.question import Question
from crnn_jax.runs.load import Restored

SEQUENCES = 1000
"""Test sequences that are compared, at most."""

BYTES_AT_ONCE = 2**20
"""Of frames that are compared together, about."""


class Rows(NamedTuple):
    """Sequences, one a row; there may be anything behind their ends."""

    frames_BxLxHxWxC: np.ndarray
    lengths_B: np.ndarray


class Difference(NamedTuple):
    """Between the answers of two.

    Attributes:
      largest: of the estimates and probabilities; of a number beyond 1, as a share of it.
      answers: how many answers are other ones.
    """

    largest: float
    answers: int


def batches(restored: Restored, config: ConfigDict, dataset: Dataset) -> Iterator[Rows]:
    """Test sequences, as many in each batch but the last."""
    if tasks.is_stored(config):
        yield from _stored(restored, config, dataset)
    else:
        rows = _drawn(restored, config, dataset)
        size = _at_once(rows.frames_BxLxHxWxC[0].nbytes)
        for i in range(0, len(rows.lengths_B), size):
            yield Rows(*(x[i : i + size] for x in rows))


def _at_once(sequence_bytes: int) -> int:
    return max(1, min(SEQUENCES, BYTES_AT_ONCE // sequence_bytes))


def _drawn(restored: Restored, config: ConfigDict, dataset: Dataset) -> Rows:
    """The first sequences of the test."""
    task: Any = restored.task
    draw = task.draw(config.eval.seed, len(dataset.test.labels_I))
    lanes = draw.lanes(-(-SEQUENCES // draw.period) * draw.period)

    @jax.jit  # once, and not operation by operation
    def rows(images_IxHxWxC: Array, labels_I: Array) -> tuple[Array, Array]:
        indices_TxN = lane_images(draw, lanes, 0, 0)
        keys_B = jax.vmap(draw.key, (None, 0, None))(0, jnp.arange(lanes.count), SCENE)
        batch = task.batch(images_IxHxWxC[indices_TxN], labels_I[indices_TxN], lanes, keys_B)
        frames = batch.lanes.rows(batch.frames_TxNxHxWxC, task.question.steps)
        return frames, jnp.asarray(batch.lanes.length_B)

    return Rows(*(np.asarray(x)[:SEQUENCES] for x in rows(*task.images(dataset.test))))


def _stored(restored: Restored, config: ConfigDict, dataset: Dataset) -> Iterator[Rows]:
    """Test sequences, chosen once; those that a decoder cannot read left out."""
    part, question = dataset.test, restored.task.question
    fits = part.lengths_B <= question.steps if question.kind == "symbols" else part.lengths_B > 0
    (there,) = np.nonzero(fits)
    chosen = np.sort(np.random.default_rng(config.eval.seed).permutation(there)[:SEQUENCES])
    steps = question.steps if question.kind == "symbols" else int(part.lengths_B[chosen].max())
    size = _at_once(steps * int(np.prod(part.frame_shape)))
    for i in range(0, len(chosen), size):
        numbers_B = chosen[i : i + size]
        frames = np.zeros((len(numbers_B), steps, *part.frame_shape), np.uint8)
        for row, clip in zip(frames, part.read(numbers_B.tolist()), strict=True):
            row[: len(clip)] = clip
        yield Rows(frames, part.lengths_B[numbers_B].astype(np.int32))


def of_whole(exported: Whole, right: list[dict[str, np.ndarray]], rows: list[Rows]) -> Difference:
    """The difference of answers about whole sequences."""
    differences = [
        _difference(_plain(exported(*batch)), answers)
        for batch, answers in zip(rows, right, strict=True)
    ]
    return _worst(differences)


def of_steps(
    exported: Step,
    state: dict[str, Any],
    question: Question,
    right: list[dict[str, np.ndarray]],
    rows: list[Rows],
) -> Difference:
    """The difference of the answers at each step; of those about a whole sequence, at its end."""
    differences = []
    for batch, answers in zip(rows, right, strict=True):
        count, steps = batch.frames_BxLxHxWxC.shape[:2]
        now = {n: np.zeros((count, *x.shape[1:]), x.dtype) for n, x in state.items()}
        for t in range(steps):
            now, found = exported(now, batch.frames_BxLxHxWxC[:, t])
            whole = question.reads == "whole"
            there = batch.lengths_B == t + 1 if whole else batch.lengths_B > t
            expected = {n: x[there] if whole else x[there, t] for n, x in answers.items()}
            differences.append(
                _difference({n: x[there] for n, x in _plain(found).items()}, expected)
            )
    return _worst(differences)


def _plain(answers: dict[str, Any]) -> dict[str, np.ndarray]:
    return {name: np.asarray(x) for name, x in answers.items()}


def _difference(found: dict[str, np.ndarray], right: dict[str, np.ndarray]) -> Difference:
    assert found.keys() == right.keys(), (found.keys(), right.keys())
    off = [
        np.abs(found[name] - x) / np.maximum(1, np.abs(x))
        for name, x in right.items()
        if x.dtype.kind == "f"
    ]
    largest = float(np.max([x.max(initial=0) for x in off], initial=0))
    wrong = found["answer"] != right["answer"]
    if right["answer"].dtype.kind == "f":
        wrong = np.zeros(len(wrong), bool)
    return Difference(largest, int(wrong.any(axis=tuple(range(1, wrong.ndim))).sum()))


def _worst(differences: list[Difference]) -> Difference:
    largest = np.max([x.largest for x in differences], initial=0)  # of NaN this is NaN
    return Difference(float(largest), sum(x.answers for x in differences))
