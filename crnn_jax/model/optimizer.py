"""The optimizer of a config's `train` section."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import optax
from ml_collections import ConfigDict

from crnn_jax.model.flat import Flat


def adam() -> optax.GradientTransformation:
    """Adam (Kingma & Ba 2015)."""
    return optax.scale_by_adam()


def rmsprop() -> optax.GradientTransformation:
    """RMSprop as Keras 1 had it in 2016: decay .9, epsilon 1e-8 outside the root."""
    return optax.scale_by_rms(decay=0.9, eps=1e-8, eps_in_sqrt=False)


def sgd() -> optax.GradientTransformation:
    """Plain stochastic gradient descent, without momentum."""
    return optax.identity()


def one_cycle(learning_rate: float, steps: int) -> optax.Schedule:
    """Linear from 0 in the first 20 % of the steps, then down to 0 along a half cosine."""
    return optax.warmup_cosine_decay_schedule(
        0.0, learning_rate, warmup_steps=max(1, steps // 5), decay_steps=max(2, steps)
    )


def constant(learning_rate: float, steps: int) -> optax.Schedule:
    """The same at every step."""
    del steps
    return optax.constant_schedule(learning_rate)


OPTIMIZERS: dict[str, Callable[[], optax.GradientTransformation]] = {
    "adam": adam,
    "rmsprop": rmsprop,
    "sgd": sgd,
}
SCHEDULES: dict[str, Callable[[float, int], optax.Schedule]] = {
    "constant": constant,
    "one_cycle": one_cycle,
}
OPEN_ENDED = ("constant",)
"""Schedules that do not depend on the number of steps: a run of one can be trained longer."""


def build(config: ConfigDict) -> optax.GradientTransformation:
    """Clipping, the optimizer, weight decay and the learning rate, in this order.

    With `init.frozen` the part that `init.part` names gets no update, and its gradient counts
    for nothing.

    Weight decay is decoupled from the gradient (AdamW, Loshchilov & Hutter 2019) and is for
    kernels alone: biases need none, and embeddings get too few gradients to withstand it.

    Args:
      config: its `train` section: optimizer, schedule, learning_rate, steps, weight_decay, and
        clip_norm, where 0 is no clipping; and `init`.
    """
    train = config.train
    schedule = SCHEDULES[train.schedule](train.learning_rate, train.steps)
    steps = [
        OPTIMIZERS[train.optimizer](),
        optax.add_decayed_weights(train.weight_decay, mask=_kernels),
        optax.scale_by_learning_rate(schedule),
    ]
    if train.clip_norm:
        steps.insert(0, optax.clip_by_global_norm(train.clip_norm))
    if config.init.frozen:
        still = optax.masked(optax.set_to_zero(), functools.partial(_within, config.init.part))
        steps = [still, *steps, still]
    return optax.chain(*steps)


def flat(config: ConfigDict, params: Any) -> Flat:
    """The vectors of parameters that `build`'s transformation treats alike.

    Args:
      config: its `init` section is read.
      params: the parameters, or their shapes.
    """

    def vector_of(path: tuple[str, ...]) -> tuple[str, ...]:
        frozen = config.init.frozen and config.init.part in path[:2]
        kind = "kernel" if path[-1].endswith("kernel") else "other"
        return (config.init.part if frozen else "trained", kind)

    return Flat(params, vector_of)


def _within(part: str, params: Any) -> Any:
    """Where the parameters of one part of the network are."""
    return jax.tree_util.tree_map_with_path(
        lambda path, _: any(getattr(key, "key", None) == part for key in path[:2]), params
    )


def _kernels(params: Any) -> Any:
    return jax.tree_util.tree_map_with_path(lambda path, _: path[-1].key.endswith("kernel"), params)
