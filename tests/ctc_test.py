import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from crnn_jax import config
from crnn_jax.data.lanes import lay_out, padded_lanes
from crnn_jax.model import optimizer
from crnn_jax.model.ctc import CTC, Transcript, fit_temperature
from tests.networks import LANES, apply_head, random_hidden

BLANK = 3


def logits_of(paths):
    """Logits under which each column's class has probability .97, and the others .01."""
    probs = np.where(np.arange(4) == np.array(paths)[..., None], 0.97, 0.01)
    return np.log(probs).astype(np.float32)


@jax.jit
def compiled(lines):
    return lines.answers()


def answers(lines):
    return jax.tree.map(np.asarray, compiled(lines))


def transcript(rows, lengths, **options):
    options = {"steps": rows.shape[1], "log_temperature": jnp.zeros(())} | options
    return Transcript(rows.swapaxes(0, 1), lanes=padded_lanes(np.array(lengths)), **options)


@pytest.mark.parametrize("beam", [1, 8])
def test_a_line_is_read_with_the_columns_of_each_symbol(beam):
    paths = [[3, 2, 2, 3, 2, 0, 0], [1, 1, 1, 3, 0, 0, 0], [3, 3, 3, 3, 3, 3, 3]]
    rows = logits_of(paths)
    rows[1, 1] = np.log([0.003, 0.99, 0.003, 0.004])
    found = answers(transcript(rows, [7, 4, 7], beam=beam))
    np.testing.assert_array_equal(
        found.answer[:, :4], [[2, 2, 0, -1], [1, -1, -1, -1], [-1, -1, -1, -1]]
    )
    np.testing.assert_array_equal(
        found.steps[:, :4],
        [[[1, 2], [4, 4], [5, 6], [-1, -1]], [[0, 2], *[[-1, -1]] * 3], [[-1, -1]] * 4],
    )
    np.testing.assert_allclose(
        found.confidence[:, :4], [[0.97, 0.97, 0.97, 1], [0.99, 1, 1, 1], [1] * 4], rtol=1e-5
    )
    assert found.answer.shape == (3, 7)
    np.testing.assert_allclose(found.whole[2], 0.97**7, rtol=1e-5)


def test_a_text_of_many_paths_is_found_by_beam_search_alone():
    rows = logits_of(np.full((3, 7), BLANK))
    rows[0, :2] = np.log([0.4, 1e-9, 1e-9, 0.6])  # no symbol: .36; the first: .64
    greedy, beam = (answers(transcript(rows, [2, 7, 7], beam=beam)) for beam in (1, 8))
    np.testing.assert_array_equal(greedy.answer[0], [-1] * 7)
    np.testing.assert_array_equal(beam.answer[0], [0, *[-1] * 6])
    np.testing.assert_allclose([greedy.whole[0], beam.whole[0]], [0.36, 0.64], rtol=1e-5)


def test_lines_that_share_a_lane_are_read_as_alone_and_the_missing_as_nothing():
    rows = np.random.default_rng(0).normal(0, 2, (3, 4, 4)).astype(np.float32)
    alone = answers(transcript(rows, LANES.length_B))
    packed = rows[LANES.sequence_TxN, LANES.frame_TxN]
    options = {"log_temperature": jnp.zeros(()), "steps": 4}
    jax.tree.map(
        np.testing.assert_array_equal, alone, answers(Transcript(packed, lanes=LANES, **options))
    )
    lanes = LANES.replace(length_B=np.array([4, 2, 0]))
    missing = answers(Transcript(packed, lanes=lanes, **options))
    assert (missing.answer[2] == -1).all()
    assert missing.whole[2] == 1


def test_a_line_alone_may_be_longer_than_any_in_training():
    rows = logits_of([[0, 3, 0, 3, 0, 3]])
    np.testing.assert_array_equal(
        answers(transcript(rows, [6], steps=2)).answer, [[0, 0, 0, -1, -1, -1]]
    )


def test_a_row_of_a_line_that_shares_its_lane_is_as_long_as_the_longest():
    lanes = lay_out([[0, 1, 2]], np.array([2, 2, 2]))
    lines = Transcript(logits_of([[0, 0, 1, 1, 2, 3]]).swapaxes(0, 1), jnp.zeros(()), lanes, 2)
    np.testing.assert_array_equal(answers(lines).answer, [[0, -1], [1, -1], [2, -1]])


def test_the_loss_is_that_of_the_text_that_is_read():
    rows = np.random.default_rng(0).normal(0, 2, (3, 7, 4)).astype(np.float32)
    lines = transcript(rows, [7, 5, 4])
    found = answers(lines)
    loss_TxN = jax.jit(lambda x, texts: x.loss(texts))(lines, found.answer)
    np.testing.assert_allclose(np.exp(-loss_TxN[[6, 4, 3], [0, 1, 2]]), found.whole, rtol=1e-5)


def test_a_temperature_changes_what_is_sure_and_not_what_is_read():
    rows = np.random.default_rng(0).normal(0, 2, (3, 7, 4)).astype(np.float32)
    cold, warm = (
        answers(transcript(rows, [7, 5, 4], log_temperature=np.float32(x))) for x in (0, 0.5)
    )
    np.testing.assert_array_equal(cold.answer, warm.answer)
    np.testing.assert_array_equal(cold.steps, warm.steps)
    assert (warm.whole < cold.whole).all()
    there = cold.answer >= 0
    assert (warm.confidence[there] < cold.confidence[there]).all()
    divided = answers(transcript(rows / np.exp(np.float32(0.5)), [7, 5, 4]))
    np.testing.assert_allclose(warm.confidence, divided.confidence, rtol=1e-5)
    np.testing.assert_allclose(warm.whole, divided.whole, rtol=1e-5)


def test_the_head_is_a_dense_layer_in_float32():
    output, params = apply_head(CTC(vocabulary=3, steps=4), random_hidden(jnp.bfloat16))
    hidden = random_hidden(jnp.bfloat16).astype(np.float32)
    logits = hidden @ params["symbol"]["kernel"] + params["symbol"]["bias"]
    assert output.logits_TxNxV.dtype == np.float32
    np.testing.assert_allclose(output.logits_TxNxV, logits, rtol=1e-5, atol=1e-5)
    assert output.log_temperature == params["log_temperature"]


def test_training_leaves_the_temperature_as_it_is():
    head, texts = CTC(vocabulary=3, steps=4), np.array([[0, 1], [1, -1], [2, -1]])
    c = config.default()
    c.train.weight_decay, c.train.schedule = 0.5, "constant"
    transformation = optimizer.build(c)
    params = {"params": {"answer_head": dict(apply_head(head)[1])}}
    before = params["params"]["answer_head"]

    @jax.grad
    def gradient(params):
        output = head.apply({"params": params["params"]["answer_head"]}, random_hidden(), LANES)
        return jnp.sum(output.loss(texts))

    @jax.jit
    def trained(params):
        state = transformation.init(params)
        for _ in range(2):
            updates, state = transformation.update(gradient(params), state, params)
            params = optax.apply_updates(params, updates)
        return params["params"]["answer_head"]

    after = trained(params)
    assert after["log_temperature"] == before["log_temperature"]
    assert (after["symbol"]["kernel"] != before["symbol"]["kernel"]).all()


def test_the_temperature_that_fits_is_that_which_texts_were_drawn_with():
    rng = np.random.default_rng(0)
    rows = rng.normal(0, 4, (1000, 6, 4)).astype(np.float32)
    lengths = rng.integers(3, 7, 1000)
    paths = np.argmax(rows / 2 + rng.gumbel(size=rows.shape), axis=-1)
    texts = np.full((1001, 6), -1)
    for i, (path, length) in enumerate(zip(paths, lengths, strict=True)):
        said = [k for k, _ in itertools.groupby(path[:length]) if k != BLANK]
        texts[i, : len(said)] = said
    texts[1000] = [0, 0, 0, 0, 1, 1]  # a text that does not fit
    rows, lengths = np.append(rows, rows[:1], axis=0), np.append(lengths, 6)
    fit = jax.jit(fit_temperature)
    assert abs(np.log(fit(rows, lengths, texts) / 2)) < 0.1
    assert abs(np.log(fit(rows * 3, lengths, texts) / 6)) < 0.1
    assert abs(np.log(fit(rows, 0 * lengths, texts))) < 1e-6  # nothing to go by
