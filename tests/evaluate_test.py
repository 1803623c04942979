"""Evaluation: exact, the same for every device count, each image encoded once."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from crnn_jax import evaluate, tasks
from crnn_jax.data import clips
from crnn_jax.data.draw import SCENE, Draw
from crnn_jax.data.lanes import padded_lanes
from crnn_jax.evaluate import composed
from crnn_jax.evaluate.composed import Evaluation
from crnn_jax.model import crnn
from tests.networks import random_params

SEQUENCES = 90
RIGHT = {"sum": sum, "product": math.prod, "class": lambda labels: labels[-1]}
BASELINE = 11.25


def draw_from(split, min_length=1, max_length=4):
    return Draw(1, min_length, max_length, len(split.labels_I))


@pytest.fixture
def config(tiny_config):
    tiny_config.model.convs = ()  # which compiles sooner
    return tiny_config


def build(config, dataset, sequences=SEQUENCES, scale=0.3):
    """The evaluation of a config's network on the test images, and random parameters."""
    task = tasks.build(config, dataset.info)
    network = crnn.build(config.model, task.question)
    params = random_params(crnn.parameter_shapes(network, task.question), seed=3, scale=scale)
    draw = draw_from(dataset.test, task.min_length, task.max_length)
    baseline = None if task.name == "class" else BASELINE
    return Evaluation(network, task, dataset.test, draw, sequences, baseline=baseline), params


def written(config, name):
    """A config of a task with written answers."""
    length = 4 if name == "addition" else 1
    config.task.name, config.task.min_length, config.task.max_length = name, length, length
    config.model.head, config.model.decoder_units = "decoder", 8
    return config


NUMBERS = ["sum last", "sum marginal", "product marginal", "class marginal", "class class"]


@pytest.fixture(params=NUMBERS)
def numbers(request, config, optdigits):
    """An evaluation of a task of numbers, and random parameters."""
    config.task.name, config.model.head = request.param.split()
    return build(config, optdigits)


def read_one_by_one(evaluation, params):
    """Lengths; and the right number, the estimate and the answer after every frame, BxL."""
    draw, split, sequences = evaluation.draw, evaluation.split, evaluation.sequences
    lengths = draw.lengths(sequences)
    indices_BxL = np.asarray(draw.image_indices(0, jnp.arange(sequences)))
    frames = split.images_IxHxWxC[indices_BxL.T]
    lanes = padded_lanes(lengths)
    answers = jax.jit(evaluation.network.apply)(params, frames, lanes).answers()
    right = RIGHT[evaluation.task.name]
    target_BxL = [
        [right(labels[: step + 1].tolist()) for step in range(draw.max_length)]
        for labels in split.labels_I[indices_BxL]
    ]
    estimate = answers.answer if answers.estimate is None else answers.estimate
    return lengths, np.array(target_BxL), np.asarray(estimate).T, np.asarray(answers.answer).T


def expected_scores(places, found, *, measures):
    """n, exact and rmse over the places (sequence, step) of what was read one by one."""
    _, target_BxL, estimate_BxL, answer_BxL = found
    errors = [float(estimate_BxL[place]) - target_BxL[place] for place in places]
    expected = {
        "n": len(places),
        "exact": np.mean([answer_BxL[place] == target_BxL[place] for place in places]),
    }
    if measures:
        expected["rmse"] = np.sqrt(np.mean(np.square(errors)))
    return expected


def test_agrees_with_reading_the_sequences_one_by_one(numbers):
    evaluation, params = numbers
    report, measures = evaluation(params), evaluation.baseline is not None
    found = read_one_by_one(evaluation, params)
    lengths, target_BxL, estimate_BxL, _ = found
    ends = [(i, n - 1) for i, n in enumerate(lengths)]

    def scores(places):
        return expected_scores(places, found, measures=measures)

    steps = range(1, 5)
    expected = {
        **scores(ends),
        "per_length": [
            {"length": n, **scores([(i, t) for i, t in ends if t == n - 1])} for n in steps
        ],
        "per_step": [
            {"step": n, **scores([(i, n - 1) for i, t in ends if n <= t + 1])} for n in steps
        ],
    }
    if measures:
        target, estimate = (np.array([x[end] for end in ends]) for x in (target_BxL, estimate_BxL))
        expected["mae"] = np.mean(abs(estimate - target))
        expected["baseline_rmse"] = np.sqrt(np.mean((target - BASELINE) ** 2))
    assert [row["n"] for row in expected["per_length"]] == [23, 23, 22, 22]
    assert [row["n"] for row in expected["per_step"]] == [90, 67, 44, 22]
    assert report.pop("seconds") > 0
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), report, expected)
    check_rows(evaluation.answered(params), found)


def check_rows(rows, found):
    """The same answers, one sequence a row: as far as it goes, it is what was read one by one."""
    lengths, target_BxL, estimate_BxL, answer_BxL = found
    np.testing.assert_array_equal(rows.lengths_B, lengths)
    for i, length in enumerate(lengths):
        np.testing.assert_array_equal(rows.targets[i, :length], target_BxL[i, :length])
        np.testing.assert_array_equal(rows.answers[i, :length], answer_BxL[i, :length])
        assert rows.wrong_B[i] == (rows.answers[i, length - 1] != rows.targets[i, length - 1])
        if rows.estimates is not None:
            estimate_L = estimate_BxL[i, :length]
            np.testing.assert_allclose(rows.estimates[i, :length], estimate_L, rtol=1e-4)


@pytest.mark.parametrize("name", ["addition", "caption"])
def test_written_answers_agree_with_writing_them_one_by_one(name, config, optdigits):
    """All symbols of every sequence; and of clips, each filmed by the key of its sequence."""
    evaluation, params = build(written(config, name), optdigits, sequences=75, scale=1.0)
    indices_TxB = evaluation.draw.image_indices(0, jnp.arange(75)).T
    frames_TxBxHxWxC, labels_TxB = (x[indices_TxB] for x in optdigits.test)
    if name == "addition":
        right_BxS = (labels_TxB.T @ [10, 1, 10, 1])[:, None] // [1, 10, 100] % 10
    else:
        keys_B = jax.vmap(evaluation.draw.key, (None, 0, None))(0, jnp.arange(75), SCENE)
        lanes = padded_lanes(np.ones(75, int))
        film = jax.jit(lambda *drawn: clips.Clips().render(*drawn, lanes, keys_B)[:2])
        frames_TxBxHxWxC, captions_B = film(frames_TxBxHxWxC, labels_TxB)
        right_BxS = clips.CAPTIONS[captions_B]
    write = jax.jit(evaluation.network.apply)
    lanes = padded_lanes(np.array([len(frames_TxBxHxWxC)]))
    logits_BxSxV = np.concatenate(
        [
            write(params, frames_TxBxHxWxC[:, [i]], lanes).logits_NxSxV
            for i in range(frames_TxBxHxWxC.shape[1])
        ]
    )
    answer_BxS = logits_BxSxV.argmax(axis=-1)
    found = evaluation.answered(params)
    np.testing.assert_array_equal(found.targets, right_BxS)
    # A pixel of a clip may be rounded the other way where it is compiled otherwise.
    assert np.mean(found.answers == answer_BxS) > (0.98 if name == "caption" else 0.999)
    assert len(np.unique(found.answers)) > 2
    confidence_BxS = jax.nn.softmax(logits_BxSxV).max(axis=-1)
    np.testing.assert_allclose(found.confidence, confidence_BxS, rtol=1e-2)
    right = found.answers == right_BxS
    report = evaluation(params)
    assert report["n"] == 75
    assert report["exact"] == right.all(axis=1).mean()
    assert report["per_symbol"] == pytest.approx(right.mean())
    assert 0 < right.mean() < 1


@pytest.mark.parametrize("name", ["sum", "caption"])
def test_encodes_every_image_once_or_every_frame_that_is_filmed(
    name, config, optdigits, monkeypatch
):
    if name == "caption":
        written(config, name)
    evaluation, params = build(config, optdigits)
    shapes = []
    encode = crnn.CRNN.encode

    def noted(self, frames, **others):
        shapes.append(frames.shape)
        return encode(self, frames, **others)

    monkeypatch.setattr(crnn.CRNN, "encode", noted)
    evaluation.answers(params)
    (shape,) = set(shapes)  # traced once, under a map over groups
    share = -(-len(evaluation.split.labels_I) // 8)
    clip = (clips.FRAMES, evaluation.chunk, clips.SIZE, clips.SIZE, 1)
    assert shape == ((share, 1, 28, 28, 1) if name == "sum" else clip)


def test_is_the_same_every_time_and_compiles_once(config, optdigits):
    evaluation, params = build(config, optdigits)
    first, compiled = evaluation(params), evaluation.compiled
    second = evaluation(params)
    assert evaluation.compiled is compiled
    assert {**first, "seconds": 0} == {**second, "seconds": 0}


def test_the_number_of_sequences_need_not_fill_the_chunks(config, optdigits, monkeypatch):
    monkeypatch.setattr(composed, "FRAMES_AT_ONCE", 1000)
    at_once, params = build(config, optdigits, sequences=301)
    monkeypatch.setattr(composed, "FRAMES_AT_ONCE", 100)
    in_parts, _ = build(config, optdigits, sequences=301)
    assert (at_once.chunk, in_parts.chunk) == (304, 40)
    expected, found = at_once(params), in_parts(params)
    assert found["n"] == 301
    assert [row["n"] for row in found["per_length"]] == [76, 75, 75, 75]
    assert [row["n"] for row in found["per_step"]] == [301, 225, 150, 75]
    expected["seconds"] = found["seconds"] = 0
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), found, expected)


def test_an_accelerator_takes_more_at_once_and_finds_the_same(config, optdigits, monkeypatch):
    monkeypatch.setattr(composed, "FRAMES_AT_ONCE", 100)
    monkeypatch.setattr(composed, "IMAGES_AT_ONCE", 2)
    on_cpu, params = build(config, optdigits, sequences=301)
    expected = on_cpu(params)
    monkeypatch.setattr(composed.jax, "default_backend", lambda: "gpu")
    accelerated, _ = build(config, optdigits, sequences=301)
    found = accelerated(params)
    assert (on_cpu.chunk, accelerated.chunk) == (40, 304)
    expected["seconds"] = found["seconds"] = 0
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), found, expected)


def test_validation_and_test_are_what_the_config_asks_for(config, optdigits):
    config.eval.validation_sequences = 60
    config.eval.test_sequences = SEQUENCES
    config.eval.seed = 5
    evaluation, params = build(config, optdigits)
    network, task = evaluation.network, evaluation.task
    baseline = task.baseline(optdigits.train.labels_I)
    validate = evaluate.validation_evaluator(network, task, config, optdigits)
    found = {
        "validation": validate(params),
        "test": evaluate.evaluate_test(config, optdigits, params),
    }
    for name, sequences in {"validation": 60, "test": SEQUENCES}.items():
        split = getattr(optdigits, name)
        draw = Draw(5, 1, 4, len(split.labels_I))
        expected = Evaluation(network, task, split, draw, sequences, baseline=baseline)(params)
        for score in ("n", "exact", "rmse", "mae", "baseline_rmse", "per_length", "per_step"):
            assert found[name][score] == expected[score], (name, score)
    assert found["test"]["lengths"] == []
    assert "lengths" not in found["validation"]


@pytest.mark.parametrize(
    ("task", "head"),
    [("sum", "cumulative"), ("product", "marginal"), ("class", "class")],
)
def test_lengths_longer_than_trained_are_read_as_well(task, head, config, optdigits):
    config.task.name, config.model.head = task, head
    config.task.min_length, config.task.max_length = 2, 3
    config.eval.lengths = (6,)
    config.eval.test_sequences = 720
    _, params = build(config, optdigits)
    (row,) = evaluate.evaluate_test(config, optdigits, params)["lengths"]
    config.task.min_length = config.task.max_length = 6
    longer, _ = build(config, optdigits, sequences=120)
    places = [(i, 5) for i in range(120)]
    found = read_one_by_one(longer, params)
    expected = expected_scores(places, found, measures=task != "class")
    assert row == pytest.approx({"length": 6, **expected}, rel=1e-5)


def test_of_a_length_too_long_for_many_sequences_there_are_some(config, optdigits):
    config.eval.test_sequences = 40
    config.eval.lengths = (2,)
    _, params = build(config, optdigits)
    results = evaluate.evaluate_test(config, optdigits, params)
    assert [row["n"] for row in results["lengths"]] == [100]
