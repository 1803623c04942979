"""Lines of one's own: texts as numbers, and lines in lanes as one by one."""

import copy
import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from crnn_jax import UserError, tasks
from crnn_jax.config import default
from crnn_jax.data.lanes import padded_lanes
from crnn_jax.data.packing import fill, pack
from crnn_jax.data.sequences import Sequences
from crnn_jax.evaluate.calibration import calibrated
from crnn_jax.evaluate.stored import StoredEvaluation
from crnn_jax.model import crnn, paths
from crnn_jax.runs.checkpoint import Checkpoints
from crnn_jax.runs.load import start_from
from tests.networks import random_params
from tests.sequences import LINE, asking_for, dataset

LENGTHS = np.array([3, 7, 3, 7, 7, 3])
TEXTS = np.array(["ab", "cab", "bbb", "abbcac", "abcb", "c"])  # the third does not fit


@pytest.fixture(scope="module")
def network():
    """Task, network and parameters."""
    config = asking_for(default(), "line")
    config.model.aggregator = "bigru"
    asked = tasks.build(config, dataset("line").info)
    network = crnn.build(config.model, asked.question)
    params = random_params(crnn.parameter_shapes(network, asked.question), scale=0.5)
    params["params"]["answer_head"]["symbol"]["bias"][-1] -= 2  # else all is blank
    return asked, network, params


@pytest.fixture(scope="module")
def lines():
    rng = np.random.default_rng(3)
    strips = [rng.integers(0, 256, (n, *LINE), np.uint8) for n in LENGTHS]
    return Sequences(LENGTHS, TEXTS, LINE, tuple(TEXTS), lambda chosen: [strips[i] for i in chosen])


def test_texts_are_numbers_of_symbols(network):
    asked, *_ = network
    encoded = asked.encode(np.array(["cab", "", "abcabc", "aßb"], object))
    expected = [[2, 0, 1, -1, -1, -1], 6 * [-1], [0, 1, 2, 0, 1, 2], [0, 3, 1, -1, -1, -1]]
    assert encoded.tolist() == expected
    assert [asked.text(row) for row in encoded] == ["cab", "", "abcabc", "a\ufffdb"]
    assert asked.encode(np.array(["a"])).shape == (1, 4)  # all batches of training are alike


def test_loss_and_gradient_in_lanes_are_those_of_each_line_alone(network, lines):
    asked, network, params = network
    labels = asked.encode(lines.answers)

    @jax.jit
    def loss(params, frames, labels, lanes):
        batch = asked.batch(frames, labels, lanes, None)
        return asked.loss(network.apply(params, frames, lanes, None, batch.targets), batch)

    value = jax.value_and_grad(loss)
    alone = [
        value(params, strips[:, None], labels[i : i + 1], padded_lanes(LENGTHS[i : i + 1]))
        for i, strips in enumerate(lines.read(range(6)))
    ]
    assert [bool(loss > 0) for loss, _ in alone] == [True, True, False, True, True, True]
    lanes = pack(LENGTHS, 1, asked.gap).lanes(0, LENGTHS)
    assert lanes.sequence_TxN.shape[1] < 6
    frames = np.zeros((*lanes.sequence_TxN.shape, *LINE), np.uint8)
    fill(frames, lanes, range(6), lines.read(range(6)))
    found, gradient = value(params, frames, labels, lanes)
    right, expected = jax.tree.map(lambda *x: sum(x), *alone)
    np.testing.assert_allclose(found, right, rtol=1e-5)
    scale = max(float(np.abs(x).max()) for x in jax.tree.leaves(expected))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5 * scale), gradient, expected
    )


def test_the_evaluation_reads_each_line_as_if_alone(network, lines):
    asked, network, params = network
    found = StoredEvaluation(network, asked, lines, most=9, seed=0).answered(params)
    answer = jax.jit(lambda strips, lanes: network.apply(params, strips, lanes).answers())
    read = [asked.text(row) for row in found.answers]
    assert all(read)
    for i, strips in enumerate(lines.read(range(6))):
        alone = jax.device_get(answer(strips[:, None], padded_lanes(LENGTHS[i : i + 1])))
        assert asked.text(alone.answer[0]) == read[i]
        np.testing.assert_allclose(found.severity_B[i], alone.whole[0], rtol=1e-4)
        np.testing.assert_array_equal(found.steps[i][: LENGTHS[i]], alone.steps[0])
    assert [asked.text(row) for row in found.targets] == [*TEXTS]
    assert found.wrong_B.tolist() == [a != b for a, b in zip(read, TEXTS, strict=True)]


def mean_log_likelihood(evaluation, params):
    """Of the right texts that fit, at the network's own temperature."""

    @jax.jit
    def of_batch(batch):
        output = evaluation.network.apply(params, batch.frames_TxNxHxWxC, batch.lanes)
        log_probs = jax.nn.log_softmax(output.logits_BxLxV / jnp.exp(output.log_temperature))
        return paths.log_likelihood(log_probs, batch.lanes.length_B, batch.targets)

    found = np.concatenate([of_batch(batch) for batch in evaluation.batches()])
    return float(np.mean(found[found > -1e6]))


def test_calibration_makes_right_texts_more_probable_and_reads_the_same(network, lines):
    asked, network, params = network
    head = params["params"]["answer_head"]
    too_sure = {
        "symbol": jax.tree.map(lambda x: 6 * x, head["symbol"]),
        "log_temperature": np.float32(0),
    }
    params = {"params": {**params["params"], "answer_head": too_sure}}
    evaluation = StoredEvaluation(network, asked, lines, most=9, seed=0)
    fitted = calibrated(evaluation, params)
    assert fitted["params"]["answer_head"]["log_temperature"] > 0.5
    likely = [mean_log_likelihood(evaluation, x) for x in (params, fitted)]
    assert likely[1] > likely[0] + 1
    before, after = evaluation.answered(params), evaluation.answered(fitted)
    np.testing.assert_array_equal(before.answers, after.answers)
    assert (after.severity_B < before.severity_B).all()


def test_a_run_starts_from_one_that_knows_other_symbols(network, tmp_path, capsys):
    asked, _, fresh = network
    config = asking_for(default(), "line")
    config.model.aggregator = "bigru"
    info = dataclasses.replace(asked.dataset, vocabulary=(*"xbayz",))
    other = tasks.build(config, info)
    shapes = crnn.parameter_shapes(crnn.build(config.model, other.question), other.question)
    trained = random_params(shapes, seed=2)
    metadata = {"config": json.loads(config.to_json()), "dataset": info.to_json()}
    with Checkpoints(tmp_path / "checkpoints", keep_latest=1, keep_best=0) as checkpoints:
        checkpoints.save(1, {"params": trained}, metadata, None)
    config.init.update(workdir=str(tmp_path), part="all")
    capsys.readouterr()
    found = start_from(config.init, fresh, asked)["params"]
    assert "new c; no longer xyz" in capsys.readouterr().err
    known, begun = (x["params"].pop("answer_head") for x in (trained, copy.deepcopy(fresh)))
    kernel = found.pop("answer_head")["symbol"]["kernel"]
    np.testing.assert_array_equal(kernel[:, [0, 1, 3]], known["symbol"]["kernel"][:, [2, 1, 5]])
    np.testing.assert_array_equal(kernel[:, 2], begun["symbol"]["kernel"][:, 2])
    jax.tree.map(np.testing.assert_array_equal, found, trained["params"])
    shapes = jax.eval_shape(lambda: fresh)
    assert jax.tree.map(np.shape, start_from(config.init, shapes, asked)) == jax.tree.map(
        np.shape, fresh
    )
    assert capsys.readouterr().err == ""
    with pytest.raises(UserError, match="its all is of another form"):
        start_from(config.init, fresh)
