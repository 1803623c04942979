import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from crnn_jax.data.lanes import padded_lanes
from crnn_jax.data.packing import pack
from crnn_jax.model.beam import search
from crnn_jax.model.paths import best_paths, ctc_loss, log_likelihood

LENGTHS = np.array([7, 4, 5, 3, 6], np.int32)
TEXTS = np.array([[0, 0, 1], [2, -1, -1], [1, 0, 1], [-1, -1, -1], [1, 1, -1]], np.int32)
CLASSES = 4


@functools.partial(jax.jit, static_argnames="unroll")
@functools.partial(jax.value_and_grad, has_aux=True)
def losses(logits, texts, lanes, unroll=1):
    loss_TxN = ctc_loss(logits, texts, lanes, unroll)
    return jnp.sum(loss_TxN * (1 + jnp.arange(loss_TxN.shape[1]))[None]), loss_TxN


def random_rows(scale=2.0, lengths=LENGTHS, classes=CLASSES):
    shape = (len(lengths), max(lengths), classes)
    return np.random.default_rng(0).normal(0, scale, shape).astype(np.float32)


def text_of(path, blank):
    return tuple(k for k, _ in itertools.groupby(path) if k != blank)


def every_path(log_probs_LxV):
    """The log-probability of each path, and the text that it says."""
    steps, classes = log_probs_LxV.shape
    for path in itertools.product(range(classes), repeat=steps):
        yield path, text_of(path, classes - 1), log_probs_LxV[np.arange(steps), path].sum()


def padded(texts, width):
    return np.array([[*text, *[-1] * (width - len(text))] for text in texts], np.int32)


def test_loss_and_gradient_are_those_of_optax():
    rows, lanes = random_rows(), padded_lanes(LENGTHS)
    behind = (np.arange(rows.shape[1])[None] >= LENGTHS[:, None]).astype(np.float32)

    @jax.value_and_grad
    def expected(rows):
        loss_B = optax.ctc_loss(rows, behind, abs(TEXTS), TEXTS < 0, blank_id=CLASSES - 1)
        return jnp.sum(loss_B * (1 + jnp.arange(len(TEXTS))))

    (total, loss_TxN), gradient = losses(rows.swapaxes(0, 1), TEXTS, lanes)
    value, gradient_BxLxV = expected(rows)
    np.testing.assert_allclose(total, value, rtol=1e-5)
    np.testing.assert_allclose(gradient.swapaxes(0, 1), gradient_BxLxV, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(np.asarray(loss_TxN) > 0, lanes.ends_TxN)


def test_packed_with_a_missing_line_it_is_one_line_at_a_time():
    rows, packing = random_rows(), pack(LENGTHS, 1, gap=1)
    order = packing.places_GxB[0]
    lengths = np.where(np.arange(len(order)) == 3, 0, LENGTHS[order]).astype(np.int32)
    lanes = packing.lanes(0, lengths)
    assert lanes.sequence_TxN.shape[1] < len(LENGTHS) - 1
    logits = np.random.default_rng(1).normal(0, 9, (*lanes.sequence_TxN.shape, CLASSES))
    there = lanes.sequence_TxN >= 0
    sequence, frame = lanes.sequence_TxN[there], lanes.frame_TxN[there]
    logits[there] = rows[order[sequence], frame]
    (_, loss_TxN), gradient = losses(logits.astype(np.float32), TEXTS[order], lanes)
    (_, alone_TxN), gradient_alone = losses(rows.swapaxes(0, 1), TEXTS, padded_lanes(LENGTHS))

    ends = lanes.ends_TxN
    at_end = order[lanes.sequence_TxN[ends]]
    np.testing.assert_allclose(
        loss_TxN[ends], np.asarray(alone_TxN)[LENGTHS[at_end] - 1, at_end], rtol=1e-6
    )
    weight = (1 + np.arange(lanes.sequence_TxN.shape[1])) * np.ones(there.shape)
    expected = np.asarray(gradient_alone)[frame, order[sequence]]
    expected *= (weight[there] / (1 + order[sequence]))[:, None]
    np.testing.assert_allclose(np.asarray(gradient)[there], expected, rtol=1e-5, atol=1e-5)
    assert not np.asarray(loss_TxN)[~ends].any()
    assert not np.asarray(gradient)[~there].any()


@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_a_text_that_does_not_fit_counts_for_nothing_and_nothing_is_nan(scale):
    lengths = np.array([2, 3, 1, 4, 4])
    texts = padded([(0, 0), (0, 0), (1, 2), (), (0, 1, 2, 0)], 5)
    fits = np.array([False, True, False, True, True])
    logits = random_rows(scale, lengths).swapaxes(0, 1)
    (_, loss_TxN), gradient = losses(logits, texts, padded_lanes(lengths))
    assert np.isfinite(gradient).all()
    loss_B = np.asarray(loss_TxN)[lengths - 1, np.arange(len(lengths))]
    np.testing.assert_array_equal(loss_B > 0, fits)
    assert np.isfinite(loss_B).all()
    np.testing.assert_array_equal(np.abs(gradient).max(axis=(0, 2)) > 0, fits)


def test_unrolled_there_is_no_loop():
    lanes, logits = padded_lanes(LENGTHS), random_rows().swapaxes(0, 1)
    assert "while" not in losses.lower(logits, TEXTS, lanes, unroll=7).as_text()


def test_likelihood_best_path_and_search_are_those_of_all_paths():
    lengths = np.array([5, 3, 4, 5, 2, 5])
    log_probs = np.asarray(jax.nn.log_softmax(random_rows(1.0, lengths, 3)))
    found = np.asarray(jax.jit(search, static_argnums=2)(log_probs, lengths, 64))
    likelihood = jax.jit(log_likelihood)
    paths_of_found = jax.jit(best_paths)(log_probs, lengths, found)
    other = padded([(0, 1), (0, 0), (1, 0, 1), (), (0,), (0, 0, 1)], 3)
    for b, length in enumerate(lengths):
        total, best = {}, {}
        for path, text, log_prob in every_path(log_probs[b, :length]):
            total[text] = np.logaddexp(total.get(text, -np.inf), log_prob)
            best[text] = max(best.get(text, (-np.inf, ())), (log_prob, path))
        text = max(total, key=total.__getitem__)
        assert tuple(found[b][found[b] >= 0]) == text
        assert tuple(paths_of_found[b][:length]) == best[text][1]
        assert (paths_of_found[b][length:] == 2).all()
        for texts, said in ((found, text), (other, tuple(other[b][other[b] >= 0]))):
            np.testing.assert_allclose(
                likelihood(log_probs, lengths, texts)[b], total[said], rtol=1e-5, atol=1e-6
            )
