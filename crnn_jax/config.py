"""What a config must hold, field by field, before anything is built from it."""

import math
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from crnn_jax.data.corpora import NUM_CLASSES
from crnn_jax.data.draw import Draw
from crnn_jax.data.feed import FEEDS
from crnn_jax.errors import UserError
from crnn_jax.model.crnn import HEADS
from crnn_jax.model.encoder import ACTIVATIONS
from crnn_jax.model.flops import conv_sizes
from crnn_jax.optimizer import OPTIMIZERS, SCHEDULES
from crnn_jax.tasks import TASKS


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
    return type(value) in (int, float) and math.isfinite(value)


def _at_least_0(below: float = math.inf) -> Rule:
    limit = "" if below == math.inf else f" and less than {below}"
    return Rule(
        lambda value: _is_number(value) and 0 <= value < below, f"a number, 0 or more{limit}"
    )


def _one_of(names: Collection[str]) -> Rule:
    return Rule(lambda value: isinstance(value, str) and value in names, " or ".join(names))


def _is_conv(layer: Any) -> bool:
    match layer:
        case (features, size, bool()):
            return _whole(1).accepts(features) and _whole(1).accepts(size)
    return False


def _all(accepts: Callable[[Any], bool]) -> Callable[[Any], bool]:
    # JSON has lists where a config has tuples.
    return lambda value: isinstance(value, tuple | list) and all(map(accepts, value))


FIELDS: dict[str, Rule] = {
    "seed": _whole(0, 2**32 - 1),
    "task.name": _one_of(TASKS),
    "task.min_length": _whole(1),
    "task.max_length": _whole(1),
    "data.corpus": _one_of(NUM_CLASSES),
    "data.data_dir": Rule(lambda value: isinstance(value, str) and value != "", "a folder"),
    "data.manual_dir": Rule(lambda value: isinstance(value, str), "a folder, or nothing"),
    "data.fallback": Rule(lambda value: isinstance(value, bool), "true or false"),
    "data.feed": _one_of(FEEDS),
    "data.augment.shift": _at_least_0(),
    "data.augment.turn": _at_least_0(),
    "data.augment.scale": _at_least_0(below=1),
    "data.augment.elastic": _at_least_0(),
    "model.convs": Rule(
        _all(_is_conv), '(features, kernel size, pool) of each layer, as in "((16, 5, True),)"'
    ),
    "model.dense": _whole(0),
    "model.activation": _one_of(ACTIVATIONS),
    "model.recurrent": Rule(
        lambda value: _all(_whole(1).accepts)(value) and len(value) > 0,
        'the units of one or more GRU layers, as in "(100, 50)"',
    ),
    "model.feature_dropout": _at_least_0(below=1),
    "model.dropout": _at_least_0(below=1),
    "model.head": _one_of(HEADS),
    "model.dtype": _one_of(("float32", "bfloat16")),
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
    "eval.every": _whole(1),
    "eval.validation_sequences": _whole(1),
    "eval.test_sequences": _whole(1),
    "eval.seed": _whole(0, 2**32 - 1),
    "checkpoint.every": _whole(1),
    "checkpoint.keep_latest": _whole(1),
    "checkpoint.keep_best": _whole(0),
}
"""Every field of a config; what each of them means is said in the config files."""

WHERE_DATA_LIES = ("data.data_dir", "data.manual_dir", "data.fallback", "data.feed")
"""Fields that change nothing of what a run computes."""


def variant(config: ConfigDict, name: str | None) -> ConfigDict:
    """What `--config=FILE:name` asks of a config file: all of it, or "smoke".

    Raises:
      UserError: another name.
    """
    if name is None:
        return config
    if name != "smoke":
        raise UserError(f"--config=FILE:{name}: expected FILE, or FILE:smoke for a run of seconds")
    return smoke(config)


def smoke(config: ConfigDict) -> ConfigDict:
    """Shrinks a config to a run of seconds that goes through all the motions."""
    config.train.steps = 4
    config.train.steps_per_dispatch = 2
    config.eval.every = 2
    config.eval.validation_sequences = 80
    config.eval.test_sequences = 800
    config.checkpoint.every = 2
    return config


def micro_batch_size(config: ConfigDict, devices: int, backend: str) -> int:
    """Sequences that one device encodes at once.

    On a CPU, 32 sequences or fewer: what they need stays near the L2 cache.
    """
    device_batch = config.train.batch_size // devices
    if config.train.micro_batch_size:
        return config.train.micro_batch_size
    if backend != "cpu" or device_batch <= 32:
        return device_batch
    period = Draw(0, config.task.min_length, config.task.max_length, 1).period
    fitting = [n for n in range(period, 33, period) if device_batch % n == 0]
    return fitting[-1] if fitting else device_batch


def check(config: ConfigDict, devices: int, backend: str) -> None:
    """Checks everything that training needs of a config.

    Args:
      config: a whole config.
      devices: devices of all processes.
      backend: JAX's name of the platform.

    Raises:
      UserError: a value that cannot be used, and what would do.
    """
    check_names(config)
    check_fields(config)
    _check_batch(config, devices, backend)
    _check_steps(config)


def check_names(config: ConfigDict, where: str = "the config") -> None:
    """Checks that a config holds the fields there are, and no others.

    Args:
      config: of any content.
      where: the config's name in the message.

    Raises:
      UserError: names a field that is missing or not known.
    """
    found = _flat(config.to_dict())
    for field, rule in FIELDS.items():
        if field not in found:
            raise UserError(f"{where} lacks {field}: expected {rule.expected}")
    if unknown := found.keys() - FIELDS.keys():
        raise UserError(
            f"{where} has {', '.join(sorted(unknown))}, which nothing reads: expected the fields "
            "of configs/sum8.py"
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
            raise UserError(f"--config.{field}={value}: expected {rule.expected}")
    if config.task.max_length < config.task.min_length:
        raise UserError(
            f"--config.task.max_length={config.task.max_length}: expected "
            f"task.min_length={config.task.min_length} or more"
        )
    height, width = conv_sizes(config.model.convs, 28, 28)[-1]
    if height < 1 or width < 1:
        raise UserError(
            f"--config.model.convs={config.model.convs} leaves nothing of a frame of 28x28: "
            "expected fewer or smaller kernels and pools"
        )


def differences(stored: Mapping[str, Any], config: ConfigDict) -> list[str]:
    """Fields of which a stored config and another hold different values, as "field: 1, not 2".

    Where data lies and how it is fed does not count: it changes nothing of what is computed.

    Args:
      stored: as it was read from JSON.
      config: the other one.
    """
    mine, others = _flat(stored), _flat(config.to_dict())
    return [
        f"{field}: {mine.get(field, 'missing')}, not {others.get(field, 'missing')}"
        for field in sorted(mine.keys() | others.keys())
        if field not in WHERE_DATA_LIES and mine.get(field) != others.get(field)
    ]


def _check_batch(config: ConfigDict, devices: int, backend: str) -> None:
    batch = config.train.batch_size
    period = Draw(0, config.task.min_length, config.task.max_length, 1).period
    if batch % (devices * period):
        raise UserError(
            f"--config.train.batch_size={batch}: expected a multiple of {devices * period}, "
            f"which is {devices} device(s) x {period} sequences that hold each length equally often"
        )
    micro = micro_batch_size(config, devices, backend)
    if micro % period or batch // devices % micro:
        raise UserError(
            f"--config.train.micro_batch_size={micro}: expected a multiple of {period} that "
            f"divides the {batch // devices} sequences of a device, or 0"
        )


def _check_steps(config: ConfigDict) -> None:
    dispatch = config.train.steps_per_dispatch
    for field in ("train.steps", "eval.every", "checkpoint.every"):
        if _get(config, field) % dispatch:
            raise UserError(
                f"--config.{field}={_get(config, field)}: expected a multiple of "
                f"train.steps_per_dispatch={dispatch}"
            )


def _get(config: ConfigDict, field: str) -> Any:
    for name in field.split("."):
        config = config[name]
    return config


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat = {}
    for name, value in tree.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = _as_json_has_it(value)
    return flat


def _as_json_has_it(value: Any) -> Any:
    return [_as_json_has_it(item) for item in value] if isinstance(value, list | tuple) else value
