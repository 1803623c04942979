"""Evaluation: exact, the same for every device count, each image encoded once."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from crnn_jax import evaluate
from crnn_jax.data.draw import Draw, padded_lanes
from crnn_jax.distributed import devices
from crnn_jax.evaluate import Evaluation, training_mean
from crnn_jax.model import crnn

SEQUENCES = 90
RIGHT = {"sum": sum, "product": math.prod, "classify": lambda labels: labels[-1]}


def draw_from(split, min_length=1, max_length=4):
    return Draw(1, min_length, max_length, len(split.labels_N))


def build(config, split, sequences=SEQUENCES, mean=11.25):
    """The evaluation of a config's network on a split."""
    network = crnn.build(config, digits=10)
    mean = mean if network.task.measures else None
    return Evaluation(network, split, draw_from(split), sequences, training_mean=mean)


def random_params(network):
    """Parameters of which the answers are of many kinds."""
    frames, starts = jnp.zeros((1, 1, 28, 28, 1), jnp.uint8), jnp.ones((1, 1), bool)
    params = jax.eval_shape(network.init, jax.random.key(0), frames, starts)
    rng = np.random.default_rng(3)
    return jax.tree.map(lambda x: rng.normal(0, 0.3, x.shape).astype(x.dtype), params)


@pytest.fixture(params=["sum last", "sum marginal", "product marginal", "glyph marginal"])
def evaluation(request, tiny_config, optdigits):
    tiny_config.task.name, tiny_config.model.head = request.param.split()
    return build(tiny_config, optdigits.test)


@pytest.fixture
def params(evaluation):
    return random_params(evaluation.network)


def read_one_by_one(network, params, split, draw, sequences):
    """Lengths; and the right number, the estimate and the answer after every frame, BxL."""
    lengths = draw.lengths(sequences)
    indices_BxL = np.asarray(draw.image_indices(0, jnp.arange(sequences)))
    frames = split.images_NxHxWxC[indices_BxL.T]
    output = jax.jit(network.apply)(params, frames, padded_lanes(lengths).starts_TxN)
    right = RIGHT[next(name for name, task in crnn.TASKS.items() if task == network.task)]
    labels_BxL = split.labels_N[indices_BxL]
    target_BxL = [
        [right(labels[: step + 1].tolist()) for step in range(draw.max_length)]
        for labels in labels_BxL
    ]
    estimate_BxL, answer_BxL = (np.asarray(x).T for x in (output.estimate(), output.answer()))
    return lengths, np.array(target_BxL), estimate_BxL, answer_BxL


def expected_scores(places, found, measures):
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


def test_agrees_with_reading_the_sequences_one_by_one(evaluation, params, optdigits):
    report, measures = evaluation(params), evaluation.network.task.measures
    found = read_one_by_one(
        evaluation.network, params, optdigits.test, draw_from(optdigits.test), SEQUENCES
    )
    lengths, target_BxL, estimate_BxL, _ = found
    ends = [(i, n - 1) for i, n in enumerate(lengths)]
    expected = {
        **expected_scores(ends, found, measures),
        "per_length": [
            {
                "length": length,
                **expected_scores([(i, t) for i, t in ends if t == length - 1], found, measures),
            }
            for length in range(1, 5)
        ],
        "per_step": [
            {
                "step": step,
                **expected_scores(
                    [(i, step - 1) for i, t in ends if step <= t + 1], found, measures
                ),
            }
            for step in range(1, 5)
        ],
    }
    if measures:
        target, estimate = (np.array([x[end] for end in ends]) for x in (target_BxL, estimate_BxL))
        expected["mae"] = np.mean(abs(estimate - target))
        expected["baseline_rmse"] = np.sqrt(np.mean((target - 11.25) ** 2))
    assert [row["n"] for row in expected["per_length"]] == [23, 23, 22, 22]
    assert [row["n"] for row in expected["per_step"]] == [90, 67, 44, 22]
    assert report.pop("seconds") > 0
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), report, expected)


def test_encodes_every_image_once(evaluation, params, monkeypatch):
    frames_encoded = []
    encode = type(evaluation.network).encode

    def counted(self, frames):
        frames_encoded.append(frames.shape)
        return encode(self, frames)

    monkeypatch.setattr(type(evaluation.network), "encode", counted)
    monkeypatch.setattr(devices, "gather", lambda share: jnp.tile(share, (8, 1)))
    data = tuple(evaluation.split)
    text = str(jax.make_jaxpr(evaluation._answer_share)(jnp.int32(0), params, data))
    (shape,) = set(frames_encoded)  # traced once, under a map over groups of images
    share = -(-len(evaluation.split.labels_N) // 8)
    assert shape == (share, 1, 28, 28, 1)
    steps, lanes = evaluation.lanes.starts_TxN.shape
    assert f"[{steps},{lanes}," in text
    assert f"[{steps},{lanes},28,28" not in text


def test_is_the_same_every_time_and_compiles_once(evaluation, params):
    first, compiled = evaluation(params), evaluation.compiled
    second = evaluation(params)
    assert evaluation.compiled is compiled
    assert {**first, "seconds": 0} == {**second, "seconds": 0}


def test_the_number_of_sequences_need_not_fill_the_chunks(tiny_config, optdigits, monkeypatch):
    monkeypatch.setattr(evaluate, "FRAMES_AT_ONCE", 1000)
    at_once = build(tiny_config, optdigits.test, sequences=301)
    params = random_params(at_once.network)
    monkeypatch.setattr(evaluate, "FRAMES_AT_ONCE", 100)
    in_parts = build(tiny_config, optdigits.test, sequences=301)
    assert (at_once.chunk, in_parts.chunk) == (304, 40)
    expected, found = at_once(params), in_parts(params)
    assert found["n"] == 301
    assert [row["n"] for row in found["per_length"]] == [76, 75, 75, 75]
    assert [row["n"] for row in found["per_step"]] == [301, 225, 150, 75]
    expected["seconds"] = found["seconds"] = 0
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), found, expected)


@pytest.mark.parametrize(
    ("task", "mean_of_lengths"),
    [("sum", lambda m: 2 * m), ("product", lambda m: (m + m**2 + m**3) / 3)],
)
def test_the_baseline_answers_the_mean_of_training(task, mean_of_lengths, tiny_config, optdigits):
    tiny_config.task.name, tiny_config.task.max_length = task, 3
    mean = training_mean(crnn.build(tiny_config, digits=10), tiny_config, optdigits)
    assert mean == pytest.approx(mean_of_lengths(optdigits.train.labels_N.mean()))


def test_validation_and_test_are_what_the_config_asks_for(tiny_config, optdigits):
    tiny_config.eval.validation_sequences = 60
    tiny_config.eval.test_sequences = SEQUENCES
    tiny_config.eval.seed = 5
    network = crnn.build(tiny_config, digits=10)
    params, mean = random_params(network), training_mean(network, tiny_config, optdigits)
    found = {
        "validation": evaluate.validation(network, tiny_config, optdigits)(params),
        "test": evaluate.test(network, tiny_config, optdigits, params),
    }
    for name, sequences in {"validation": 60, "test": SEQUENCES}.items():
        split = getattr(optdigits, name)
        draw = Draw(5, 1, 4, len(split.labels_N))
        expected = Evaluation(network, split, draw, sequences, training_mean=mean)(params)
        for score in ("n", "exact", "rmse", "mae", "baseline_rmse", "per_length", "per_step"):
            assert found[name][score] == expected[score], (name, score)
    assert found["test"]["lengths"] == []
    assert "lengths" not in found["validation"]


@pytest.mark.parametrize(
    ("task", "head"),
    [("sum", "cumulative"), ("sum", "marginal"), ("product", "marginal"), ("classify", "marginal")],
)
def test_lengths_longer_than_trained_are_read_as_well(task, head, tiny_config, optdigits):
    tiny_config.task.name, tiny_config.model.head = task, head
    tiny_config.task.min_length, tiny_config.task.max_length = 2, 3
    tiny_config.eval.lengths = (6,)
    tiny_config.eval.test_sequences = 720
    network = crnn.build(tiny_config, digits=10)
    params = random_params(network)
    (row,) = evaluate.test(network, tiny_config, optdigits, params)["lengths"]
    tiny_config.task.max_length = 6
    longer = crnn.build(tiny_config, digits=10)
    draw = draw_from(optdigits.test, 6, 6)
    found = read_one_by_one(longer, params, optdigits.test, draw, 120)
    expected = expected_scores([(i, 5) for i in range(120)], found, network.task.measures)
    assert row == pytest.approx({"length": 6, **expected}, rel=1e-5)


def test_of_a_length_too_long_for_many_sequences_there_are_some(tiny_config, optdigits):
    tiny_config.eval.test_sequences = 40
    tiny_config.eval.lengths = (2,)
    network = crnn.build(tiny_config, digits=10)
    results = evaluate.test(network, tiny_config, optdigits, random_params(network))
    assert [row["n"] for row in results["lengths"]] == [100]
