"""Tasks: what is asked of a sequence, and how an answer is judged and shown."""

from collections.abc import Callable

from ml_collections import ConfigDict

from crnn_jax.data.dataset import DatasetInfo
from crnn_jax.tasks.number import Class, Product, Sum
from crnn_jax.tasks.task import Task
from crnn_jax.tasks.written import Addition, Caption

TASKS: dict[str, Callable[..., Task]] = {
    "sum": Sum,
    "product": Product,
    "class": Class,
    "addition": Addition,
    "caption": Caption,
}
"""The task of a config, by its `task.name`."""


def build(config: ConfigDict, dataset: DatasetInfo, length: int | None = None) -> Task:
    """The task of a config.

    Args:
      config: its `task` section and `eval.lengths` are read.
      dataset: what the images are.
      length: images of all sequences, where they are not those of the config.

    Raises:
      UserError: these images or lengths do not go with the task.
    """
    task = config.task
    lengths = (task.min_length, task.max_length) if length is None else (length, length)
    built = TASKS[task.name](task.name, *lengths, task.every_step, dataset)
    built.check(tuple(config.eval.lengths))
    return built
