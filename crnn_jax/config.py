"""What a config must hold before anything is built from it."""

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

CHOICES = {
    "data.corpus": NUM_CLASSES,
    "data.feed": FEEDS,
    "task.name": TASKS,
    "model.activation": ACTIVATIONS,
    "model.head": HEADS,
    "model.dtype": ("float32", "bfloat16"),
    "train.optimizer": OPTIMIZERS,
    "train.schedule": SCHEDULES,
}
AT_LEAST = {
    "seed": 0,
    "task.min_length": 1,
    "task.max_length": 1,
    "data.augment.shift": 0,
    "data.augment.turn": 0,
    "data.augment.scale": 0,
    "data.augment.shear": 0,
    "model.dense": 0,
    "model.feature_dropout": 0,
    "model.dropout": 0,
    "train.batch_size": 1,
    "train.micro_batch_size": 0,
    "train.steps": 1,
    "train.steps_per_dispatch": 1,
    "train.clip_norm": 0,
    "eval.every": 1,
    "eval.validation_sequences": 1,
    "eval.test_sequences": 1,
    "eval.seed": 0,
    "checkpoint.every": 1,
    "checkpoint.keep_latest": 1,
    "checkpoint.keep_best": 0,
}
BELOW = {"model.feature_dropout": 1, "model.dropout": 1, "data.augment.scale": 1, "seed": 2**32, "eval.seed": 2**32}

WHERE_DATA_LIES = ("data.data_dir", "data.manual_dir", "data.fallback", "data.feed")
"""Fields that change nothing of what a run computes."""


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

    On a CPU, 64 sequences or fewer: what they need stays near the L2 cache.
    """
    device_batch = config.train.batch_size // devices
    if config.train.micro_batch_size:
        return config.train.micro_batch_size
    if backend != "cpu" or device_batch <= 64:
        return device_batch
    period = Draw(0, config.task.min_length, config.task.max_length, 1).period
    fitting = [n for n in range(period, 65, period) if device_batch % n == 0]
    return fitting[-1] if fitting else device_batch


def check(config: ConfigDict, devices: int, backend: str) -> None:
    """Checks every field that a user may set.

    Args:
      config: a whole config.
      devices: devices of all processes.
      backend: JAX's name of the platform.

    Raises:
      UserError: a value that cannot be used, and what would do.
    """
    for field, choices in CHOICES.items():
        value = _get(config, field)
        if value not in choices:
            raise UserError(f"--config.{field}={value}: expected one of {', '.join(choices)}")
    for field, least in AT_LEAST.items():
        if not _get(config, field) >= least:
            raise UserError(f"--config.{field}={_get(config, field)}: expected {least} or more")
    for field, limit in BELOW.items():
        if not _get(config, field) < limit:
            raise UserError(f"--config.{field}={_get(config, field)}: expected less than {limit}")
    if not 0 < config.train.learning_rate < float("inf"):
        raise UserError(
            f"--config.train.learning_rate={config.train.learning_rate}: expected more than 0"
        )
    if config.task.max_length < config.task.min_length:
        raise UserError(
            f"--config.task.max_length={config.task.max_length}: expected "
            f"task.min_length={config.task.min_length} or more"
        )
    _check_model(config)
    _check_batch(config, devices, backend)
    _check_steps(config)


def differences(config: ConfigDict, other: ConfigDict) -> list[str]:
    """Fields of which two configs hold different values, as "field: value, not other value".

    Where data lies and how it is fed does not count: it changes nothing of what is computed.
    """
    mine, others = _flat(config.to_dict()), _flat(other.to_dict())
    return [
        f"{field}: {mine.get(field)}, not {others.get(field)}"
        for field in sorted(mine.keys() | others.keys())
        if field not in WHERE_DATA_LIES and mine.get(field) != others.get(field)
    ]


def _check_model(config: ConfigDict) -> None:
    for layer in config.model.convs:
        whole = len(layer) == 3 and all(isinstance(n, int) and n >= 1 for n in layer[:2])
        if not whole or not isinstance(layer[2], bool):
            raise UserError(
                f"--config.model.convs has {layer}: expected (features, kernel size, pool), "
                "such as (16, 5, True)"
            )
    height, width = conv_sizes(config.model.convs, 28, 28)[-1]
    if height < 1 or width < 1:
        raise UserError(
            f"--config.model.convs={config.model.convs} leaves nothing of a frame of 28x28: "
            "expected fewer or smaller kernels and pools"
        )
    units = config.model.recurrent
    if not units or not all(isinstance(n, int) and n >= 1 for n in units):
        raise UserError(
            f"--config.model.recurrent={units}: expected the units of one or more GRU layers, "
            "such as (100, 50)"
        )


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


def _get(config: ConfigDict, field: str) -> object:
    for name in field.split("."):
        config = config[name]
    return config


def _flat(tree: dict, prefix: str = "") -> dict[str, object]:
    flat = {}
    for name, value in tree.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = _as_json_has_it(value)
    return flat


def _as_json_has_it(value: object) -> object:
    return [_as_json_has_it(item) for item in value] if isinstance(value, list | tuple) else value
