"""What is asked of a sequence: the right answer at every step, from the labels of its frames."""

from collections.abc import Callable

import jax.numpy as jnp
from jax import Array, lax


def running_sum(labels_TxN: Array, starts_TxN: Array) -> Array:
    """The sum of the labels of the sequence so far, TxN int32.

    Args:
      labels_TxN: labels of the frames.
      starts_TxN: bool, true where a sequence starts.
    """

    def add(total_N: Array, inputs: tuple[Array, Array]) -> tuple[Array, Array]:
        labels_N, starts_N = inputs
        total_N = jnp.where(starts_N, 0, total_N) + labels_N
        return total_N, total_N

    return lax.scan(add, jnp.zeros_like(labels_TxN[0]), (labels_TxN, starts_TxN))[1]


TASKS: dict[str, Callable[[Array, Array], Array]] = {"sum": running_sum}
"""The task of a config, by its `task.name`."""
