"""How sure a network of lines may say it is: a temperature, fitted on validation lines."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from crnn_jax.data.batch import Batch
from crnn_jax.evaluate.answer import ask
from crnn_jax.evaluate.composed import Evaluation
from crnn_jax.evaluate.stored import StoredEvaluation
from crnn_jax.model.crnn import CRNN
from crnn_jax.model.ctc import fit_temperature
from crnn_jax.tasks.task import Task

LINES = 1000
"""So many lines are enough for one number."""


_fit = jax.jit(fit_temperature)


@functools.partial(jax.jit, static_argnums=0)  # compiled once, and not for each checkpoint
def _logits(network: CRNN, params: Any, batch: Batch) -> Array:
    output: Any = ask(network, params, batch)  # of the head ctc
    return output.logits_BxLxV


def calibrated(evaluation: Evaluation | StoredEvaluation, params: Any) -> Any:
    """Parameters whose network is as sure of lines as it is right; of other answers as they are.

    Args:
      evaluation: on the validation part.
      params: of its network, NumPy arrays.
    """
    task: Task = evaluation.task
    if task.question.kind != "line":
        return params

    found, count = [], 0
    for batch in evaluation.batches():
        found.append(
            (_logits(evaluation.network, params, batch), batch.lanes.length_B, batch.targets)
        )
        count += batch.lanes.count
        if count >= LINES:
            break
    longest = max(logits.shape[1] for logits, _, _ in found)
    logits_BxLxV, length_B, texts_BxS = (
        np.concatenate(x)
        for x in zip(
            *((_padded(logits, longest), *others) for logits, *others in found), strict=True
        )
    )
    unknown_B = (texts_BxS >= task.question.vocabulary).any(axis=1)  # no network writes these
    length_B = np.where(unknown_B, 0, length_B)  # does not fit, so it counts for nothing
    temperature = _fit(logits_BxLxV, length_B, texts_BxS)
    head = {**params["params"]["answer_head"], "log_temperature": np.asarray(jnp.log(temperature))}
    return {**params, "params": {**params["params"], "answer_head": head}}


def _padded(logits_BxLxV: Array, steps: int) -> np.ndarray:
    return np.pad(logits_BxLxV, ((0, 0), (0, steps - logits_BxLxV.shape[1]), (0, 0)))
