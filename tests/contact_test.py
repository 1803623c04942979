"""The contact sheet: clips of every class or over all answers, under their right answers."""

import dataclasses

import numpy as np
import pytest

from crnn_jax.data.dataset import DatasetInfo
from crnn_jax.data.form import Form
from crnn_jax.data.sequences import Sequences
from crnn_jax.figures.contact import draw_contact, examples
from tests.own_clips import noise


def part(lengths, answers):
    clips = [noise(length, seed=i) for i, length in enumerate(lengths)]
    names = tuple(f"clip{i}" for i in range(len(clips)))
    read = lambda chosen: [clips[i] for i in chosen]  # noqa: E731
    return Sequences(np.array(lengths, np.int32), np.array(answers), (10, 12, 1), names, read)


def info(answer, classes=(), longest=9):
    return DatasetInfo("mine", "x:0", (10, 12, 1), classes, False, answer, longest=longest)


def drawn(about, shown):
    """For each strip its title, its images and what stands below them."""
    empty = part([], [])
    figure = draw_contact(about, {"train": shown, "validation": empty, "test": empty})
    return [
        (
            axes.get_title("left"),
            [np.asarray(image.get_array()) for image in axes.images],
            [text.get_text() for text in axes.texts],
        )
        for axes in figure.axes
    ]


def test_a_rare_class_is_shown_as_well():
    answers = [0] * 90 + [1] + [2] * 9
    chosen = examples(info("class", ("a", "b", "c")), part([2] * 100, answers), 12)
    assert [answers[i] for i in chosen] == [0] * 6 + [1] + [2] * 5
    assert len(set(chosen)) == 12


def test_numbers_are_shown_from_the_least_to_the_largest():
    answers = np.random.default_rng(0).permutation(50) / 2
    chosen = examples(info("number"), part([2] * 50, answers), 5)
    assert answers[chosen].tolist() == [0, 6, 12, 18.5, 24.5]


@pytest.mark.parametrize(
    ("answer", "classes", "answers", "titles"),
    [
        ("class", ("a", "b"), [1, 0], ["a (3 frames)", "b (8 of 20 frames)"]),
        ("number", (), [2.25, -1.0], ["-1 (3 frames)", "2.25 (8 of 20 frames)"]),
        ("text", (), ["no 1", "x" * 99], ["no 1 (8 of 20 frames)", "x" * 60 + "… (3 frames)"]),
    ],
)
def test_a_clip_stands_under_its_answer(answer, classes, answers, titles):
    shown = part([20, 3], answers)
    strips = drawn(info(answer, classes), shown)
    assert [title for title, _, _ in strips] == titles
    longer = next(images for title, images, _ in strips if "of 20" in title)
    np.testing.assert_array_equal([longer[0], longer[-1]], noise(20, seed=0)[[0, 19], ..., 0])


def test_numbers_stand_below_their_frames():
    values = np.arange(12.0) / 8
    ((title, images, notes),) = drawn(info("numbers"), part([12], values))
    assert title == "clip0 (8 of 12 frames)"
    assert len(images) == 8
    assert (notes[0], notes[-1]) == ("0", "1.38")


def test_images_of_a_class_share_a_strip():
    strips = drawn(info("class", ("a", "b", "c"), longest=1), part([1] * 20, [0, 2] * 10))
    assert [(title, len(images)) for title, images, _ in strips] == [("a", 8), ("c", 8)]
    np.testing.assert_array_equal(strips[1][1][1], noise(1, seed=3)[0, ..., 0])


def test_a_line_is_shown_whole_under_its_text():
    about = dataclasses.replace(info("text"), form=Form(10, 0, 1, strip=12))
    ((title, (image,), notes),) = drawn(about, part([20], ["x" * 9]))
    assert (title, notes) == ("x" * 9, [])
    np.testing.assert_array_equal(image, np.concatenate(list(noise(20, seed=0)[..., 0]), axis=1))
