"""Tasks: what is asked of a sequence, and how an answer is judged and shown."""

import dataclasses

from ml_collections import ConfigDict

from crnn_jax import UserError
from crnn_jax.config import is_own
from crnn_jax.data.dataset import DatasetInfo
from crnn_jax.tasks.composed import Composed
from crnn_jax.tasks.line import LineOfImages
from crnn_jax.tasks.number import Class, Product, Sum
from crnn_jax.tasks.stored import ClassOfSequence, NumberOfFrame, NumberOfSequence, Stored
from crnn_jax.tasks.stored_line import LineOfPicture
from crnn_jax.tasks.task import Task
from crnn_jax.tasks.text import TextOfSequence
from crnn_jax.tasks.unpadded import UnpaddedAddition
from crnn_jax.tasks.written import Addition, Caption

COMPOSED: dict[str, type[Composed]] = {
    "sum": Sum,
    "product": Product,
    "class": Class,
    "addition": Addition,
    "addition_unpadded": UnpaddedAddition,
    "caption": Caption,
    "line": LineOfImages,
}
"""Tasks about sequences of labelled images, by a config's `task.name`."""

STORED: dict[str, type[Stored]] = {
    "class": ClassOfSequence,
    "number": NumberOfSequence,
    "number_per_frame": NumberOfFrame,
    "text": TextOfSequence,
    "line": LineOfPicture,
}
"""Tasks about data of one's own, by a config's `task.name`."""

TASKS = tuple(dict.fromkeys((*COMPOSED, *STORED)))


def is_stored(config: ConfigDict) -> bool:
    """Whether a config asks about stored sequences, and composes none of labelled images.

    Lines can be either: pictures of them are stored in strips.

    Raises:
      UserError: the task is not for the data that the config names.
    """
    name, own = config.task.name, is_own(config.data)
    if own and name in STORED:
        return name != "line" or config.data.strip > 0
    if not own and name not in COMPOSED:
        raise UserError(
            f"--config.task.name={name} is about clips with answers, and {config.data.name} has "
            "labelled images: expected --config.data.path=PATH, or "
            f"{' or '.join(COMPOSED)}"
        )
    return False


def wanted_answer(config: ConfigDict) -> str:
    """The kind of answer that a config's own data must have; see `DatasetInfo`.

    Raises:
      UserError: pictures are read as lines for a task about other things; or see `is_stored`.
    """
    if config.data.strip and config.task.name != "line":
        raise UserError(
            f"--config.data.strip={config.data.strip} has pictures read as lines, and task.name="
            f"{config.task.name} is about other things: expected data.strip=0, or the task line"
        )
    return STORED[config.task.name].answer if is_stored(config) else "class"


def build(config: ConfigDict, dataset: DatasetInfo, length: int | None = None) -> Task:
    """The task of a config.

    Args:
      config: its `task` section and `eval.lengths` are read.
      dataset: what the images or sequences are.
      length: images of all sequences, where they are not those of the config.

    Raises:
      UserError: these images or lengths do not go with the task.
    """
    task = config.task
    if is_stored(config):
        unit = (task.unit,) if task.name == "text" else ()
        return STORED[task.name](task.name, dataset, config.train.class_weights, *unit)
    lengths, once = (task.min_length, task.max_length), config.data.once
    built = COMPOSED[task.name](task.name, dataset, *lengths, task.every_step, once)
    if once and task.min_length != task.max_length:
        raise UserError(
            f"--config.data.once=True with sequences of {task.min_length} to {task.max_length} "
            "images: expected task.min_length and max_length to be the same"
        )
    built.check(tuple(config.eval.lengths))
    if length is None:
        return built
    return dataclasses.replace(built, min_length=length, max_length=length)
