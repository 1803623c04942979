"""Tasks with written answers: what is right, what it costs to be wrong, what people are told."""

import dataclasses

import jax
import numpy as np
import pytest

from crnn_jax import UserError
from crnn_jax.data import clips
from crnn_jax.data.batch import Batch
from crnn_jax.data.lanes import padded_lanes
from crnn_jax.model.decoder import Text
from crnn_jax.model.heads import Answers
from crnn_jax.tasks.task import Account, Mark
from crnn_jax.tasks.written import Addition, Caption
from tests.networks import digits, written

ADDITION = Addition("addition", digits(), 4, 4, False)
CAPTION = Caption("caption", digits(), 1, 1, False)


def test_a_sum_is_written_from_the_units_on():
    labels_TxN = np.random.default_rng(0).integers(0, 10, (6, 500)).astype(np.int32)
    task = dataclasses.replace(ADDITION, min_length=6, max_length=6)
    found = np.asarray(jax.jit(task.targets)(labels_TxN, padded_lanes(np.full(500, 6))))
    assert found.shape == (500, task.symbols)
    numbers = [100, 10, 1] @ labels_TxN.reshape(2, 3, -1)
    np.testing.assert_array_equal(found @ [1, 10, 100, 1000], numbers.sum(axis=0))
    for symbols, total in zip(found, numbers.sum(axis=0), strict=True):
        assert task.text(symbols) == f"{total:04}"


def test_a_caption_is_the_words_of_what_was_filmed_up_to_the_end():
    rows = np.array([0, 3 * len(clips.SCENES) + 2])
    found = np.asarray(CAPTION.targets(rows, None))
    assert found.shape == (2, CAPTION.symbols)
    assert CAPTION.text(found[0]) == "the digit zero stands still in the middle"
    assert CAPTION.text(found[1]) == f"the digit three {clips.SCENES[2]}"
    whole = [CAPTION.vocabulary.index("the")] * CAPTION.symbols
    assert CAPTION.text(whole) == " ".join(["the"] * CAPTION.symbols)


@pytest.mark.parametrize("task", [ADDITION, CAPTION], ids=["addition", "caption"])
def test_the_loss_is_the_cross_entropy_of_a_symbol_summed_over_answers(task):
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (3, task.symbols, len(task.vocabulary))).astype(np.float32)
    targets = rng.integers(0, len(task.vocabulary), (3, task.symbols))
    probs = np.exp(logits.astype(np.float64))
    probs /= probs.sum(axis=-1, keepdims=True)
    right = [[probs[n, s, targets[n, s]] for s in range(task.symbols)] for n in range(3)]
    lanes = padded_lanes(np.full(3, 4))
    batch = Batch(None, lanes, targets)
    expected = -np.log(right).mean(axis=1).sum()
    assert task.loss(Text(logits), batch) == pytest.approx(expected, rel=1e-6)


def test_answers_of_chunks_become_one_a_row_and_are_scored():
    lanes = padded_lanes(np.full(2, 4))
    target = np.arange(12).reshape(2, 2, 3)
    answer = target.copy()
    answer[0, 1, 2] = answer[1, 0, :] = -1
    answer[1, 1] = -1  # beyond the sequences that count
    confidence = np.linspace(0.2, 0.9, 12, dtype=np.float32).reshape(2, 2, 3)
    given = Answers(answer, confidence=confidence)
    found = ADDITION.answered(target, given, lanes, 3)
    np.testing.assert_array_equal(found.targets, target.reshape(4, 3)[:3])
    np.testing.assert_array_equal(found.answers, answer.reshape(4, 3)[:3])
    assert found.wrong_B.tolist() == [False, True, True]
    np.testing.assert_allclose(found.severity_B, confidence.reshape(4, 3)[:3].prod(axis=1))
    assert found.lengths_B.tolist() == [4, 4, 4]
    assert ADDITION.scores(target, given, lanes, 3, None) == {
        "n": 3,
        "exact": 1 / 3,
        "per_symbol": 5 / 9,
    }


def test_a_sum_is_read_from_left_to_right():
    found = written([[3, 2, 1]], [[4, 2, 1]], [[0.5, 0.9, 1.0]])
    symbols = [(Mark("1", False), "100%"), (Mark("2", False), "90%"), (Mark("4", True), "50%")]
    expected = Account("true 123, read 124 (45%)", True, symbols=symbols)
    assert ADDITION.account(found, 0) == expected
    assert ADDITION.explain(found, ["a", "b", "c", "d"]) == {
        "answer": "124",
        "confidence": 0.45,
        "steps": [
            {"name": "symbol 1", "answer": "4", "confidence": 0.5},
            {"name": "symbol 2", "answer": "2", "confidence": 0.9},
            {"name": "symbol 3", "answer": "1", "confidence": 1.0},
        ],
    }


def test_a_caption_is_told_as_a_sentence():
    words = ["the", "digit", "one", "grows", "slowly", *["END"] * 5]
    target = np.array([[CAPTION.vocabulary.index(word) for word in words]])
    answer = target.copy()
    answer[0, 4] = CAPTION.vocabulary.index("quickly")
    found = written(target, answer, [[1.0] * 9 + [0.5]])
    title = "true: the digit one grows slowly\nread: the digit one grows quickly (50%)"
    assert CAPTION.account(found, 0) == Account(title, True)


def test_confusions_are_of_all_symbols():
    found = written([[3, 2, 1], [0, 0, 1]], [[4, 2, 1], [0, 0, 0]], np.ones((2, 3)))
    targets, answers, names = ADDITION.confusions(found)
    assert targets.tolist() == [3, 2, 1, 0, 0, 1]
    assert answers.tolist() == [4, 2, 1, 0, 0, 0]
    assert names == tuple("0123456789")


def test_two_numbers_of_as_many_digits_are_added():
    ADDITION.check(())
    for lengths in ((5, 5), (2, 4)):
        wrong = dataclasses.replace(ADDITION, min_length=lengths[0], max_length=lengths[1])
        with pytest.raises(UserError, match="expected the same even number"):
            wrong.check(())


def test_as_many_pictures_as_an_addition_or_a_clip_has():
    ADDITION.check_pictures(4)
    for count in (2, 3, 5):
        with pytest.raises(UserError, match="expected 4 for this network"):
            ADDITION.check_pictures(count)
    CAPTION.check_pictures(8)
    with pytest.raises(UserError, match="expected 8 for this network"):
        CAPTION.check_pictures(1)
