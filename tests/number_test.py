"""Tasks of numbers: what is right, what it costs to be wrong, and what people are told."""

import dataclasses
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from crnn_jax import UserError
from crnn_jax.data.batch import Batch
from crnn_jax.data.draw import Draw, EachImage
from crnn_jax.data.lanes import padded_lanes
from crnn_jax.model.heads import Answers, Value
from crnn_jax.tasks.number import Class, Product, Sum
from crnn_jax.tasks.scores import ROUNDING
from crnn_jax.tasks.task import Account, Mark
from tests.networks import answered, digits

TASKS = {"sum": Sum, "product": Product, "class": Class}
ANSWER = {"sum": sum, "product": math.prod, "class": lambda labels: labels[-1]}
DRAW = Draw(seed=0, min_length=1, max_length=3, images=20)


def build(name, max_length=3, *, every_step=False, info=None):
    return TASKS[name](name, digits() if info is None else info, 1, max_length, every_step)


@pytest.mark.parametrize("name", TASKS)
def test_targets_after_every_frame_begin_anew_at_each_start(name):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, (9, 5)).astype(np.int32)
    starts = rng.random((9, 5)) < 0.3
    starts[0] = True
    lanes = padded_lanes(np.full(5, 9)).replace(starts_TxN=starts)
    found = jax.jit(build(name, 9).targets)(labels, lanes)
    assert found.dtype == np.int32
    for t, n in np.ndindex(9, 5):
        first = max(s for s in range(t + 1) if starts[s, n])
        assert found[t, n] == ANSWER[name](labels[first : t + 1, n].tolist())


def test_long_products_are_numbers_of_32_bits_that_are_told_apart():
    """Exact to their rounding, and no two are nearer to each other than that."""
    task = dataclasses.replace(build("product", 9), min_length=20, max_length=20)
    labels = np.random.default_rng(0).integers(1, 10, (20, 3)).astype(np.int32)
    labels[:, 0] = 9
    found = jax.jit(task.targets)(labels, padded_lanes(np.full(3, 20)))
    assert found.dtype == np.float32
    exact = [[math.prod(row[: t + 1]) for row in labels.T.tolist()] for t in range(20)]
    np.testing.assert_allclose(found, exact, rtol=ROUNDING / 2)

    exponents = np.zeros((1, 4), int)  # of 2, 3, 5 and 7
    factors = [[0, 0, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0], [2, 0, 0, 0], [0, 0, 1, 0]]
    factors += [[1, 1, 0, 0], [0, 0, 0, 1], [3, 0, 0, 0], [0, 2, 0, 0]]
    for _ in range(20):
        all_of_them = (exponents[:, None] + np.array(factors)[None]) @ [1, 100, 10**4, 10**6]
        codes = np.unique(all_of_them)
        exponents = np.stack([codes // 100**i % 100 for i in range(4)], axis=1)
    products = sorted(2**a * 3**b * 5**c * 7**d for a, b, c, d in exponents.tolist())
    assert products[-1] == 9**20
    nearest = min((y - x) / x for x, y in itertools.pairwise(products))
    assert nearest > 2 * ROUNDING


@pytest.mark.parametrize("every_step", [False, True])
def test_the_loss_is_the_mean_over_what_is_asked_times_the_sequences(every_step):
    """Of the last frame or of all real ones; where nothing stands, nothing counts."""
    lanes = padded_lanes(np.array([1, 3]))
    target_TxN = np.array([[3, 1], [9, 2], [9, 4]])
    value_TxN = np.array([[5.0, 1], [70, 4], [70, 9]])  # squares of 2, 0, 2 and 5; 70 is nowhere
    batch = Batch(None, lanes, target_TxN)
    loss = build("sum", every_step=every_step).loss(Value(jnp.asarray(value_TxN)), batch)
    expected = (4 + 0 + 4 + 25) * 2 / 4 if every_step else 4 + 25
    assert loss == pytest.approx(expected)


@pytest.mark.parametrize("with_confidence", [False, True])
def test_answers_in_lanes_become_one_sequence_a_row(with_confidence):
    lanes, chunks, sequences = DRAW.lanes(6), 2, 9
    shape = (chunks, *lanes.starts_TxN.shape)
    number = lanes.sequence_TxN + lanes.count * np.arange(chunks)[:, None, None]
    target = 10 * number + lanes.frame_TxN
    answer = np.where(number % 2 == 0, target, target + 1)
    estimate = (target + 0.25 * number).astype(np.float32)
    confidence = np.random.default_rng(0).random(shape) if with_confidence else None
    found = build("sum").answered(target, Answers(answer, estimate, confidence), lanes, sequences)
    assert found.lengths_B.tolist() == [1, 2, 3] * 3
    for i, length in enumerate(found.lengths_B):
        frames = [10 * i + min(frame, length - 1) for frame in range(3)]  # the last one repeats
        assert found.targets[i].tolist() == frames
        assert (found.answers[i] - frames).tolist() == [i % 2] * 3
        assert (found.estimates[i] - frames).tolist() == [0.25 * i] * 3
    assert found.wrong_B.tolist() == [i % 2 == 1 for i in range(sequences)]
    if with_confidence:
        np.testing.assert_array_equal(found.severity_B, found.confidence[:, -1])
        assert len(np.unique(found.severity_B)) == sequences
    else:
        assert found.confidence is None
        assert found.severity_B.tolist() == [0.25 * i for i in range(sequences)]


def test_classes_have_no_estimate_and_no_baseline():
    task, lanes = build("class", 1), padded_lanes(np.array([1, 1]))
    numbers = np.array([[[3, 4]]])
    given = Answers(numbers, numbers.astype(np.float32), np.array([[[0.5, 0.6]]]))
    assert task.answered(numbers, given, lanes, 2).estimates is None
    assert task.baseline(np.arange(10)) is None
    assert task.goal({"exact": 0.75}) == 0.25
    assert build("sum", 1).goal({"exact": 0.75, "rmse": 3.0}) == 3.0


@pytest.mark.parametrize(
    ("name", "mean_of_lengths"),
    [("sum", lambda m: 2 * m), ("product", lambda m: (m + m**2 + m**3) / 3)],
)
def test_the_baseline_is_the_mean_answer_of_training(name, mean_of_lengths):
    labels = np.array([1, 1, 2, 5, 0, 9])
    assert build(name).baseline(labels) == pytest.approx(mean_of_lengths(labels.mean()))


def test_of_a_sum_each_frame_tells_what_it_adds_to_the_estimate():
    found = answered(
        target=[[3, 7], [5, 14]],
        answer=[[3, 7], [5, 9]],
        estimate=[[3.1, 7.0], [5.2, 9.3]],
        confidence=[[0.9, 0.8], [0.9, 0.876]],
    )
    task = build("sum", 2)
    notes = [Mark("+3.1", False), Mark("+3.9", False)]
    assert task.account(found, 0) == Account("true 7, read 7 (80%)", False, notes)
    notes = [Mark("+5.2", False), Mark("+4.1", True)]
    assert task.account(found, 1) == Account("true 14, read 9 (88%)", True, notes)
    assert "adds to the estimate" in task.legend


def test_of_other_numbers_each_frame_tells_the_answer_after_it():
    found = answered([[3, 12]], [[2, 1200]], [[2.2, 1200.25]])
    notes = [Mark("2", True), Mark("1,200", True)]
    expected = Account("true 12, read 1,200 (1200.25)", True, notes)
    assert build("product", 2).account(found, 0) == expected


def test_notes_end_with_their_sequence():
    found = answered([[3, 3]], [[3, 3]], [[3.0, 3.0]])
    found = dataclasses.replace(found, lengths_B=np.array([1]))
    for name in ("sum", "product"):
        assert len(build(name, 2).account(found, 0).notes) == 1


def test_a_class_goes_by_its_name():
    letters = dataclasses.replace(digits(), classes=tuple("abcdefghij"))
    task = build("class", 1, info=letters)
    found = answered([[2]], [[9]], confidence=[[0.5]])
    assert task.account(found, 0) == Account("true c, read j (50%)", True)
    assert task.explain(found, ["x.png"]) == {
        "answer": "j",
        "confidence": 0.5,
        "steps": [{"name": "after x.png", "answer": "j", "confidence": 0.5}],
    }
    targets, answers, names = task.confusions(found)
    assert (targets.tolist(), answers.tolist(), names) == ([2], [9], letters.classes)


def test_an_answer_is_explained_after_each_picture_and_nothing_beyond():
    found = answered([[0, 0, 0]], [[3, 7, 9]], [[3.0, 7.25, 9.5]], [[0.5, 0.25, 0.125]])
    assert build("sum").explain(found, ["a", "b"]) == {
        "answer": "7",
        "estimate": 7.25,
        "confidence": 0.25,
        "steps": [
            {"name": "after a", "answer": "3", "estimate": 3.0, "confidence": 0.5},
            {"name": "after b", "answer": "7", "estimate": 7.25, "confidence": 0.25},
        ],
    }


def test_images_alone_are_shown_where_a_sequence_is_one_and_counted_always():
    draw = Draw(seed=1, min_length=1, max_length=3, images=20)
    assert build("sum").shown(draw) == draw
    assert build("sum", 1).shown(draw) == build("sum").counted(draw) == EachImage(1, 1, 1, 20)


@pytest.mark.parametrize(("length", "expected"), [(4, "1 to 4"), (1, "1")])
def test_so_many_pictures_as_frames_were_trained(length, expected):
    task = build("sum", length)
    for count in range(1, length + 1):
        task.check_pictures(count)
    with pytest.raises(UserError, match=f"expected {expected} for this network"):
        task.check_pictures(length + 1)
