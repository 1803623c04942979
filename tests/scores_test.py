import numpy as np

from crnn_jax.data.draw import Draw
from crnn_jax.model.heads import Answers
from crnn_jax.tasks.scores import number_scores, text_scores

DRAW = Draw(seed=0, min_length=1, max_length=2, images=5)
LANES = DRAW.lanes(2)  # one lane of three frames: a sequence of 1, one of 2


def chunks(*rows):
    """Numbers of three frames a chunk, as CxTx1 arrays."""
    return np.array(rows)[..., None]


def found(training_mean):
    target = chunks([3, 5, 6], [1, 2, 4], [9, 9, 9])
    estimate = chunks([3.5, 5, 8], [1, 2, 4], [0, 0, 0]).astype(np.float32)
    answer = chunks([3, 5, 8], [2, 2, 4], [0, 0, 0])
    # Three of the six sequences are counted: all of the first chunk, one of the second.
    return number_scores(target, Answers(answer, estimate), LANES, 3, training_mean)


def test_numbers_are_scored_over_the_sequences_that_count():
    assert LANES.frame_TxN[:, 0].tolist() == [0, 0, 1]
    report = found(4.0)
    assert report["n"] == 3
    assert report["exact"] == 1 / 3
    np.testing.assert_allclose(report["rmse"], np.sqrt((0.25 + 4 + 0) / 3))
    np.testing.assert_allclose(report["mae"], 2.5 / 3)
    np.testing.assert_allclose(report["baseline_rmse"], np.sqrt((1 + 4 + 9) / 3))


def test_by_length_and_by_step():
    report = found(4.0)
    assert [(r["length"], r["n"], r["exact"]) for r in report["per_length"]] == [
        (1, 2, 0.5),
        (2, 1, 0.0),
    ]
    assert [(r["step"], r["n"]) for r in report["per_step"]] == [(1, 3), (2, 1)]
    np.testing.assert_allclose(report["per_step"][0]["exact"], 2 / 3)
    np.testing.assert_allclose(report["per_step"][1]["rmse"], 2)


def test_answers_that_cannot_be_nearly_right_have_no_distance():
    report = found(None)
    assert not {"rmse", "mae", "baseline_rmse"} & report.keys()
    assert "rmse" not in report["per_length"][0]


def test_texts_are_right_as_a_whole_or_in_part():
    right = np.array([[1, 2, 3], [4, 5, 6]])
    written = np.array([[1, 2, 3], [4, 0, 6]])
    assert text_scores(right, written) == {"n": 2, "exact": 0.5, "per_symbol": 5 / 6}
