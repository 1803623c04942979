"""Configs as runs store them: reading those of older revisions, and comparing two."""

from collections.abc import Mapping
from pkgutil import resolve_name
from typing import Any

from ml_collections import ConfigDict

from crnn_jax import UserError, shown
from crnn_jax.config.checks import check
from crnn_jax.config.fields import FIELDS, RENAMED, make

NOT_OF_TRAINING = (
    "data.data_dir",
    "data.manual_dir",
    "data.fallback",
    "data.path",
    "data.outside",
    "data.feed",
    "model.beam",
    "train.patience",
    "train.steps_per_dispatch",
    "eval.",
    "checkpoint.",
)
"""Fields, and sections, that change nothing of what training computes."""

_LEVELS = 3  # of names in a field at most, as in data.augment.shift
_MOST_SHOWN = 10  # fields in a message


def read_config(stored: Mapping[str, Any], where: str) -> ConfigDict:
    """The config that a run stored, complete and checked.

    Args:
      stored: as it was read from JSON, of any content.
      where: the config's name in the message.

    Raises:
      UserError: an unknown field, or a value that cannot be used.
    """
    config = complete(stored, where)
    try:
        check(config)
    except UserError as error:
        raise UserError(f"{where}: {error}") from error
    return config


def complete(tree: Mapping[str, Any], where: str) -> ConfigDict:
    """A config with renamed fields under their names of today, and the defaults of missing ones.

    Args:
      tree: of any content.
      where: the config's name in the message.

    Raises:
      UserError: an unknown field.
    """
    found = _by_field(tree)
    if unknown := found.keys() - FIELDS.keys():
        raise UserError(
            f"{where} has {shown(', '.join(sorted(unknown)))}, which nothing reads: expected the "
            "fields of crnn_jax/config/fields.py"
        )
    return make(found)


def differences(stored: Mapping[str, Any], config: ConfigDict) -> list[str]:
    """Fields in which a stored config would train otherwise than another, as "field: 1, not 2".

    Of more than ten, the first, and how many more there are.

    `NOT_OF_TRAINING` does not count, nor does `train.steps` if the schedule does not depend on it.

    Args:
      stored: as it was read from JSON.
      config: the other one.
    """
    defaults = {name: field.default for name, field in FIELDS.items()}
    mine, others = defaults | _by_field(stored), defaults | _by_field(config.to_dict())
    found = []
    for name in sorted(mine.keys() | others.keys()):
        # null is not the same as no field.
        same = (name in mine, mine.get(name)) == (name in others, others.get(name))
        if same or name.startswith(NOT_OF_TRAINING):
            continue
        line = f"{shown(name)}: {shown(mine.get(name, 'missing'))}, "
        line += f"not {shown(others.get(name, 'missing'))}"
        if name == "train.steps":
            if config.train.schedule in resolve_name("crnn_jax.model.optimizer.OPEN_ENDED"):
                continue
            line += (
                f", on which {config.train.schedule} depends; a new cycle from these parameters: "
                "--config.init.workdir=RUN --config.init.part=all --workdir=NEW"
            )
        found.append(line)
    more = len(found) - _MOST_SHOWN
    return [*found[:_MOST_SHOWN], f"and {more:,} more"] if more > 0 else found


def validation_draw(stored: Mapping[str, Any]) -> tuple[Any, ...]:
    """The fields that say on which sequences of the validation images a run is scored.

    Args:
      stored: a config as it was read from JSON, of any content.
    """
    names = ("eval.seed", "eval.validation_sequences")
    return tuple(_by_field(stored).get(name, FIELDS[name].default) for name in names)


def _by_field(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Values by field, under their names of today; unknown fields too."""
    found = _flat(tree)
    for old, new in RENAMED.items():
        (old, _, old_value), (new, _, new_value) = old.partition("="), new.partition("=")
        if old == new and found.get(old) == old_value:
            found[new] = new_value
        elif old != new and old in found and new not in found:
            found[new] = found.pop(old)
    return found


def _flat(tree: Mapping[str, Any], prefix: str = "", levels: int = _LEVELS) -> dict[str, Any]:
    """Values by field; a section that is empty or deeper than any field is "NAME.…"."""
    flat = {}
    for name, value in tree.items():
        name = prefix + (repr(name) if "." in name else name)  # "train.steps" is no field of train
        if not isinstance(value, Mapping):
            flat[name] = _tuples(value)
        elif value and levels > 1:
            flat |= _flat(value, f"{name}.", levels - 1)
        else:
            flat[f"{name}.…"] = "a dict"
    return flat


def _tuples(value: Any, levels: int = _LEVELS) -> Any:
    """Tuples for the lists of JSON; lists too deep for any field stay as they are."""
    if levels == 0 or not isinstance(value, list | tuple):
        return value
    return tuple(_tuples(item, levels - 1) for item in value)
