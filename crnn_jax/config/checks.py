"""What a config must hold, field by field, before anything is built from it."""

import math
import sys
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from crnn_jax import UserError
from crnn_jax.data.feed import FEEDS
from crnn_jax.data.sources import SOURCES
from crnn_jax.model.crnn import AGGREGATORS, HEADS
from crnn_jax.model.decoder import ATTENTIONS
from crnn_jax.model.encoder import ACTIVATIONS
from crnn_jax.tasks import TASKS
from crnn_jax.train.optimizer import OPTIMIZERS, SCHEDULES

# More than anyone needs; what is far more would take hours or all memory before it is refused.
_LONGEST_TRAINED, _LONGEST_TESTED = 1_000, 10_000  # frames; the head `marginal` takes length²
_LARGEST_KERNEL = 100  # pixels; frames have 28 or some more
_MOST_ITEMS = 100  # layers, or lengths

_LEVELS = 3  # of names in a field, at most, as in data.augment.shift
_LONGEST_SHOWN = 100  # characters of a value in a message
_MOST_SHOWN = 10  # fields in a message


class Rule(NamedTuple):
    """What values a field takes, as a test and in words."""

    accepts: Callable[[Any], bool]
    expected: str


def _whole(least: int, most: int = 2**31 - 1) -> Rule:
    # By `type`, because a bool is an int too.
    return Rule(
        lambda value: type(value) is int and least <= value <= most,
        f"a whole number from {least} to {most:,}",
    )


def _is_number(value: Any) -> bool:
    # By comparing, because `math.isfinite` fails on whole numbers of hundreds of digits.
    return type(value) in (int, float) and abs(value) <= sys.float_info.max


def _at_least_0(below: float = math.inf) -> Rule:
    limit = "" if below == math.inf else f" and less than {below}"
    return Rule(
        lambda value: _is_number(value) and 0 <= value < below, f"a number, 0 or more{limit}"
    )


def _one_of(names: Collection[str]) -> Rule:
    return Rule(lambda value: isinstance(value, str) and value in names, " or ".join(names))


def _is_conv(layer: Any) -> bool:
    match layer:
        case (features, size, bool()) | (features, size, bool(), "same"):
            return _whole(1).accepts(features) and _whole(1, _LARGEST_KERNEL).accepts(size)
    return False


def _all(accepts: Callable[[Any], bool]) -> Callable[[Any], bool]:
    # JSON has lists where a config has tuples.
    return lambda value: (
        isinstance(value, tuple | list) and len(value) <= _MOST_ITEMS and all(map(accepts, value))
    )


TRUE_OR_FALSE = Rule(lambda value: isinstance(value, bool), "true or false")

WHOLE_NUMBERS = _all(_whole(1).accepts)

FIELDS: dict[str, Rule] = {
    "seed": _whole(0, 2**32 - 1),
    "task.name": _one_of(TASKS),
    "task.min_length": _whole(1, _LONGEST_TRAINED),
    "task.max_length": _whole(1, _LONGEST_TRAINED),
    "task.every_step": TRUE_OR_FALSE,
    "data.corpus": _one_of(SOURCES),
    "data.data_dir": Rule(lambda value: isinstance(value, str) and value != "", "a folder"),
    "data.manual_dir": Rule(lambda value: isinstance(value, str), "a folder, or nothing"),
    "data.fallback": TRUE_OR_FALSE,
    "data.feed": _one_of(FEEDS),
    "data.augment.shift": _at_least_0(),
    "data.augment.turn": _at_least_0(),
    "data.augment.scale": _at_least_0(below=1),
    "data.augment.elastic": _at_least_0(),
    "model.convs": Rule(
        _all(_is_conv),
        f"(features, kernel size up to {_LARGEST_KERNEL}, pool) of each layer, {_MOST_ITEMS} at "
        'most, as in "((16, 5, True),)"',
    ),
    "model.dense": Rule(
        WHOLE_NUMBERS, f'the features of each dense layer, {_MOST_ITEMS} at most, as in "(128,)"'
    ),
    "model.activation": _one_of(ACTIVATIONS),
    "model.class_bottleneck": TRUE_OR_FALSE,
    "model.aggregator": _one_of(AGGREGATORS),
    "model.gru_units": Rule(
        WHOLE_NUMBERS, f'the units of each GRU layer, {_MOST_ITEMS} at most, as in "(100, 50)"'
    ),
    "model.encoder_dropout": _at_least_0(below=1),
    "model.state_dropout": _at_least_0(below=1),
    "model.head": _one_of(HEADS),
    "model.decoder_units": Rule(
        lambda value: _whole(0).accepts(value) and value % ATTENTIONS == 0,
        f"a multiple of {ATTENTIONS}",
    ),
    "model.dtype": _one_of(("float32", "bfloat16")),
    "init.workdir": Rule(lambda value: isinstance(value, str), "the folder of a run, or nothing"),
    "init.part": _one_of(("encoder", "all")),
    "init.frozen": TRUE_OR_FALSE,
    "train.batch_size": _whole(1),
    "train.micro_batch_size": _whole(0),
    "train.steps": _whole(1),
    "train.steps_per_dispatch": _whole(1),
    "train.optimizer": _one_of(OPTIMIZERS),
    "train.learning_rate": Rule(
        lambda value: _is_number(value) and value > 0, "a finite number above 0"
    ),
    "train.schedule": _one_of(SCHEDULES),
    "train.weight_decay": _at_least_0(),
    "train.clip_norm": _at_least_0(),
    "train.on_labels": TRUE_OR_FALSE,
    "eval.every": _whole(1),
    "eval.validation_sequences": _whole(1),
    "eval.test_sequences": _whole(1),
    "eval.lengths": Rule(
        _all(_whole(1, _LONGEST_TESTED).accepts),
        f"up to {_MOST_ITEMS} lengths of at most {_LONGEST_TESTED:,} frames, as in "
        '"(1, 10, 100)", or "()"',
    ),
    "eval.seed": _whole(0, 2**32 - 1),
    "checkpoint.every": _whole(1),
    "checkpoint.keep_latest": _whole(1),
    "checkpoint.keep_best": _whole(0),
}
"""Every field of a config; what each of them means is said in the config files."""

NOT_OF_TRAINING = (
    "data.data_dir",
    "data.manual_dir",
    "data.fallback",
    "data.feed",
    "eval.lengths",
)
"""Fields that change nothing of what training computes."""


def read_config(stored: Mapping[str, Any], where: str) -> ConfigDict:
    """The config that a run stored, checked: nothing is taken for granted.

    Args:
      stored: as it was read from JSON, of any content.
      where: the config's name in the message.

    Raises:
      UserError: a field that is missing or not known, or a value that cannot be used.
    """
    # Before there is a ConfigDict, which takes not all names and no end of dicts in dicts.
    check_names(stored, where)
    try:
        config = ConfigDict(stored)
        check_fields(config)
    except UserError as error:
        raise UserError(f"{where}: {error}") from error
    return config


def check(config: ConfigDict) -> None:
    """`check_names`, then `check_fields`."""
    check_names(config)
    check_fields(config)


def check_names(config: ConfigDict | Mapping[str, Any], where: str = "the config") -> None:
    """Checks that a config holds the fields there are, and no others.

    Args:
      config: of any content.
      where: the config's name in the message.

    Raises:
      UserError: names a field that is missing or not known.
    """
    found = _flat(config.to_dict() if isinstance(config, ConfigDict) else config)
    for field, rule in FIELDS.items():
        if field not in found:
            raise UserError(f"{where} lacks {field}: expected {rule.expected}")
    if unknown := found.keys() - FIELDS.keys():
        raise UserError(
            f"{where} has {_shown(', '.join(sorted(unknown)))}, which nothing reads: expected the "
            "fields of configs/sum8.py"
        )


def check_fields(config: ConfigDict) -> None:
    """Checks each field by itself, and what must fit wherever the config is used.

    Args:
      config: holds the fields there are (`check_names`).

    Raises:
      UserError: a value that cannot be used, and what would do.
    """
    for field, rule in FIELDS.items():
        value = _get(config, field)
        if not rule.accepts(value):
            raise UserError(f"--config.{field}={_shown(value)}: expected {rule.expected}")
    if config.task.max_length < config.task.min_length:
        raise UserError(
            f"--config.task.max_length={config.task.max_length}: expected "
            f"task.min_length={config.task.min_length} or more"
        )
    _check_initial(config)


def _check_initial(config: ConfigDict) -> None:
    """Checks that what is kept frozen is not everything, or nothing that was trained."""
    if config.init.frozen and (not config.init.workdir or config.init.part == "all"):
        raise UserError(
            f"--config.init.frozen=True with init.workdir={config.init.workdir!r} and init.part="
            f"{config.init.part}: expected a run's folder, and the part encoder"
        )
    if not config.train.on_labels:
        return
    aggregates = config.model.aggregator != "none"
    if not (aggregates and config.model.class_bottleneck and config.init.frozen):
        raise UserError(
            "--config.train.on_labels=True trains no encoder: expected model.class_bottleneck=True with an "
            "aggregator and, to have an encoder that classifies, init.frozen=True with the folder "
            "of its run"
        )


def differences(stored: Mapping[str, Any], config: ConfigDict) -> list[str]:
    """Fields of which a stored config and another hold different values, as "field: 1, not 2".

    Of more than ten, the first, and how many more there are.

    Where data lies, how it is fed and what else is tested does not count.

    Args:
      stored: as it was read from JSON.
      config: the other one.
    """
    mine, others = _flat(stored), _flat(config.to_dict())
    different = [
        f"{_shown(field)}: {_shown(mine.get(field, 'missing'))}, "
        f"not {_shown(others.get(field, 'missing'))}"
        for field in sorted(mine.keys() | others.keys())
        if field not in NOT_OF_TRAINING
        # null is not the same as no field.
        and (field in mine, mine.get(field)) != (field in others, others.get(field))
    ]
    more = len(different) - _MOST_SHOWN
    return [*different[:_MOST_SHOWN], f"and {more:,} more"] if more > 0 else different


def _get(config: ConfigDict, field: str) -> Any:
    for name in field.split("."):
        config = config[name]
    return config


def _flat(tree: Mapping[str, Any], prefix: str = "", levels: int = _LEVELS) -> dict[str, Any]:
    """Values by field; what is empty or deeper than any field stands there too, as "NAME.…"."""
    flat = {}
    for name, value in tree.items():
        name = prefix + (repr(name) if "." in name else name)  # "train.steps" is no field of train
        if not isinstance(value, Mapping):
            flat[name] = _as_json_has_it(value)
        elif value and levels > 1:
            flat |= _flat(value, f"{name}.", levels - 1)
        else:
            flat[f"{name}.…"] = "a dict"
    return flat


def _as_json_has_it(value: Any, levels: int = _LEVELS) -> Any:
    """Lists for tuples; those too deep for any field stay as they are."""
    if levels == 0 or not isinstance(value, list | tuple):
        return value
    return [_as_json_has_it(item, levels - 1) for item in value]


def _shown(value: Any) -> str:
    """A value in a message: whatever it is, one short line."""
    try:
        text = str(value)
    except (RecursionError, ValueError):  # lists in lists without end; thousands of digits
        return f"a huge {type(value).__name__}"
    text = text if text.isprintable() else ascii(text)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"
