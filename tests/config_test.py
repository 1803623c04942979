"""Configs: which values are refused, in what words, and what makes two runs the same."""

import json
import math

import jax
import pytest
from crnn_jax.config.checks import (
    FIELDS,
    NOT_OF_TRAINING,
    check_fields,
    check_names,
    differences,
    read_config,
)
from ml_collections import ConfigDict

from crnn_jax import UserError


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


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("seed", -1),
        ("seed", 2**32),
        ("task.name", "sums"),
        ("task.every_step", 1),
        ("task.min_length", 0),
        ("task.max_length", 0),
        ("data.corpus", "emnist"),
        ("data.corpus", 3),
        ("data.data_dir", ""),
        ("data.manual_dir", None),
        ("data.fallback", 1),
        ("data.feed", "grain"),
        ("data.augment.shift", -1.0),
        ("data.augment.scale", 1.0),
        ("model.convs", 5),
        ("model.convs", (1, 2)),
        ("model.convs", ("abc",)),
        ("model.convs", ((16, 5),)),
        ("model.convs", ((16, 5, 1),)),
        ("model.convs", ((16, 0, True),)),
        ("model.convs", ((True, 5, True),)),
        ("model.convs", ((16, 5, True, "valid"),)),
        ("model.convs", ((16, 5, True, True),)),
        ("model.convs", ((16, 5, True, "same", "same"),)),
        ("model.dense", 128),
        ("model.dense", (0,)),
        ("model.dense", (128, -1)),
        ("model.activation", "gelu"),
        ("model.aggregator", "sum"),
        ("model.gru_units", 64),
        ("model.gru_units", (64, 0)),
        ("model.gru_units", (64.0,)),
        ("model.state_dropout", 1.0),
        ("model.state_dropout", -0.1),
        ("model.head", "marginals"),
        ("model.decoder_units", -4),
        ("model.decoder_units", 10),
        ("model.dtype", "float16"),
        ("train.batch_size", 0),
        ("train.batch_size", "64"),
        ("train.micro_batch_size", -1),
        ("train.steps", 0),
        ("train.steps", 4.0),
        ("train.steps", True),
        ("train.steps", 2**31),
        ("train.steps_per_dispatch", 0),
        ("train.optimizer", "adamw"),
        ("train.learning_rate", 0.0),
        ("train.learning_rate", -1e-3),
        ("train.schedule", "cosine"),
        ("train.clip_norm", -1.0),
        ("eval.every", 0),
        ("eval.validation_sequences", 0),
        ("eval.test_sequences", 0),
        ("eval.lengths", 10),
        ("eval.lengths", (10, 0)),
        ("eval.lengths", (1.5,)),
        ("eval.seed", -1),
        ("checkpoint.every", 0),
        ("checkpoint.keep_latest", 0),
        ("checkpoint.keep_best", -1),
    ],
)
def test_a_value_out_of_range_is_named_with_what_was_expected(tiny_config, field, value):
    check_fields(tiny_config)
    put(tiny_config, field, value)
    with pytest.raises(UserError) as refusal:
        check_fields(tiny_config)
    assert str(refusal.value) == f"--config.{field}={value}: expected {FIELDS[field].expected}"


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf, "1", None, True])
def test_no_number_may_be_anything_but_finite(tiny_config, wrong):
    floats = [field for field in FIELDS if isinstance(get(tiny_config, field), float)]
    assert len(floats) >= 6
    for field in floats:
        assert not FIELDS[field].accepts(wrong), field


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("seed", 2**32 - 1),
        ("data.manual_dir", ""),
        ("model.convs", ()),
        ("model.convs", [[16, 5, True]]),
        ("model.convs", [[16, 5, True, "same"], [16, 5, False]]),
        ("model.dense", []),
        ("model.dense", (128, 64)),
        ("model.gru_units", [8]),
        ("model.state_dropout", 0),
        ("train.clip_norm", 0),
        ("train.learning_rate", 1e-30),
        ("eval.lengths", [1, 1000]),
    ],
)
def test_a_value_at_the_border_or_as_json_has_it_is_accepted(tiny_config, field, value):
    put(tiny_config, field, value)
    check_fields(tiny_config)


def test_the_largest_seed_is_one_that_jax_takes():
    jax.random.key(2**32 - 1)


def test_lengths_that_are_the_wrong_way_round(tiny_config):
    tiny_config.task.min_length = 5
    with pytest.raises(UserError, match=r"^--config\.task\.max_length=4: expected .*=5 or more$"):
        check_fields(tiny_config)


@pytest.mark.parametrize("lengths", [(9, ()), (2, (1, 9))])
def test_products_must_fit_into_32_bits(tiny_config, lengths):
    tiny_config.task.name = "product"
    tiny_config.task.max_length, tiny_config.eval.lengths = lengths
    check_fields(tiny_config)
    tiny_config.task.max_length += 1
    tiny_config.eval.lengths = tuple(length + 1 for length in tiny_config.eval.lengths)
    with pytest.raises(UserError, match=r"a product over 10 frames .* expected 9 frames or fewer$"):
        check_fields(tiny_config)


@pytest.mark.parametrize(
    ("task", "head", "expected"),
    [
        ("sum", "decoder", "last or cumulative or marginal"),
        ("classify", "last", "marginal"),
        ("classify", "cumulative", "marginal"),
        ("caption", "marginal", "decoder"),
    ],
)
def test_the_head_must_be_able_to_answer(tiny_config, task, head, expected):
    tiny_config.task.name, tiny_config.model.head = task, head
    with pytest.raises(UserError, match=f"={head} cannot answer the task {task}: .* {expected}$"):
        check_fields(tiny_config)


@pytest.mark.parametrize("experiment", ["captions", "addition3"])
@pytest.mark.parametrize("corpus", ["emnist/letters", "emnist/letters-a-j"])
def test_what_is_written_about_digits_is_not_asked_of_letters(load_config, experiment, corpus):
    config = load_config(experiment)
    check_fields(config)
    config.data.corpus = corpus
    with pytest.raises(
        UserError, match=f"^--config.data.corpus={corpus} shows letters, .* mnist or"
    ):
        check_fields(config)


def test_convolutions_must_leave_something_of_a_frame(tiny_config):
    tiny_config.model.convs = ((4, 15, True), (4, 7, True))  # 28 - 14 = 14, 7, 1, 0
    with pytest.raises(UserError, match=r"^--config\.model\.convs=.* leaves nothing of a frame"):
        check_fields(tiny_config)
    tiny_config.model.convs = ((4, 15, True), (4, 7, False))
    check_fields(tiny_config)


def test_same_convolutions_leave_all_but_what_pools_take(tiny_config):
    same = (4, 15, True, "same")
    tiny_config.model.convs = (same,) * 4  # 28, 14, 7, 3, 1
    check_fields(tiny_config)
    tiny_config.model.convs = (same,) * 5
    with pytest.raises(UserError, match=r"^--config\.model\.convs=.* leaves nothing of a frame"):
        check_fields(tiny_config)


@pytest.mark.parametrize(
    ("aggregator", "recurrent", "fits"),
    [
        ("gru", (8,), True),
        ("gru", (), False),
        ("mean", (), True),
        ("mean", (8,), False),
        ("none", (), True),
        ("none", (8, 8), False),
    ],
)
def test_recurrent_layers_are_for_the_gru(tiny_config, aggregator, recurrent, fits):
    tiny_config.model.aggregator = aggregator
    put(tiny_config, "model.gru_units", recurrent)
    if fits:
        check_fields(tiny_config)
        return
    with pytest.raises(UserError) as refusal:
        check_fields(tiny_config)
    line = str(refusal.value)
    assert line.startswith(
        f"--config.model.gru_units={recurrent} with model.aggregator={aggregator}"
    )
    assert "expected the units of one or more layers with gru, and () with the others" in line
    assert "\n" not in line


@pytest.mark.parametrize(
    ("classify", "frozen", "fits"), [(True, True, True), (False, True, False), (True, False, False)]
)
def test_training_on_labels_needs_an_encoder_that_was_trained(tiny_config, classify, frozen, fits):
    tiny_config.train.on_labels = True
    tiny_config.model.class_bottleneck, tiny_config.init.frozen = classify, frozen
    tiny_config.init.workdir = "runs/other"
    if fits:
        check_fields(tiny_config)
        return
    with pytest.raises(UserError, match=r"on_labels=True trains no encoder: expected model\.class"):
        check_fields(tiny_config)


@pytest.mark.parametrize("field", ["seed", "train.steps", "data.augment.shift"])
def test_a_missing_field_is_named(tiny_config, field):
    *sections, name = field.split(".")
    holder = get(tiny_config, ".".join(sections)) if sections else tiny_config
    del holder[name]
    with pytest.raises(UserError, match=f"^configs/my.py lacks {field}: expected a "):
        check_names(tiny_config, "configs/my.py")
    with pytest.raises(UserError, match=f"^the config lacks {field}: expected a "):
        check_names(tiny_config)


def test_a_field_that_nothing_reads_is_named(tiny_config):
    tiny_config.train.stesp = 10
    with pytest.raises(UserError, match=r"^the config has train\.stesp, which nothing reads"):
        check_names(tiny_config)


@pytest.mark.parametrize("content", [{}, {"train": 3}, {"seed": {}}])
def test_any_content_is_refused_in_one_line(content):
    with pytest.raises(UserError, match=r"^the config lacks seed"):
        check_names(ConfigDict(content))


def test_numbers_of_any_size_are_refused_in_one_short_line(tiny_config):
    stored = json.loads(tiny_config.to_json())
    for value in (10**400, -(10**400), 10**5000):
        stored["train"]["learning_rate"] = value
        with pytest.raises(UserError, match=r"learning_rate=(-?1000.*…|a huge int): exp") as error:
            read_config(stored, "config.json")
        assert len(str(error.value)) < 300


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("task.max_length", 1_001),
        ("eval.lengths", (10_001,)),
        ("eval.lengths", (1,) * 101),
        ("model.convs", ((4, 101, True, "same"),)),
        ("model.dense", (8,) * 101),
    ],
)
def test_what_would_take_all_time_or_memory_is_refused(tiny_config, field, value):
    put(tiny_config, field, value)
    with pytest.raises(UserError, match=rf"^--config\.{field}="):
        check_fields(tiny_config)


def test_a_stored_config_comes_back(tiny_config):
    stored = json.loads(tiny_config.to_json())
    assert json.loads(read_config(stored, "config.json").to_json()) == stored


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"train.steps": 3}, r"config\.json has 'train\.steps', which nothing reads"),
        ({"items": {}}, r"config\.json has items\.…, which nothing reads"),
        ({"__class__": 3}, r"config\.json has __class__, which nothing reads"),
        ({"x\ny\x1b": 1}, r"config\.json has 'x\\ny\\x1b', which nothing reads"),
        ({"x" * 10_000: 1}, r"config\.json has x{100}…, which nothing reads"),
        ({"seed": [[]] * 10_000}, r"config\.json: --config\.seed=\[.*…: expected a whole number"),
        ({"task": {}}, r"config\.json lacks task\.name: expected sum or product or"),
    ],
)
def test_a_stored_config_of_any_content_is_refused_in_one_line(tiny_config, more, message):
    stored = json.loads(tiny_config.to_json()) | more
    with pytest.raises(UserError, match=f"^{message}") as error:
        read_config(stored, "config.json")
    assert str(error.value).isprintable()


def test_differences_are_found_through_json_and_leave_out_where_data_lies(tiny_config):
    stored = json.loads(tiny_config.to_json())
    assert differences(stored, tiny_config) == []
    for field in NOT_OF_TRAINING:
        put(tiny_config, field, "elsewhere")
    assert differences(stored, tiny_config) == []
    tiny_config.model.gru_units = (16, 8)
    tiny_config.train.learning_rate = 0.5
    del stored["seed"]
    stored["model"]["width"] = 3
    assert differences(stored, tiny_config) == [
        "model.gru_units: [16], not [16, 8]",
        "model.width: 3, not missing",
        "seed: missing, not 0",
        "train.learning_rate: 0.003, not 0.5",
    ]


def test_differences_are_few_and_short(tiny_config):
    stored = json.loads(tiny_config.to_json())
    many = stored | {f"x{i:03}": None for i in range(500)}
    found = differences(many, tiny_config)
    assert found[0] == "x000: None, not missing"
    assert found[10:] == ["and 490 more"]
    deep = []
    for _ in range(5000):
        deep = [deep]
    (found,) = differences(stored | {"seed": deep}, tiny_config)
    assert found == "seed: a huge list, not 0"
    (found,) = differences(stored | {"seed": "\n" * 1000}, tiny_config)
    assert found.startswith(r"seed: '\n\n")
    assert len(found) < 150
