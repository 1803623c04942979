"""Checking a config: each field by itself, then that they fit each other."""

from ml_collections import ConfigDict

from crnn_jax import UserError, shown
from crnn_jax.config.fields import FIELDS, is_own, refusal


def check(config: ConfigDict) -> None:
    """Check each field by itself, then that they fit each other.

    Args:
      config: holds every field, as those built on `default()` do.

    Raises:
      UserError: a value that cannot be used; says what would do.
    """
    for name, field in FIELDS.items():
        value = config
        for part in name.split("."):
            value = value[part]
        if not field.kind.accepts(value):
            raise refusal(name, shown(value))
    _check_parts(config)
    _check_augmentation(config)


def _check_parts(config: ConfigDict) -> None:
    shortest, longest, init = config.task.min_length, config.task.max_length, config.init
    if longest < shortest:
        raise UserError(
            f"--config.task.max_length={longest}: expected task.min_length={shortest} or more"
        )
    own = is_own(config.data)
    for name, unused, needed, fits in (
        ("task.unit", "words", "the task text", config.task.name == "text"),
        (
            "train.class_weights",
            False,
            "the task class and data of your own",
            own and config.task.name == "class",
        ),
        ("data.strip", 0, "pictures of your own, by data.path", own),
    ):
        section, field = name.split(".")
        if config[section][field] != unused and not fits:
            raise UserError(
                f"--config.{name}={config[section][field]} is only for {needed}: expected {unused}"
            )
    if init.frozen and (not init.workdir or init.part == "all"):
        raise UserError(
            f"--config.init.frozen=True with init.workdir={init.workdir!r} and init.part="
            f"{init.part}: expected a run's folder, and the part encoder"
        )
    on_classes = config.model.class_bottleneck and config.model.aggregator != "none"
    if config.train.on_labels and not (on_classes and init.frozen):
        raise UserError(
            "--config.train.on_labels=True trains no encoder: expected model.class_bottleneck=True "
            "with an aggregator, and init.frozen=True with the folder of a run that classifies"
        )


def _check_augmentation(config: ConfigDict) -> None:
    """What is for lines alone, and what is not for them."""
    task, augment = config.task.name, config.data.augment
    for name in ("flip",) if task == "line" else ("slant", "thickness", "noise"):
        if augment[name]:
            others = "lines" if task != "line" else "other sequences"
            raise UserError(
                f"--config.data.augment.{name}={augment[name]} is for {others}, and not for the "
                f"task {task}: expected 0"
            )
