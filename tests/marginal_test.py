import functools
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from crnn_jax.model.marginal import (
    ANY,
    IMPOSSIBLE,
    NONE,
    Marginal,
    Posterior,
    before,
    number_log_probs,
    pick,
)
from crnn_jax.tasks.number import LAST, PRODUCT, SUM
from tests.jaxprs import equations
from tests.networks import LANES, STARTS_TxN, apply_head, random_hidden, sequences_so_far

CLASSES = 3
RECURRENCES = {"sum": SUM, "product": PRODUCT, "last": LAST}
ANSWER = {"sum": sum, "product": math.prod, "last": lambda digits: digits[-1]}


def posterior(name, log_probs, starts=STARTS_TxN, max_length=4):
    """The posterior of a recurrence's numbers, from log-probabilities of classes."""
    recurrence = RECURRENCES[name]
    numbers = recurrence.numbers(CLASSES, max_length)
    first = numbers.tolist().index(recurrence.first)
    found = number_log_probs(log_probs, starts, first, before(recurrence, CLASSES, numbers))
    return Posterior(found, tuple(numbers.tolist()))


def test_numbers_beyond_32_bits_are_those_of_the_likeliest_classes_and_their_exact_mean():
    exact, params = apply_head(Marginal(PRODUCT, 10, 4))
    read, _ = apply_head(Marginal(PRODUCT, 10, 10))
    answers = read.answers()
    np.testing.assert_allclose(answers.estimate, exact.answers().estimate, rtol=1e-4)
    logits = random_hidden() @ params["digit"]["kernel"] + params["digit"]["bias"]
    probs = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    for t, n, steps in sequences_so_far():
        likeliest = [int(probs[s, n].argmax()) for s in steps]
        assert answers.answer[t, n] == math.prod(likeliest)
        sure = np.prod([probs[s, n].max() for s in steps])
        np.testing.assert_allclose(answers.confidence[t, n], sure, rtol=1e-5)
    with pytest.raises(TypeError, match="not trained on"):
        read.loss(answers.answer)


@pytest.mark.parametrize("max_length", [4, 2])
@pytest.mark.parametrize("name", RECURRENCES)
def test_marginal_is_the_likelihood_of_all_ways_of_the_digits(name, max_length):
    """Of a sequence longer than `max_length` too, for the numbers that there are."""
    output, params = apply_head(Marginal(RECURRENCES[name], CLASSES, max_length))
    digit = params["digit"]
    logits = (random_hidden() @ digit["kernel"] + digit["bias"]).astype(np.float64)
    probs = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    assert output.numbers == tuple(RECURRENCES[name].numbers(CLASSES, max_length).tolist())
    for t, n, steps in sequences_so_far():
        expected = dict.fromkeys(RECURRENCES[name].numbers(CLASSES, 4).tolist(), 0.0)
        for digits in itertools.product(range(CLASSES), repeat=len(steps)):
            way = [probs[s, n, d] for s, d in zip(steps, digits, strict=True)]
            expected[ANSWER[name](digits)] += np.prod(way)
        np.testing.assert_allclose(sum(expected.values()), 1, rtol=1e-6)
        np.testing.assert_allclose(
            np.exp(output.log_probs_TxNxK[t, n]),
            [expected[number] for number in output.numbers],
            rtol=1e-5,
            atol=1e-9,
        )


@pytest.mark.parametrize("name", RECURRENCES)
def test_certain_digits_lead_to_one_certain_number(name):
    log_probs = np.full((4, 2, CLASSES), IMPOSSIBLE, np.float32)
    digits = np.array([[2, 0], [1, 2], [2, 2], [0, 1]])
    np.put_along_axis(log_probs, digits[..., None], 0, axis=-1)
    output = jax.jit(posterior, static_argnums=0)(name, log_probs)
    for t, n, steps in sequences_so_far():
        right = ANSWER[name]([int(digits[s, n]) for s in steps])
        expected = np.equal(output.numbers, right)
        assert expected.any()
        np.testing.assert_array_equal(np.exp(output.log_probs_TxNxK[t, n]), expected)


@pytest.mark.parametrize(
    ("name", "numbers", "expected"),
    [
        ("sum", [0, 1, 2, 3, 4], [[0, 1, 2, 3, 4], [NONE, 0, 1, 2, 3], [NONE, NONE, 0, 1, 2]]),
        ("product", [0, 1, 2, 4], [[ANY, NONE, NONE, NONE], [0, 1, 2, 3], [0, NONE, 1, 2]]),
        ("last", [0, 1, 2], [[ANY, NONE, NONE], [NONE, ANY, NONE], [NONE, NONE, ANY]]),
    ],
)
def test_before_written_out(name, numbers, expected):
    np.testing.assert_array_equal(RECURRENCES[name].numbers(CLASSES, 2), numbers)
    np.testing.assert_array_equal(before(RECURRENCES[name], CLASSES, np.array(numbers)), expected)


@pytest.mark.parametrize(
    ("before_K", "slice_does"),
    [
        ([0, 1, 2, 3], True),
        ([NONE, 0, 1, 2], True),
        ([NONE, NONE, NONE, 0], True),
        ([NONE, NONE, NONE, NONE], True),
        ([ANY, NONE, NONE, NONE], False),
        ([NONE, NONE, NONE, ANY], False),
        ([ANY, ANY, ANY, ANY], False),
        ([0, NONE, 1, 2], False),
        ([1, 0, 2, 3], False),
        ([NONE, 1, NONE, 2], False),
        ([3, NONE, NONE, NONE], False),
    ],
)
def test_pick_by_a_slice_is_pick_by_indexing(before_K, slice_does):
    before_K = np.array(before_K)
    log_probs = np.random.default_rng(0).normal(size=(2, 4)).astype(np.float32)
    weights = np.array([[1, 2, 4, 8], [3, 5, 7, 9]], np.float32)

    def weighed(log_probs):
        picked = pick(log_probs, before_K)
        return jnp.sum(picked * weights), picked

    used = {x.primitive.name for x in equations(weighed, log_probs)}
    assert ("gather" in used) != slice_does
    gradient, picked = jax.jit(jax.grad(weighed, has_aux=True))(log_probs)
    expected = np.full((2, 4), np.float32(IMPOSSIBLE))
    expected_gradient = np.zeros((2, 4))
    for k, index in enumerate(before_K):
        if index >= 0:
            expected[:, k] = log_probs[:, index]
            expected_gradient[:, index] += weights[:, k]
        elif index == ANY:
            expected[:, k] = 0
    np.testing.assert_array_equal(picked, expected)
    np.testing.assert_array_equal(gradient, expected_gradient)


@functools.partial(jax.jit, static_argnums=0)
def log_likelihood_after_two_digits(name, logits, target):
    """And its gradient by the logits."""

    def log_likelihood(logits):
        starts = np.array([[True], [False]])
        output = posterior(name, jax.nn.log_softmax(logits), starts, 2)
        return -output.loss(jnp.full((2, 1), target))[1, 0]

    return jax.value_and_grad(log_likelihood)(logits)


@pytest.mark.parametrize(
    ("name", "log_probs", "target", "log_likelihood", "responsible"),
    [
        ("sum", [0, -200, -200], 2, -200 + np.log(2), [0.5, 0, 0.5]),  # 0+2 or 2+0, hardly 1+1
        ("sum", [0, -200, -200], 4, -400, [0, 0, 1]),
        ("sum", [IMPOSSIBLE, 0, IMPOSSIBLE], 2, 0, [0, 1, 0]),
        ("product", [0, -200, -200], 2, -400 + np.log(2), [0, 0.5, 0.5]),  # 1×2 or 2×1
        ("product", [0, -200, -200], 4, -400, [0, 0, 1]),
        ("product", [-200, 0, IMPOSSIBLE], 0, -200 + np.log(2), [0.5, 0.5, 0]),  # 0×1 or 1×0
    ],
)
def test_gradient_of_what_is_held_nearly_impossible(
    name, log_probs, target, log_likelihood, responsible
):
    """Of a logit, it is how far the digit is responsible for the answer, less its probability."""
    log_probs = np.tile(np.array(log_probs, np.float32), (2, 1, 1))
    value, gradient = log_likelihood_after_two_digits(name, log_probs, target)
    np.testing.assert_allclose(value, log_likelihood, rtol=1e-6, atol=1e-6)
    expected = [responsible] * 2 - np.exp(log_probs[:, 0])
    np.testing.assert_allclose(gradient[:, 0], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "targets"),
    # The last sum and product cannot be after fewer than four digits.
    [("sum", [1, 8]), ("product", [1, 16]), ("last", [1])],
)
def test_confidently_wrong_and_impossible_answers_have_finite_gradients(name, targets):
    head = Marginal(RECURRENCES[name], CLASSES, max_length=4)
    hidden = 1e4 * np.ones((4, 2, 1), np.float32)  # every digit is a 0, without doubt
    params = {"params": {"digit": {"kernel": np.array([[1.0, 0, 0]]), "bias": np.zeros(CLASSES)}}}

    @jax.jit
    @jax.value_and_grad
    def loss_and_gradient(params, target):
        return head.apply(params, hidden, LANES).loss(target).mean()

    for target in targets:
        loss, gradient = loss_and_gradient(params, np.full((4, 2), target))
        assert loss > 9e3
        assert np.isfinite(loss)
        assert all(np.isfinite(x).all() for x in jax.tree.leaves(gradient))
        assert any(x.any() for x in jax.tree.leaves(gradient))


def test_posterior_speaks_of_its_numbers():
    probs = np.array([[[0.1, 0.2, 0.7], [0, 1, 0]]], np.float32)
    output = Posterior(np.log(np.maximum(probs, 1e-30)), (0, 4, 6))
    answers = output.answers()
    np.testing.assert_allclose(answers.estimate, [[5.0, 4]], rtol=1e-6)
    assert answers.estimate.dtype == jnp.float32
    np.testing.assert_array_equal(answers.answer, [[6, 4]])
    assert answers.answer.dtype == jnp.int32
    np.testing.assert_allclose(answers.confidence, [[0.7, 1]], rtol=1e-6)
    np.testing.assert_allclose(output.loss(np.array([[4, 4]])), -np.log([[0.2, 1]]), rtol=1e-6)
