"""Networks of random parameters, and short lanes to try them on."""

from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from crnn_jax import tasks
from crnn_jax.data.dataset import DatasetInfo
from crnn_jax.data.form import Form
from crnn_jax.data.lanes import lay_out
from crnn_jax.model import crnn
from crnn_jax.predict import Predictor
from crnn_jax.runs.load import Restored
from crnn_jax.tasks.task import Answered
from crnn_jax.train.trainer import Trainer, TrainState

LANES = lay_out([[0], [1, 2]], np.array([4, 2, 2]))
"""A lane of one sequence of four frames, and one of two sequences of two."""

STARTS_TxN = LANES.starts_TxN

LONGEST = 4
"""Frames of the longest clip of `clip_predictor`."""


def sequences_so_far() -> Iterator[tuple[int, int, range]]:
    """(step, lane, the steps of the sequence so far) at each step of each of `LANES`."""
    for t, n in np.ndindex(STARTS_TxN.shape):
        start = max(s for s in range(t + 1) if STARTS_TxN[s, n])
        yield t, n, range(start, t + 1)


def random_hidden(dtype: Any = np.float32) -> np.ndarray:
    """Hidden states for `LANES`."""
    return np.random.default_rng(0).normal(0, 1, (4, 2, 5)).astype(dtype)


def random_params(shapes: Any, seed: int = 1, scale: float = 0.3) -> Any:
    """Normal numbers for all parameters, biases too: initializers would leave those at 0."""
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda x: rng.normal(0, scale, x.shape).astype(x.dtype), shapes)


def apply_head(head: Any, hidden: np.ndarray | None = None) -> tuple[Any, dict[str, Any]]:
    """A head's output on random states, and its random parameters."""
    hidden = random_hidden() if hidden is None else hidden
    shapes = jax.eval_shape(head.init, jax.random.key(0), hidden, LANES)
    params = random_params(shapes, scale=1.0)
    return jax.jit(head.apply)(params, hidden, LANES), params["params"]


def asking(
    config: ConfigDict, task: str = "sum", head: str = "marginal", length: int = 4
) -> ConfigDict:
    """The config, changed to ask another task of up to so many images, of a small network."""
    config.task.name, config.task.max_length = task, length
    config.model.head = head
    if head == "decoder":
        config.model.decoder_units = 8
        config.task.min_length = length
    if task == "line":
        config.model.encoder = "columns"
        config.model.convs = ((2, 3, True, "same"), (3, 3, True, "same"))
    return config


def digits(count: int = 10, frame_shape: tuple[int, int, int] = (28, 28, 1)) -> DatasetInfo:
    """What is known of a data set of the first `count` digits."""
    return DatasetInfo(
        "optdigits", "optdigits:0123", frame_shape, tuple("0123456789")[:count], True
    )


def restored(config: ConfigDict, info: DatasetInfo, seed: int = 3, scale: float = 0.3) -> Restored:
    """A config's network with random parameters, as if it had been restored."""
    task = tasks.build(config, info)
    network = crnn.build(config.model, task.question)
    params = random_params(crnn.parameter_shapes(network, task.question), seed, scale)
    return Restored(config, info, 4, task, network, params)


def clip_predictor(
    config: ConfigDict,
    answer: str = "class",
    *,
    longest: int = LONGEST,
    aggregator: str = "gru",
    **form: Any,
) -> Predictor:
    """A predictor on clips of 10x12 pixels, or on sequences of images where answers are labels."""
    config.data.path = "made"
    tasks_of = {"numbers": "number_per_frame", "label": "sum"}
    config.task.name = tasks_of.get(answer, answer)
    config.model.convs, config.model.gru_units, config.model.aggregator = (), (6,), aggregator
    heads = {"class": "class", "text": "decoder", "label": "marginal"}
    config.model.head = heads.get(answer, "last")
    config.model.decoder_units = 8 if answer == "text" else 0
    info = DatasetInfo(
        "made",
        "sequences:0",
        (10, 12, 1),
        tuple("abcdefg") if answer in ("class", "label") else (),
        glyphs=False,
        answer=answer,
        form=Form(10, 12, 1, **form),
        longest=longest,
        counts=(1,) * 7,
        mean=3.0,
        vocabulary=("x", "y", "END"),
        symbols=5,
    )
    return Predictor(restored(config, info, scale=0.4))


def answered(target: Any, answer: Any, estimate: Any = None, confidence: Any = None) -> Answered:
    """What is answered about sequences, one a row, each as long as a row."""
    target, answer = np.array(target), np.array(answer)
    estimate = None if estimate is None else np.array(estimate)
    confidence = None if confidence is None else np.array(confidence)
    severity = np.abs(estimate - target)[:, -1] if confidence is None else confidence[:, -1]
    lengths, wrong = np.full(len(target), target.shape[1]), answer[:, -1] != target[:, -1]
    return Answered(lengths, target, answer, estimate, confidence, wrong, severity)


def written(target: Any, answer: Any, confidence: Any, frames: int = 4) -> Answered:
    """Written answers, one a row, about so many frames."""
    target, answer, confidence = map(np.array, (target, answer, confidence))
    lengths, wrong = np.full(len(target), frames), (target != answer).any(axis=1)
    return Answered(lengths, target, answer, None, confidence, wrong, confidence.prod(axis=1))


def random_state(trainer: Trainer, scale: float = 0.05) -> TrainState:
    """A state before the first step: initializers would take their time to compile."""
    shapes = jax.eval_shape(trainer.fresh_state)
    state = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), shapes)
    return state.replace(params=random_params(shapes.params, 0, scale))
