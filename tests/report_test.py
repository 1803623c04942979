"""What is said of a data set: counts, lengths, answers, and nothing that JSON cannot hold."""

import json

import numpy as np
import pytest

from crnn_jax.data import report
from crnn_jax.data.dataset import DatasetInfo
from crnn_jax.data.form import Form
from crnn_jax.data.sequences import Sequences

FORM = Form(4, 6, 3, "pad", max_frames=70)


def part(lengths, answers):
    names = tuple(map(str, lengths))
    lengths_B = np.array(lengths, np.int32)
    return Sequences(lengths_B, np.array(answers), (4, 6, 3), names, lambda _: [])


def facts(answer, train, validation, test, *, unit="words", classes=(), **about):
    info = DatasetInfo("mine", "x:0", FORM.frame_shape, classes, False, answer, FORM, **about)
    parts = {"train": train, "validation": validation, "test": test}
    return report.facts_of(info, parts, unit)


def of_classes():
    nothing = part([], np.zeros(0, np.int32))
    parts = (part([5, 60, 7], [0, 1, 1]), part([9], [0]), nothing)
    return facts("class", *parts, classes=("cat", "dog"), longest=60)


def table(found, title):
    tables = report.tables({**found, "origin": {}, "training": {}, "problems": []})
    return dict(dict(tables)[title])


def test_clips_of_each_class_are_counted_in_each_part():
    found = of_classes()
    assert found["classes"] == {
        "cat": {"train": 1, "validation": 1, "test": 0},
        "dog": {"train": 2, "validation": 0, "test": 0},
    }
    assert table(found, "classes")["dog"] == "2 train · 0 validation · 0 test"


def test_frames_lengths_and_bytes_are_of_all_parts():
    found = of_classes()
    assert found["splits"]["train"] == {"clips": 3, "frames": 72}
    assert found["bytes"] == (72 + 9) * 4 * 6 * 3
    lengths = found["lengths"]
    assert (lengths["min"], lengths["median"], lengths["max"]) == (5, 8, 60)
    assert table(found, "data")["frames"].startswith("6 × 4 pixels (width × height), RGB, scaled")


@pytest.mark.parametrize("lengths", [[5, 60, 7, 9], [3, 3], [1, 2], [*range(1, 22)]])
def test_each_length_is_in_one_row_of_the_histogram(lengths):
    found = facts("number", part(lengths, [0.5] * len(lengths)), part([4], [1]), part([4], [2]))
    rows = found["lengths"]["histogram"]
    assert len(rows) <= 10
    for length in lengths:
        assert sum(row["from"] <= length <= row["to"] for row in rows) == 1
    assert [row["from"] for row in rows[1:]] == [row["to"] + 1 for row in rows[:-1]]
    for row in rows:
        inside = sum(row["from"] <= length <= row["to"] for length in [*lengths, 4, 4])
        assert row["clips"] == inside


def test_words_that_training_does_not_have_are_counted_and_named():
    texts = (part([1], ["a dog runs"]), part([1], ["a cat"]), part([1], ["runs cat dog cat"]))
    found = facts("text", *texts, vocabulary=("a", "dog", "runs", "END"), symbols=4)
    assert found["texts"] == {
        "unit": "words",
        "known": 3,
        "longest": 3,
        "unknown": {"validation": {"cat": 1}, "test": {"cat": 2}},
    }
    assert table(found, "words that no training answer has")["test"] == "2 words: cat"
    letters = facts("text", *texts, unit="characters", vocabulary=(*"adog runs", "END"), symbols=11)
    assert letters["texts"]["unknown"]["validation"] == {"c": 1, "t": 1}


def test_lines_are_told_in_strips_and_pixels_and_rare_characters_are_named():
    texts = (part([9, 30], ["aaaaab", "b"]), part([12], ["ü"]), part([12], ["a"]))
    form = Form(32, 0, 1, max_frames=70, strip=4)
    info = DatasetInfo(
        "mine", "x:0", form.frame_shape, (), False, "text", form, 30, vocabulary=(*"ab",), symbols=6
    )
    parts = dict(zip(("train", "validation", "test"), texts, strict=True))
    found = report.facts_of(info, parts, "words")
    assert found["texts"] == {
        "unit": "characters",
        "known": 2,
        "longest": 6,
        "unknown": {"validation": {"ü": 1}, "test": {}},
        "rare": {"b": 2},
    }
    told = table(found, "data")
    assert told["lines"] == "2 train · 1 validation · 1 test"
    assert told["answers"] == "texts of up to 6 of 2 characters"
    assert told["lengths"] == "9 to 30 strips, median 12; 36 to 120 pixels"
    assert told["rare"] == "1 of 2 characters fewer than 5 times in training: b"
    assert told["frames"].startswith("lines scaled to 32 pixels of height, grey, in strips of 4")
    assert table(found, "characters that no training answer has")["validation"].endswith("ü")
    assert "9 to 11 strips" in table(found, "lines by length")


def test_numbers_are_summed_up_for_each_part():
    found = facts("number", part([2, 2], [0.5, 1.5]), part([2], [-3.0]), part([2], [4.0]))
    assert found["numbers"]["train"] == {"min": 0.5, "mean": 1.0, "max": 1.5}
    assert table(found, "data")["answers"] == "numbers, -3 to 4"


def test_many_classes_are_cut_short_in_the_table_alone():
    names = tuple(f"c{i}" for i in range(60))
    parts = (part([2], [0]), part([2], [1]), part([2], [59]))
    found = facts("class", *parts, classes=names)
    assert len(found["classes"]) == 60
    assert table(found, "classes")["…"] == "10 more classes"


def test_labelled_images_are_sequences_of_one_frame(optdigits):
    parts = report.parts_of(optdigits)
    for name, stored in parts.items():
        split = getattr(optdigits, name)
        assert stored.lengths_B.tolist() == [1] * len(split.labels_I)
        np.testing.assert_array_equal(stored.frames(), split.images_IxHxWxC)
    found = report.facts_of(optdigits.info, parts, "words")
    assert sum(found["classes"]["3"].values()) == sum(
        (x.answers == 3).sum() for x in parts.values()
    )
    assert dict(report.short_form(optdigits, "words"))["answers"] == "10 classes"


def test_json_holds_it():
    found = of_classes()
    assert json.loads(json.dumps(found, allow_nan=False)) == found
