"""What of a config does not fit together: the task or the network that is built of it refuses."""

import dataclasses

import pytest

from crnn_jax import UserError, tasks
from crnn_jax.data.dataset import known_info
from crnn_jax.model import crnn


def question_of(config):
    return tasks.build(config, known_info(config.data.name)).question


def build(config):
    return crnn.build(config.model, question_of(config))


@pytest.mark.parametrize(
    ("lengths", "expected"),
    [((9, ()), "exceed 32 bits, expected 9"), ((2, (1, 40)), "a float of 32 bits, expected 40")],
)
def test_products_must_fit_into_32_bits(tiny_config, lengths, expected):
    """As whole numbers to train on, as floats to test."""
    tiny_config.task.name = "product"
    tiny_config.task.max_length, tiny_config.eval.lengths = lengths
    build(tiny_config)
    tiny_config.task.max_length += 1
    tiny_config.eval.lengths = tuple(length + 1 for length in tiny_config.eval.lengths)
    with pytest.raises(UserError, match=rf"a product over .* {expected} or fewer$"):
        build(tiny_config)


def test_images_stand_in_one_sequence_only_if_all_have_one_length(tiny_config):
    tiny_config.data.once = True
    tiny_config.task.min_length = tiny_config.task.max_length = 4
    build(tiny_config)
    tiny_config.task.min_length = 3
    with pytest.raises(UserError, match=r"data\.once=True with sequences of 3 to 4 images"):
        build(tiny_config)


@pytest.mark.parametrize(
    ("task", "head", "expected"),
    [
        ("sum", "decoder", "last or cumulative or marginal"),
        ("sum", "class", "last or cumulative or marginal"),
        ("class", "last", "marginal or class"),
        ("class", "cumulative", "marginal or class"),
        ("caption", "marginal", "decoder"),
        ("caption", "carry", "decoder"),
        ("addition", "last", "decoder or carry"),
        ("addition_unpadded", "decoder", "carry"),
    ],
)
def test_the_head_must_be_able_to_answer(tiny_config, task, head, expected):
    tiny_config.task.name, tiny_config.model.head = task, head
    tiny_config.task.min_length, tiny_config.task.max_length = {
        "caption": (1, 1),
        "addition": (4, 4),
        "addition_unpadded": (3, 5),
    }.get(task, (1, 4))
    with pytest.raises(UserError, match=f"^--config.model.head={head} .* expected {expected}$"):
        build(tiny_config)


@pytest.mark.parametrize(("head", "units"), [("decoder", 0), ("marginal", 128)])
def test_only_a_decoder_has_units(load_config, head, units):
    config = load_config("addition3" if head == "decoder" else "sum8")
    build(config)
    config.model.decoder_units = units
    with pytest.raises(UserError, match=f"^--config.model.decoder_units={units} with .*{head}"):
        build(config)


@pytest.mark.parametrize("experiment", ["captions", "addition3"])
@pytest.mark.parametrize("corpus", ["emnist/letters", "emnist/letters-a-j"])
def test_what_is_written_about_digits_is_not_asked_of_letters(load_config, experiment, corpus):
    config = load_config(experiment)
    build(config)
    config.data.name = corpus
    with pytest.raises(UserError, match=f"^--config.data.name={corpus} .* mnist"):
        build(config)


def test_convolutions_must_leave_something_of_a_frame(tiny_config):
    tiny_config.model.convs = ((4, 15, True), (4, 7, True))  # 28 - 14 = 14, 7, 1, 0
    with pytest.raises(UserError, match=r"^--config\.model\.convs=.* leaves nothing of a frame"):
        build(tiny_config)
    tiny_config.model.convs = ((4, 15, True), (4, 7, False))
    build(tiny_config)


def test_same_convolutions_leave_all_but_what_pools_take(tiny_config):
    same = (4, 15, True, "same")
    tiny_config.model.convs = (same,) * 4  # 28, 14, 7, 3, 1
    build(tiny_config)
    tiny_config.model.convs = (same,) * 5
    with pytest.raises(UserError, match=r"^--config\.model\.convs=.* leaves nothing of a frame"):
        build(tiny_config)


@pytest.mark.parametrize(
    ("aggregator", "units", "fits"),
    [
        ("gru", (8,), True),
        ("gru", (), False),
        ("mean", (), True),
        ("mean", (8,), False),
        ("none", (), True),
        ("none", (8, 8), False),
    ],
)
def test_units_are_for_grus(tiny_config, aggregator, units, fits):
    tiny_config.model.aggregator, tiny_config.model.gru_units = aggregator, units
    if fits:
        build(tiny_config)
        return
    with pytest.raises(UserError) as refusal:
        build(tiny_config)
    expected = f"--config.model.gru_units={units} with model.aggregator={aggregator}: expected "
    assert str(refusal.value).startswith(expected)


@pytest.mark.parametrize(("reads", "whole"), [("whole", [False, True]), ("each", [False, False])])
def test_a_bigru_s_last_layer_shows_the_head_what_it_reads(tiny_config, reads, whole):
    model = tiny_config.model
    model.aggregator, model.gru_units = "bigru", (8, 4)
    question = dataclasses.replace(question_of(tiny_config), reads=reads)
    assert [layer.whole for layer in crnn.build(model, question).layers] == whole
    model.gru_units = ()
    with pytest.raises(UserError, match=r"^--config.model.gru_units=\(\) .*=bigru: expected the"):
        crnn.build(model, question)


def test_a_bigru_must_not_see_later_frames_than_the_answer_is_of(tiny_config):
    tiny_config.model.aggregator = "bigru"
    with pytest.raises(UserError, match=r"^--config\.model\.aggregator=bigru sees later"):
        build(tiny_config)
