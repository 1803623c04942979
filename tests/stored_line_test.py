"""Lines of one's own: texts as numbers, and lines in lanes as one by one."""

import jax
import numpy as np
import pytest

from crnn_jax import tasks
from crnn_jax.config import default
from crnn_jax.data.lanes import padded_lanes
from crnn_jax.data.packing import fill, pack
from crnn_jax.data.sequences import Sequences
from crnn_jax.evaluate.stored import StoredEvaluation
from crnn_jax.model import crnn
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
