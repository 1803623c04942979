"""Fields of a config: their defaults, which values are refused, and in what words."""

import math
import subprocess
import sys

import jax
import pytest

from crnn_jax import UserError
from crnn_jax.config import FIELDS, check, default


def put(config, field, value):
    """Sets a field to a value of any type."""
    *sections, name = field.split(".")
    for section in sections:
        config = config[section]
    with config.ignore_type():
        config[name] = value


def get(config, field):
    for name in field.split("."):
        config = config[name]
    return config


def test_the_default_can_be_used_and_takes_no_other_fields():
    config = default()
    check(config)
    for field in FIELDS:
        assert type(get(config, field)) is type(FIELDS[field].default)
    with pytest.raises(AttributeError, match='Did you mean "steps" instead of "stesp"'):
        config.train.stesp = 10
    with pytest.raises(TypeError):
        config.train.steps = 8.5


def test_every_field_is_explained_and_says_what_it_takes():
    for field in FIELDS.values():
        assert field.about
        assert field.kind.expected()
        assert field.kind.accepts(field.default)
        assert not field.kind.accepts(None)


def test_neither_the_default_nor_help_nor_a_mistyped_flag_imports_jax(project):
    code = """
import sys
from crnn_jax import main
from crnn_jax.config import default

default()
assert main.main(["--help"]) == 0
assert main.main(["--confg=x"]) == 2
assert main.main(["--config=configs/sum8.py", "--config.train.stesp=1"]) == 2
assert not {"jax", "optax", "tensorflow_datasets"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, cwd=project)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("seed", -1),
        ("seed", 2**32),
        ("task.name", "sums"),
        ("task.every_step", 1),
        ("task.min_length", 0),
        ("task.max_length", 1_001),
        ("data.name", "emnist"),
        ("data.name", 3),
        ("data.data_dir", ""),
        ("data.manual_dir", None),
        ("data.feed", "grain"),
        ("data.augment.shift", -1.0),
        ("data.augment.scale", 1.0),
        ("model.convs", 5),
        ("model.convs", (1, 2)),
        ("model.convs", ("abc",)),
        ("model.convs", ((16, 5),)),
        ("model.convs", ((16, 5, 1),)),
        ("model.convs", ((16, 0, True),)),
        ("model.convs", ((16, 101, True),)),
        ("model.convs", ((True, 5, True),)),
        ("model.convs", ((16, 5, True, "valid"),)),
        ("model.convs", ((16, 5, True, True),)),
        ("model.convs", ((16, 5, True, "same", "same"),)),
        ("model.dense", 128),
        ("model.dense", (128, -1)),
        ("model.dense", (8,) * 101),
        ("model.activation", "gelu"),
        ("model.aggregator", "sum"),
        ("model.gru_units", (64.0,)),
        ("model.head", "marginals"),
        ("model.decoder_units", 10),
        ("model.dtype", "float16"),
        ("init.part", "decoder"),
        ("train.batch_size", "64"),
        ("train.steps", 0),
        ("train.steps", 4.0),
        ("train.steps", True),
        ("train.steps", 2**31),
        ("train.optimizer", "adamw"),
        ("train.learning_rate", 0.0),
        ("train.schedule", "cosine"),
        ("eval.lengths", (10, 0)),
        ("eval.lengths", (10_001,)),
        ("checkpoint.keep_best", -1),
    ],
)
def test_a_value_out_of_range_is_named_with_what_was_expected(tiny_config, field, value):
    put(tiny_config, field, value)
    with pytest.raises(UserError) as refusal:
        check(tiny_config)
    line = str(refusal.value)
    assert line.startswith(f"--config.{field}={value}"[:100])
    assert line.endswith(f": expected {FIELDS[field].kind.expected()} ({FIELDS[field].about})")


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf, 10**400, "1", None, True])
def test_no_number_may_be_anything_but_finite(wrong):
    floats = [field for field in FIELDS.values() if isinstance(field.default, float)]
    assert len(floats) >= 6
    assert not any(field.kind.accepts(wrong) for field in floats)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("seed", 2**32 - 1),
        ("data.manual_dir", ""),
        ("model.convs", ()),
        ("model.convs", ((16, 5, True, "same"), (16, 5, False))),
        ("model.dense", (128, 64)),
        ("model.state_dropout", 0),
        ("train.clip_norm", 0),
        ("train.learning_rate", 1e-30),
        ("eval.lengths", (1, 1000)),
    ],
)
def test_a_value_at_the_border_is_accepted(tiny_config, field, value):
    put(tiny_config, field, value)
    check(tiny_config)


def test_the_largest_seed_is_one_that_jax_takes():
    jax.random.key(2**32 - 1)


def test_lengths_that_are_the_wrong_way_round(tiny_config):
    tiny_config.task.min_length = 5
    with pytest.raises(UserError, match=r"^--config\.task\.max_length=4: expected .*=5 or more$"):
        check(tiny_config)


@pytest.mark.parametrize(
    ("field", "value", "needed"),
    [
        ("task.unit", "characters", "the task text"),
        ("train.class_weights", True, "the task class and data of your own"),
        ("data.strip", 4, "pictures of your own"),
    ],
)
def test_what_a_config_does_not_use_is_refused(tiny_config, field, value, needed):
    section, name = field.split(".")
    tiny_config[section][name] = value
    with pytest.raises(UserError, match=f"{field}={value} is only for {needed}.*expected"):
        check(tiny_config)


def test_what_is_frozen_comes_from_a_run_and_is_not_everything(tiny_config):
    tiny_config.init.frozen = True
    with pytest.raises(UserError, match=r"^--config\.init\.frozen=True .* expected a run's folder"):
        check(tiny_config)
    tiny_config.init.workdir = "runs/other"
    check(tiny_config)
    tiny_config.init.part = "all"
    with pytest.raises(UserError, match=r"and the part encoder$"):
        check(tiny_config)


@pytest.mark.parametrize(
    ("bottleneck", "frozen", "fits"),
    [(True, True, True), (False, True, False), (True, False, False)],
)
def test_training_on_labels_needs_an_encoder_that_was_trained(
    tiny_config, bottleneck, frozen, fits
):
    tiny_config.train.on_labels = True
    tiny_config.model.class_bottleneck, tiny_config.init.frozen = bottleneck, frozen
    tiny_config.init.workdir = "runs/other"
    if fits:
        check(tiny_config)
        return
    with pytest.raises(UserError, match=r"on_labels=True trains no encoder: expected model\.class"):
        check(tiny_config)
