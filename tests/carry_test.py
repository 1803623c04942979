"""The head that adds as on paper: it gives the likelihood of each sum, over all ways to it."""

import itertools

import jax
import numpy as np
import pytest

from crnn_jax.data.lanes import lay_out, padded_lanes
from crnn_jax.model.carry import Carry
from crnn_jax.model.question import Addends
from tests.networks import apply_head

HALVES, PARTED = Addends(2, parted=False), Addends(2, parted=True)


def softmax(hidden, params):
    logits = (hidden @ params["digit"]["kernel"] + params["digit"]["bias"]).astype(np.float64)
    return np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)


def apply(addends, classes, lengths, lanes):
    """A head's output on random states, and the probabilities of each sequence's frames."""
    hidden = np.random.default_rng(0).normal(0, 2, (*lanes.starts_TxN.shape, 5)).astype(np.float32)
    head = Carry(addends, classes)
    shapes = jax.eval_shape(head.init, jax.random.key(0), hidden, lanes)
    rng = np.random.default_rng(1)
    params = jax.tree.map(lambda x: rng.normal(0, 1, x.shape).astype(x.dtype), shapes)
    probs_TxNxG = softmax(hidden, params["params"])
    rows = [
        probs_TxNxG[lanes.first_B[i] : lanes.first_B[i] + length, lanes.lane_B[i]]
        for i, length in enumerate(lengths)
    ]
    return jax.jit(lambda: head.apply(params, hidden, lanes))(), rows


def symbols(total, digits):
    """A sum in digits, the units first."""
    return [total // 10**place % 10 for place in range(digits + 1)]


def ways(probs_LxG, digits, *, parted):
    """Each way in which frames may be two numbers: its sum and its probability."""
    length = len(probs_LxG)
    blanks = range(1, length - 1) if parted else [None]
    for blank in blanks:
        count = length // 2 if blank is None else blank
        behind = length - count - (blank is not None)
        if max(count, behind) > digits:
            continue
        frames = [i for i in range(length) if i != blank]
        of_blank = 1.0 if blank is None else probs_LxG[blank, 10]
        for shown in itertools.product(range(10), repeat=count + behind):
            numbers = [int("".join(map(str, x))) for x in (shown[:count], shown[count:])]
            each = [probs_LxG[i, digit] for i, digit in zip(frames, shown, strict=True)]
            yield sum(numbers), of_blank * np.prod(each)


CASES = {
    "one digit each": (Addends(1, parted=False), [2, 2, 2]),
    "two digits each": (HALVES, [4, 4]),
    "parted": (PARTED, [3, 4, 5, 4, 3]),
}


@pytest.mark.parametrize("case", CASES)
def test_the_likelihood_is_that_of_all_ways_to_the_sum(case):
    addends, lengths = CASES[case]
    lanes = padded_lanes(np.array(lengths))
    if addends.parted:  # two sequences share a lane
        lanes = lay_out([[0, 2], [1, 3], [4]], np.array(lengths))
    output, rows = apply(addends, 10 + addends.parted, lengths, lanes)
    largest = 2 * (10**addends.digits - 1)
    expected_BxK = np.zeros((len(lengths), largest + 1))
    for i, probs_LxG in enumerate(rows):
        for total, probability in ways(probs_LxG, addends.digits, parted=addends.parted):
            expected_BxK[i, total] += probability
    targets_KxS = np.array([symbols(total, addends.digits) for total in range(largest + 1)])
    losses = jax.jit(jax.vmap(lambda row: output.loss(row)))(
        np.broadcast_to(targets_KxS[:, None], (largest + 1, len(lengths), addends.digits + 1))
    )
    np.testing.assert_allclose(np.exp(-np.asarray(losses)).T, expected_BxK, rtol=2e-5, atol=1e-12)

    answers = jax.jit(output.answers)()
    loss_B = jax.jit(output.loss)(answers.answer)
    share_B = expected_BxK.sum(axis=1)  # what is two numbers at all
    np.testing.assert_allclose(
        np.prod(answers.confidence, axis=1) * share_B, np.exp(-loss_B), rtol=1e-4
    )


def test_certain_digits_are_added_whatever_their_length():
    """Thirty digits: their sum is far beyond 64 bits."""
    digits, rng = 30, np.random.default_rng(2)
    shown_TxN = rng.integers(0, 10, (2 * digits, 4))
    shown_TxN[:, 0] = 9
    lanes = padded_lanes(np.full(4, 2 * digits))
    head = Carry(Addends(digits, parted=False), 10)
    params = {"params": {"digit": {"kernel": np.eye(10), "bias": np.zeros(10)}}}

    @jax.jit
    def read():
        output = head.apply(params, 40.0 * np.eye(10)[shown_TxN], lanes)
        answers = output.answers()
        return answers, output.loss(answers.answer)

    answers, loss_B = read()
    for n in range(4):
        first, second = (
            int("".join(map(str, x))) for x in np.split(shown_TxN[:, n].tolist(), [digits])
        )
        assert answers.answer[n].tolist() == symbols(first + second, digits)
    np.testing.assert_allclose(answers.confidence, 1, atol=1e-6)
    np.testing.assert_allclose(loss_B, 0, atol=1e-4)


def test_gradients_are_finite_where_a_way_is_impossible():
    lanes = lay_out([[0, 1]], np.array([3, 5]))
    hidden = np.random.default_rng(0).normal(0, 30, (8, 1, 5)).astype(np.float32)
    head = Carry(PARTED, 11)
    _, params = apply_head(head, np.zeros((4, 2, 5), np.float32))
    targets = np.array([symbols(7, 2), symbols(198, 2)])

    def loss(params):
        return head.apply({"params": params}, hidden, lanes).loss(targets).sum()

    gradients = jax.jit(jax.grad(loss))(params)
    assert all(np.isfinite(x).all() and x.any() for x in jax.tree.leaves(gradients))
