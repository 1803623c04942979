"""The encoder of lines: exact, whatever else is in a lane."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from crnn_jax import UserError
from crnn_jax.data.lanes import padded_lanes
from crnn_jax.data.packing import fill, pack
from crnn_jax.model.columns import GAP, Columns, check_columns
from crnn_jax.model.question import Question

CONVS = ((6, 5, True, "same"), (8, 3, True, "same"), (10, 3, "tall", "same"))
LENGTHS = np.array([3, 9, 1, 3, 9, 1])  # few lengths compile quickly
LINE = Question("line", (16, 4, 1), 9, 0, vocabulary=3, symbols=4, reads="each")


@pytest.fixture(scope="module")
def encoder():
    return Columns(CONVS, (11,), "relu", 0.0, jnp.dtype("float32"))


@pytest.fixture(scope="module")
def lines():
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (n, 16, 4, 1), dtype=np.uint8) for n in LENGTHS]


@pytest.fixture(scope="module")
def packed(lines):
    packing = pack(LENGTHS, 1, GAP)
    lanes = packing.lanes(0, LENGTHS)
    frames = np.zeros((*lanes.sequence_TxN.shape, 16, 4, 1), np.uint8)
    fill(frames, lanes, range(len(lines)), lines)
    return frames, lanes


@pytest.fixture(scope="module")
def params(encoder, packed):
    params = encoder.init(jax.random.key(0), packed[0], None, packed[1])
    # Biases that make features of empty paper, where they are not set to zero.
    return jax.tree.map(lambda x: x + 0.1 if x.ndim == 1 else x, params)


def rows(features_TxNxD, lanes, i):
    first = lanes.first_B[i]
    return features_TxNxD[first : first + LENGTHS[i], lanes.lane_B[i]]


def test_lines_share_lanes_with_a_gap_between_them(packed):
    _, lanes = packed
    assert lanes.sequence_TxN.shape[1] < len(LENGTHS)
    for lane in np.asarray(lanes.sequence_TxN).T:
        changes = np.flatnonzero(np.diff(lane))
        assert all(-1 in lane[i : i + 2] for i in changes)


def test_a_line_in_a_lane_gives_what_it_gives_alone(encoder, lines, packed, params):
    weights = [np.random.default_rng(i).normal(size=(n, 11)) for i, n in enumerate(LENGTHS)]

    @jax.jit
    def together(params):
        features = encoder.apply(params, packed[0], None, packed[1])
        found = [rows(features, packed[1], i) for i in range(len(lines))]
        return sum(jnp.sum(f * w) for f, w in zip(found, weights, strict=True)), found

    @jax.jit
    def alone(params, line, lanes, weight):
        features = encoder.apply(params, line[:, None], None, lanes)[:, 0]
        return jnp.sum(features * weight), features

    def each_alone(params):
        lanes = [padded_lanes(LENGTHS[[i]]) for i in range(len(lines))]
        found = [alone(params, *line) for line in zip(lines, lanes, weights, strict=True)]
        return sum(loss for loss, _ in found), [features for _, features in found]

    (_, found), gradient = jax.value_and_grad(together, has_aux=True)(params)
    (_, expected), right = jax.value_and_grad(each_alone, has_aux=True)(params)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)
    for a, b in zip(jax.tree.leaves(gradient), jax.tree.leaves(right), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5 * np.abs(b).max())


def test_a_column_sees_its_neighbours(encoder, lines, params):
    lanes = padded_lanes(LENGTHS[1:2])
    changed = lines[1][:, None].copy()
    changed[4] = 255 - changed[4]
    before, after = (encoder.apply(params, x, None, lanes) for x in (lines[1][:, None], changed))
    differs = np.abs(before - after).max(axis=(1, 2)) > 0
    assert differs[3:6].all()
    assert not differs[[0, 1, 7, 8]].any()


@pytest.mark.parametrize(
    ("convs", "question", "words"),
    [
        (CONVS[:1], LINE, "halve 4 to 1"),
        (CONVS, Question("line", (16, 5, 1), 9, 0), "halve 5 to 1"),
        (((6, 5, True), *CONVS[1:]), LINE, 'all "same"'),
        ((*CONVS[:2], (8, 5, False, "same")), LINE, "no further than 4 pixels"),
        (CONVS, dataclasses.replace(LINE, frame_shape=(16, 6, 1)), "halve 6 to 1"),
        (CONVS, Question("class", (16, 4, 1), 9, 3), "expected frames"),
    ],
)
def test_layers_that_do_not_leave_a_column_of_each_strip_are_refused(convs, question, words):
    with pytest.raises(UserError, match=words):
        check_columns(convs, question)


def test_layers_that_do_are_not():
    check_columns(CONVS, LINE)
