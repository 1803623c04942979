"""Lines: what is right, how far off a text is, what people are told, and formulas of one's own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from crnn_jax import UserError, tasks
from crnn_jax.config import check, default
from crnn_jax.data.dataset import DatasetInfo
from crnn_jax.data.draw import Draw
from crnn_jax.evaluate.composed import Evaluation
from crnn_jax.figures.confusion import draw_confusion
from crnn_jax.model import crnn
from crnn_jax.model.heads import Answers
from crnn_jax.runs.load import load_configured
from crnn_jax.tasks.line import UNKNOWN, LineOfImages
from crnn_jax.tasks.scores import line_scores
from crnn_jax.tasks.task import Mark
from tests.networks import digits, random_params

TASK = LineOfImages("line", digits(), 1, 3, False)
RIGHT = np.array([[1, 2, 3], [4, -1, -1], [5, 5, -1], [6, 7, 8]])
READ = ["123", "44", "5", "608"]
FIRST = 2  # strip that a line's first symbol was read from; it has two strips, and the next ones


def answers():
    """What was read in four lines, in two chunks of two."""
    count, width = len(READ), 6
    answer = np.full((count, width), -1, np.int32)
    confidence = np.ones((count, width), np.float32)
    steps = np.full((count, width, 2), -1, np.int32)
    for b, text in enumerate(READ):
        for s, symbol in enumerate(text):
            answer[b, s], confidence[b, s] = int(symbol), 0.9 - s / 10
            steps[b, s] = FIRST + 2 * s, FIRST + 2 * s + 1
    whole = np.array([0.9, 0.8, 0.7, 0.6], np.float32)
    found = Answers(answer, confidence=confidence, whole=whole, steps=steps)
    return jax.tree.map(lambda x: x.reshape(2, 2, *x.shape[1:]), found)


@pytest.fixture
def answered():
    return TASK.answered(RIGHT.reshape(2, 2, 3), answers(), None, 4)


def test_a_text_ends_where_there_is_no_symbol_and_shows_what_no_network_can_write():
    assert TASK.text([3, 1, -1, -1]) == "31"
    assert TASK.text([-1]) == ""
    assert TASK.text([2, 99]) == f"2{UNKNOWN}"


def test_answers_stand_one_line_a_row_and_are_wrong_where_the_text_is(answered):
    assert [TASK.text(x) for x in answered.answers] == READ
    assert answered.wrong_B.tolist() == [False, True, True, True]
    np.testing.assert_allclose(answered.severity_B, [0.9, 0.8, 0.7, 0.6])
    few = TASK.answered(RIGHT.reshape(2, 2, 3), answers(), None, 3)
    assert len(few.targets) == len(few.answers) == len(few.steps) == 3


def test_scores_are_of_edits_and_of_lines_of_each_length():
    found = TASK.scores(RIGHT.reshape(2, 2, 3), answers(), None, 4, None)
    assert found["cer"] == 3 / 9  # one to take away, one to add and one to replace
    assert (found["n"], found["exact"], found["wer"]) == (4, 1 / 4, 3 / 4)
    lengths = [(row["length"], row["n"], row["cer"]) for row in found["per_length"]]
    assert lengths == [(1, 1, 1.0), (2, 1, 1 / 2), (3, 2, 1 / 6)]
    assert TASK.goal(found) == found["cer"]


def test_word_errors_are_those_of_words_and_empty_texts_are_no_error():
    found = line_scores(["ab cd", "e f"], ["ab xcd", "e g f"])
    assert found == {"n": 2, "exact": 0.0, "cer": 3 / 8, "wer": 2 / 4}
    nothing = line_scores(["", ""], ["", ""])
    assert nothing == {"n": 2, "exact": 1.0, "cer": 0.0, "wer": 0.0}


def test_people_are_told_the_pixels_that_each_symbol_was_read_from(answered):
    found = TASK.explain(TASK.answered(RIGHT[:1, None], answers(), None, 1), ["picture 1"])
    assert found["answer"] == "123"
    assert found["confidence"] == pytest.approx(0.9)
    assert [step["answer"] for step in found["steps"]] == ["1", "2", "3"]
    assert [step["pixels"] for step in found["steps"]] == [[8, 16], [16, 24], [24, 32]]
    assert found["steps"][1]["confidence"] == pytest.approx(0.8)


def test_an_account_marks_what_must_be_edited_where_it_was_read(answered):
    account = TASK.account(answered, 3)
    assert account.title == "true 678, read 608 (60%)"
    assert account.wrong
    assert len(account.notes) == TASK.question.steps
    noted = {i: note for i, note in enumerate(account.notes) if note.text}
    assert noted == {2: Mark("6", False), 4: Mark("0", True), 6: Mark("8", False)}


def test_confusions_are_of_symbols_in_the_same_place_after_edits(answered):
    right, read, names = TASK.confusions(answered)
    assert names == TASK.vocabulary
    pairs = sorted(zip(right.tolist(), read.tolist(), strict=True))
    assert pairs == [(1, 1), (2, 2), (3, 3), (4, 4), (5, 5), (6, 6), (7, 0), (8, 8)]
    assert draw_confusion(TASK, answered).axes


def test_lines_are_refused_where_images_or_settings_do_not_fit(tiny_config):
    tiny_config.task.name = "line"
    for info, words in (
        (digits(frame_shape=(40, 40, 1)), "images 40 pixels high"),
        (DatasetInfo("own", "own:0", (28, 28, 1), ("0", "plus"), False), "'plus'"),
    ):
        with pytest.raises(UserError, match=words):
            tasks.build(tiny_config, info)
    tiny_config.task.every_step = True
    with pytest.raises(UserError, match="every_step"):
        tasks.build(tiny_config, digits())


@pytest.mark.parametrize(
    ("task", "change"),
    [("sum", "slant"), ("caption", "thickness"), ("class", "noise"), ("line", "flip")],
)
def test_changes_are_refused_for_what_they_are_not_for(task, change):
    config = default()
    config.task.name, config.data.augment[change] = task, 0.1
    with pytest.raises(UserError, match=rf"data\.augment\.{change}=0\.1 .* the task {task}"):
        check(config)


@pytest.fixture
def small(tiny_config):
    """A config of a small network that reads lines."""
    tiny_config.task.name, tiny_config.task.max_length = "line", 3
    tiny_config.model.encoder, tiny_config.model.head = "columns", "ctc"
    tiny_config.model.convs = ((2, 3, True, "same"), (3, 3, True, "same"))
    tiny_config.model.aggregator, tiny_config.model.gru_units = "none", ()
    return tiny_config


def test_an_evaluation_asks_for_the_labels_of_the_images_drawn(small, optdigits):
    task = tasks.build(small, optdigits.info)
    network = crnn.build(small.model, task.question)
    params = random_params(crnn.parameter_shapes(network, task.question))
    split = optdigits.test
    draw = Draw(1, 1, 3, len(split.labels_I))
    evaluation = Evaluation(network, task, split, draw, 50)
    found = evaluation.answered(params)
    indices_BxL = np.asarray(draw.image_indices(0, jnp.arange(50)))
    there_BxL = np.arange(3)[None] < draw.lengths(50)[:, None]
    right_BxL = np.where(there_BxL, split.labels_I[indices_BxL], -1)
    np.testing.assert_array_equal(found.targets, right_BxL)
    written_BxS = found.answers >= 0
    assert written_BxS.any()
    assert (found.steps[written_BxS] < task.question.steps).all()
    scores = evaluation(params)
    assert sum(row["n"] for row in scores["per_length"]) == scores["n"] == 50


def test_formulas_are_composed_of_images_in_folders_of_one_symbol_each(small, tmp_path):
    rng = np.random.default_rng(0)
    for symbol in "012+":
        (tmp_path / "corpus" / symbol).mkdir(parents=True)
        for i in range(12):
            image = Image.fromarray(rng.integers(0, 256, (12, 9), dtype=np.uint8))
            image.save(tmp_path / "corpus" / symbol / f"{i}.png")
    small.data.path, small.data.data_dir = str(tmp_path / "corpus"), str(tmp_path / "data")
    dataset = load_configured(small, "", fallback=False)
    task = tasks.build(small, dataset.info)
    assert sorted(task.vocabulary) == ["+", "0", "1", "2"]
    numbers = [task.vocabulary.index(symbol) for symbol in "1+2"]
    assert task.text(numbers) == "1+2"
    network = crnn.build(small.model, task.question)
    assert crnn.parameter_shapes(network, task.question)["params"]["answer_head"]["symbol"][
        "bias"
    ].shape == (5,)
    small.task.name, small.model.head, small.model.encoder = "sum", "marginal", "frames"
    with pytest.raises(UserError, match="has the classes"):
        tasks.build(small, dataset.info)
