"""The optimizer of a config's `train` section."""

from collections.abc import Callable
from typing import Any

import jax
import optax
import optax.contrib
from ml_collections import ConfigDict
from optax.contrib import MuonDimensionNumbers


def adam(learning_rate: optax.Schedule) -> optax.GradientTransformation:
    """Adam (Kingma & Ba 2015)."""
    return optax.adam(learning_rate)


def muon(learning_rate: optax.Schedule) -> optax.GradientTransformation:
    """Muon (Jordan et al. 2024) for every kernel, Adam for biases; steps as large as Adam's.

    A convolution's kernel counts as the matrix that maps a patch to features.
    """

    def as_matrices(params: Any) -> Any:
        return jax.tree.map(
            lambda x: (
                MuonDimensionNumbers(tuple(range(x.ndim - 1)), x.ndim - 1) if x.ndim > 1 else None
            ),
            params,
        )

    return optax.contrib.muon(
        learning_rate, consistent_rms=0.2, muon_weight_dimension_numbers=as_matrices
    )


def rmsprop(learning_rate: optax.Schedule) -> optax.GradientTransformation:
    """RMSprop as Keras 1 had it in 2016: decay .9, epsilon 1e-8 outside the root."""
    return optax.rmsprop(learning_rate, decay=0.9, eps=1e-8, eps_in_sqrt=False)


def one_cycle(learning_rate: float, steps: int) -> optax.Schedule:
    """Linear from 0 in the first 20 % of the steps, then down to 0 along a half cosine."""
    return optax.warmup_cosine_decay_schedule(
        0.0, learning_rate, warmup_steps=max(1, steps // 5), decay_steps=max(2, steps)
    )


def constant(learning_rate: float, steps: int) -> optax.Schedule:
    """The same at every step."""
    del steps
    return optax.constant_schedule(learning_rate)


OPTIMIZERS: dict[str, Callable[[optax.Schedule], optax.GradientTransformation]] = {
    "adam": adam,
    "muon": muon,
    "rmsprop": rmsprop,
}
SCHEDULES: dict[str, Callable[[float, int], optax.Schedule]] = {
    "constant": constant,
    "one_cycle": one_cycle,
}


def build(train: ConfigDict) -> optax.GradientTransformation:
    """Clipping, if `clip_norm` is above 0, then the optimizer on its schedule.

    Args:
      train: fields optimizer, schedule, learning_rate, steps, clip_norm.
    """
    schedule = SCHEDULES[train.schedule](train.learning_rate, train.steps)
    optimizer = OPTIMIZERS[train.optimizer](schedule)
    if train.clip_norm == 0:
        return optimizer
    return optax.chain(optax.clip_by_global_norm(train.clip_norm), optimizer)
