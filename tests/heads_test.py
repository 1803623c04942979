import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from crnn_jax.model.heads import (
    IMPOSSIBLE,
    Cumulative,
    Last,
    Marginal,
    Posterior,
    Value,
    total_log_probs,
)

STARTS_TxN = np.array([[1, 1], [0, 0], [0, 1], [0, 0]], bool)
DIGITS, TOTALS = 3, 9  # totals of up to four digits 0, 1, 2
TOTAL_LOG_PROBS = jax.jit(total_log_probs, static_argnums=2)


def random_hidden(dtype=np.float32):
    return np.random.default_rng(0).normal(0, 1, (4, 2, 5)).astype(dtype)


def random_log_probs():
    logits = np.random.default_rng(0).normal(0, 2, (4, 2, DIGITS))
    return (logits - np.log(np.exp(logits).sum(-1, keepdims=True))).astype(np.float32)


def sequences_so_far():
    """(step, lane, the steps of the sequence so far) at each step of each lane."""
    for t, n in np.ndindex(STARTS_TxN.shape):
        start = max(s for s in range(t + 1) if STARTS_TxN[s, n])
        yield t, n, range(start, t + 1)


def apply(head, hidden=None):
    """The head's output on random states, under parameters that are all random."""
    hidden = random_hidden() if hidden is None else hidden
    params = jax.eval_shape(head.init, jax.random.key(0), hidden, STARTS_TxN)
    rng = np.random.default_rng(1)
    params = jax.tree.map(lambda x: rng.normal(0, 1, x.shape).astype(x.dtype), params)
    return jax.jit(head.apply)(params, hidden, STARTS_TxN), params["params"]


def dense(params, hidden):
    return hidden @ params["kernel"] + params["bias"]


def test_last_is_a_dense_unit():
    output, params = apply(Last())
    expected = dense(params["value"], random_hidden())[..., 0]
    np.testing.assert_allclose(output.value_TxN, expected, rtol=1e-5, atol=1e-6)


def test_cumulative_sums_a_dense_unit_from_each_start():
    output, params = apply(Cumulative())
    shares = dense(params["value"], random_hidden())[..., 0]
    for t, n, steps in sequences_so_far():
        expected = sum(shares[s, n] for s in steps)
        np.testing.assert_allclose(output.value_TxN[t, n], expected, rtol=1e-5, atol=1e-6)


def test_marginal_is_the_total_of_its_digits():
    output, params = apply(Marginal(DIGITS, max_length=4))
    logits = dense(params["digit"], random_hidden())
    log_probs = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    expected = TOTAL_LOG_PROBS(log_probs, STARTS_TxN, TOTALS)
    assert output.log_probs_TxNxK.shape == (4, 2, TOTALS)
    np.testing.assert_allclose(
        np.exp(output.log_probs_TxNxK), np.exp(expected), rtol=1e-5, atol=1e-7
    )


@pytest.mark.parametrize("totals", [TOTALS, 4])
def test_total_log_probs_are_those_of_all_ways_to_the_total(totals):
    log_probs = random_log_probs()
    found = np.exp(TOTAL_LOG_PROBS(log_probs, STARTS_TxN, totals))
    assert found.shape == (4, 2, totals)
    probs = np.exp(log_probs.astype(np.float64))
    for t, n, steps in sequences_so_far():
        expected = np.zeros(TOTALS)
        for digits in itertools.product(range(DIGITS), repeat=len(steps)):
            way = [probs[s, n, d] for s, d in zip(steps, digits, strict=True)]
            expected[sum(digits)] += np.prod(way)
        np.testing.assert_allclose(expected.sum(), 1, rtol=1e-6)
        np.testing.assert_allclose(found[t, n], expected[:totals], rtol=1e-5, atol=1e-9)


def test_total_log_probs_of_certain_digits():
    log_probs = np.full((4, 2, DIGITS), IMPOSSIBLE, np.float32)
    digits = np.array([[2, 0], [1, 2], [2, 2], [0, 1]])
    np.put_along_axis(log_probs, digits[..., None], 0, axis=-1)
    found = np.exp(TOTAL_LOG_PROBS(log_probs, STARTS_TxN, TOTALS))
    for t, n, steps in sequences_so_far():
        expected = np.eye(TOTALS)[sum(digits[s, n] for s in steps)]
        np.testing.assert_array_equal(found[t, n], expected)


@pytest.mark.parametrize(
    ("log_probs", "target", "log_likelihood", "responsible"),
    [
        ([0, -200, -200], 2, -200 + np.log(2), [0.5, 0, 0.5]),  # 0+2 or 2+0, hardly 1+1
        ([0, -200, -200], 4, -400, [0, 0, 1]),
        ([IMPOSSIBLE, 0, IMPOSSIBLE], 2, 0, [0, 1, 0]),
    ],
)
def test_gradient_of_what_is_held_nearly_impossible(log_probs, target, log_likelihood, responsible):
    """The gradient of the log-likelihood is how far each digit is responsible for the total."""
    starts = np.array([[True], [False]])

    def last_step(log_probs):
        return -Posterior(total_log_probs(log_probs, starts, 5)).loss(np.full((2, 1), target))[1, 0]

    log_probs = np.tile(np.array(log_probs, np.float32), (2, 1, 1))
    value, gradient = jax.jit(jax.value_and_grad(last_step))(log_probs)
    np.testing.assert_allclose(value, log_likelihood, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(gradient[:, 0], [responsible] * 2, rtol=1e-5, atol=1e-6)


def test_confidently_wrong_and_impossible_answers_have_finite_gradients():
    head = Marginal(DIGITS, max_length=4)
    hidden = 1e4 * np.ones((4, 2, 1), np.float32)
    params = {"params": {"digit": {"kernel": np.array([[1.0, 0, 0]]), "bias": np.zeros(DIGITS)}}}

    @jax.jit
    @jax.value_and_grad
    def loss_and_gradient(params, target):
        return head.apply(params, hidden, STARTS_TxN).loss(target).mean()

    for total in (1, TOTALS - 1):  # the latter cannot be after fewer than four digits
        loss, gradient = loss_and_gradient(params, np.full((4, 2), total))
        assert loss > 9e3
        assert np.isfinite(loss)
        assert all(np.isfinite(x).all() for x in jax.tree.leaves(gradient))
        assert any(x.any() for x in jax.tree.leaves(gradient))


def test_value():
    output = Value(jnp.array([[1.4, 2.6], [-0.7, 3.0]]))
    np.testing.assert_array_equal(output.estimate(), output.value_TxN)
    np.testing.assert_array_equal(output.answer(), [[1, 3], [-1, 3]])
    assert output.answer().dtype == jnp.int32
    np.testing.assert_allclose(
        output.loss(np.array([[1, 2], [0, 3]])), [[0.16, 0.36], [0.49, 0]], rtol=1e-5
    )


def test_posterior():
    probs = np.array([[[0.1, 0.2, 0.7], [1, 0, 0]]], np.float32)
    output = Posterior(np.log(np.maximum(probs, 1e-30)))
    np.testing.assert_allclose(output.estimate(), [[1.6, 0]], rtol=1e-6, atol=1e-12)
    np.testing.assert_array_equal(output.answer(), [[2, 0]])
    assert output.answer().dtype == jnp.int32
    np.testing.assert_allclose(output.loss(np.array([[1, 0]])), -np.log([[0.2, 1]]), rtol=1e-6)


@pytest.mark.parametrize("head", [Last(), Cumulative(), Marginal(DIGITS, 4)], ids=repr)
def test_reads_bfloat16_states_in_float32(head):
    hidden = random_hidden(jnp.bfloat16)
    output, params = jax.eval_shape(
        lambda key: head.init_with_output(key, hidden, STARTS_TxN), jax.random.key(0)
    )
    assert {x.dtype for x in jax.tree.leaves((output, params))} == {np.dtype(np.float32)}
    exact, _ = apply(head, hidden.astype(np.float32))
    found, _ = apply(head, hidden)
    jax.tree.map(np.testing.assert_array_equal, found, exact)
