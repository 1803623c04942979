import jax
import jax.numpy as jnp
import numpy as np
import pytest

from crnn_jax.data.lanes import padded_lanes
from crnn_jax.model.decoder import OWN, Decoder, Text, WriteSymbol
from tests.networks import random_params

T, N, H, V, S = 3, 4, 8, 6, 7
DECODER = Decoder(hidden=H, vocabulary=V, symbols=S, steps=T)
LANES = padded_lanes(np.full(N, T))


def random_hidden():
    return np.random.default_rng(0).normal(0, 1, (T, N, 8)).astype(np.float32)


@pytest.fixture(scope="module")
def params():
    shapes = jax.eval_shape(DECODER.init, jax.random.key(0), random_hidden(), LANES)
    return random_params(shapes, scale=1.0)


@jax.jit
def freely(params, hidden):
    return DECODER.apply(params, hidden, LANES).logits_NxSxV


@jax.jit
def given(params, hidden, right_NxS):
    return DECODER.apply(params, hidden, LANES, right_NxS).logits_NxSxV


def test_the_scan_is_a_loop_over_symbols(params):
    hidden = random_hidden()
    inner = params["params"]
    memory = hidden.swapaxes(0, 1)
    state = np.tanh(memory[:, -1] @ inner["state"]["kernel"] + inner["state"]["bias"])
    carry, logits = (state, np.full(N, V)), []
    step = jax.jit(lambda *inputs: WriteSymbol(H, V).apply({"params": inner["write"]}, *inputs))
    for s in range(S):
        carry, of_symbol = step(carry, np.full(N, OWN), inner["places"][s], (memory, None))
        logits.append(of_symbol)
    found = freely(params, hidden)
    np.testing.assert_allclose(found, np.stack(logits, axis=1), rtol=1e-4, atol=1e-5)
    assert len(np.unique(np.argmax(found, axis=-1))) > 2


def test_unrolled_it_writes_the_same(params):
    unrolled = jax.jit(DECODER.clone(unroll=16).apply).lower(params, random_hidden(), LANES)
    assert "while" not in unrolled.as_text()
    found = unrolled.compile()(params, random_hidden(), LANES).logits_NxSxV
    np.testing.assert_allclose(found, freely(params, random_hidden()), rtol=1e-5, atol=1e-6)


def test_given_what_it_wrote_itself_it_writes_the_same(params):
    alone = freely(params, random_hidden())
    again = given(params, random_hidden(), np.argmax(alone, axis=-1))
    np.testing.assert_allclose(again, alone, rtol=1e-5, atol=1e-6)


def test_a_given_symbol_changes_what_comes_after_it_and_nothing_before(params):
    right = np.random.default_rng(2).integers(0, V, (N, S))
    other = right.copy()
    other[:, 2] = (other[:, 2] + 1) % V
    before, after = (np.asarray(given(params, random_hidden(), x)) for x in (right, other))
    np.testing.assert_array_equal(before[:, :3], after[:, :3])
    assert (before[:, 3] != after[:, 3]).any(axis=-1).all()


def test_every_frame_is_seen_and_lanes_are_apart(params):
    @jax.jit
    @jax.jacobian
    def influence(hidden):
        return jnp.sum(DECODER.apply(params, hidden, LANES).logits_NxSxV, axis=(1, 2))

    found = np.abs(influence(random_hidden())).max(axis=-1)  # N x T x N
    for n in range(N):
        assert (found[n, :, n] > 0).all()
        assert not np.delete(found[n], n, axis=1).any()


def test_text():
    logits = np.log(np.array([[[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]]], np.float32))
    text = Text(logits)
    answers = text.answers()
    np.testing.assert_array_equal(answers.answer, [[0, 2]])
    assert answers.estimate is None
    np.testing.assert_allclose(answers.confidence, [[0.5, 0.8]], rtol=1e-6)
    np.testing.assert_allclose(
        text.loss(np.array([[1, 2]])), [-(np.log(0.25) + np.log(0.8)) / 2], rtol=1e-6
    )
