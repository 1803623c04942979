"""Networks of random parameters, and short lanes to try them on."""

from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from crnn_jax import tasks
from crnn_jax.data.dataset import DatasetInfo
from crnn_jax.model import crnn
from crnn_jax.runs.load import Restored
from crnn_jax.train.trainer import Trainer, TrainState

STARTS_TxN = np.array([[1, 1], [0, 0], [0, 1], [0, 0]], bool)
"""A lane of one sequence of four frames, and one of two sequences of two."""


def sequences_so_far() -> Iterator[tuple[int, int, range]]:
    """(step, lane, the steps of the sequence so far) at each step of each lane of `STARTS_TxN`."""
    for t, n in np.ndindex(STARTS_TxN.shape):
        start = max(s for s in range(t + 1) if STARTS_TxN[s, n])
        yield t, n, range(start, t + 1)


def random_hidden(dtype: Any = np.float32) -> np.ndarray:
    """Hidden states for `STARTS_TxN`."""
    return np.random.default_rng(0).normal(0, 1, (4, 2, 5)).astype(dtype)


def random_params(shapes: Any, seed: int = 1, scale: float = 0.3) -> Any:
    """Normal numbers for all parameters, biases too: initializers would leave those at 0."""
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda x: rng.normal(0, scale, x.shape).astype(x.dtype), shapes)


def apply_head(head: Any, hidden: np.ndarray | None = None) -> tuple[Any, dict[str, Any]]:
    """A head's output on random states, and its random parameters."""
    hidden = random_hidden() if hidden is None else hidden
    shapes = jax.eval_shape(head.init, jax.random.key(0), hidden, STARTS_TxN)
    params = random_params(shapes, scale=1.0)
    return jax.jit(head.apply)(params, hidden, STARTS_TxN), params["params"]


def digits(count: int = 10, frame_shape: tuple[int, int, int] = (28, 28, 1)) -> DatasetInfo:
    """What is known of a data set of the first `count` digits."""
    return DatasetInfo(
        "optdigits", "optdigits:0123", frame_shape, tuple("0123456789")[:count], True
    )


def restored(config: Any, info: DatasetInfo, seed: int = 3, scale: float = 0.3) -> Restored:
    """A config's network with random parameters, as if it had been restored."""
    task = tasks.build(config, info)
    network = crnn.build(config.model, task.question)
    params = random_params(crnn.parameter_shapes(network, task.question), seed, scale)
    return Restored(config, info.identity, 4, task, network, params)


def random_state(trainer: Trainer, scale: float = 0.05) -> TrainState:
    """A state before the first step: initializers would take their time to compile."""
    shapes = jax.eval_shape(trainer.fresh_state)
    state = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), shapes)
    return state.replace(params=random_params(shapes.params, 0, scale))
