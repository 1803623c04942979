"""Stored configs: those of older revisions are read, and what makes two runs the same."""

import copy
import json

import pytest

from crnn_jax import UserError
from crnn_jax.config import FIELDS, default, differences, read_config
from crnn_jax.config.stored import NOT_OF_TRAINING
from tests.config_fields_test import get, put


@pytest.fixture
def stored(tiny_config):
    """The config as a run stores it."""
    return json.loads(tiny_config.to_json())


def test_a_stored_config_comes_back(tiny_config, stored):
    assert read_config(stored, "config.json").to_dict() == tiny_config.to_dict()


def test_a_field_that_is_missing_has_its_default(tiny_config, stored):
    for field in ("init", "seed", "model.dtype", "checkpoint.keep_best"):
        section, _, name = field.rpartition(".")
        del (stored[section] if section else stored)[name]
    found = read_config(stored, "config.json")
    assert found.to_dict() == tiny_config.to_dict()
    assert differences(stored, tiny_config) == []
    tiny_config.seed = 3
    assert differences(stored, tiny_config) == ["seed: 0, not 3"]


OLD_NAMES = {
    "recurrent": "gru_units",
    "decoder": "decoder_units",
    "feature_dropout": "encoder_dropout",
    "dropout": "state_dropout",
    "classify": "class_bottleneck",
}


def test_a_config_of_revision_63bc817_is_read_under_the_names_of_today(load_config):
    config = load_config("addition3:digits")
    stored = json.loads(config.to_json())
    stored["task"]["name"] = "glyph"
    for old, new in OLD_NAMES.items():
        stored["model"][old] = stored["model"].pop(new)
    assert read_config(stored, "config.json").to_dict() == config.to_dict()
    assert differences(stored, config) == []


def test_a_field_under_both_names_is_refused(stored):
    stored["model"]["dropout"] = 0.1
    with pytest.raises(UserError, match=r"^config\.json has model\.dropout, which nothing reads"):
        read_config(stored, "config.json")


def test_numbers_of_any_size_are_refused_in_one_short_line(stored):
    for value in (10**400, -(10**400), 10**5000):
        stored["train"]["learning_rate"] = value
        with pytest.raises(UserError, match=r"learning_rate=(-?1000.*…|a huge int): exp") as error:
            read_config(stored, "config.json")
        assert len(str(error.value)) < 300


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"train.steps": 3}, r"config\.json has 'train\.steps', which nothing reads"),
        ({"train": 3}, r"config\.json has train, which nothing reads"),
        ({"seed": {}}, r"config\.json has seed\.…, which nothing reads"),
        ({"items": {}}, r"config\.json has items\.…, which nothing reads"),
        ({"__class__": 3}, r"config\.json has __class__, which nothing reads"),
        ({"x\ny\x1b": 1}, r"config\.json has 'x\\ny\\x1b', which nothing reads"),
        ({"x" * 10_000: 1}, r"config\.json has x{100}…, which nothing reads"),
        ({"seed": [[]] * 10_000}, r"config\.json: --config\.seed=\(.*…: expected a whole number"),
        ({"seed": None}, r"config\.json: --config\.seed=None: expected a whole number"),
    ],
)
def test_a_stored_config_of_any_content_is_refused_in_one_line(stored, more, message):
    with pytest.raises(UserError, match=f"^{message}") as error:
        read_config(stored | more, "config.json")
    assert str(error.value).isprintable()


def test_differences_leave_out_what_changes_nothing_of_training(tiny_config, stored):
    assert differences(stored, tiny_config) == []
    free = [field for field in FIELDS if field.startswith(NOT_OF_TRAINING)]
    assert {"data.data_dir", "data.feed", "eval.every", "checkpoint.keep_best"} <= set(free)
    for field in free:
        put(tiny_config, field, "elsewhere")
    assert differences(stored, tiny_config) == []
    for field in FIELDS.keys() - free:
        other = tiny_config.copy_and_resolve_references()
        put(other, field, "other")
        (line,) = differences(stored, other)
        assert line.startswith(f"{field}: {get(tiny_config, field)}, not other")


def test_differences_are_told_field_by_field(tiny_config, stored):
    tiny_config.model.gru_units = (16, 8)
    tiny_config.train.learning_rate = 0.5
    stored["model"]["width"] = 3
    stored["seed"] = None
    assert differences(stored, tiny_config) == [
        "model.gru_units: (16,), not (16, 8)",
        "model.width: 3, not missing",
        "seed: None, not 0",
        "train.learning_rate: 0.003, not 0.5",
    ]


@pytest.mark.parametrize("steps", [2, 400])
def test_a_run_may_have_other_steps_where_the_schedule_does_not_depend_on_them(steps):
    config = default()
    stored = json.loads(config.to_json())
    config.train.steps = steps
    assert differences(stored, config) == []
    config.train.schedule = "one_cycle"
    assert len(differences(stored, config)) == 2


def test_other_steps_of_one_cycle_are_refused_with_how_to_start_anew(tiny_config, stored):
    tiny_config.train.steps = 400
    assert differences(stored, tiny_config) == [
        "train.steps: 4, not 400, on which one_cycle depends; a new cycle from these parameters: "
        "--config.init.workdir=RUN --config.init.part=all --workdir=NEW"
    ]


def test_differences_are_few_and_short(tiny_config, stored):
    many = stored | {f"x{i:03}": None for i in range(500)}
    found = differences(many, tiny_config)
    assert found[0] == "x000: None, not missing"
    assert found[10:] == ["and 490 more"]
    deep = []
    for _ in range(5000):
        deep = [deep]
    (found,) = differences(copy.copy(stored) | {"seed": deep}, tiny_config)
    assert found.startswith("seed: ")
    assert len(found) < 200
    (found,) = differences(stored | {"seed": "\n" * 1000}, tiny_config)
    assert found.startswith(r"seed: '\n\n")
    assert len(found) < 150
