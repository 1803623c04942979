"""Confusions: what is counted, and what of it is drawn."""

import numpy as np

from crnn_jax import tasks
from crnn_jax.figures import confusion
from tests.networks import answered, asking, digits, written


def test_counts():
    counts = confusion.confusion_counts(
        np.array([0, 0, 1, 2, 2, 2]), np.array([0, 2, 1, -2, 3, 2]), 3
    )
    assert counts.tolist() == [[1, 0, 1, 0], [0, 1, 0, 0], [0, 0, 1, 2]]


def test_draws_the_counts_and_masks_what_is_right():
    counts = np.array([[90, 0, 3, 0], [0, 5, 0, 0], [1, 0, 1, 0]])
    axes = confusion.draw_counts(counts, "abc", "Letters").axes[0]
    assert axes.get_title() == "Letters: 96.00% right"
    shown = axes.images[0].get_array()
    assert shown.shape == (3, 3)
    assert shown.filled(-1).tolist() == [[-1, -1, 3], [-1, -1, -1], [1, -1, -1]]
    assert sorted(text.get_text() for text in axes.texts) == ["1", "1", "3", "5", "90"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["a", "b", "c"]


def test_answers_that_are_no_class_have_a_column_of_their_own():
    axes = confusion.draw_counts(np.array([[1, 0, 0], [0, 0, 1]]), "ab", "Letters").axes[0]
    assert axes.images[0].get_array().shape == (2, 3)
    assert [label.get_text() for label in axes.get_xticklabels()] == ["a", "b", "other"]


def test_nothing_wrong_can_be_drawn():
    axes = confusion.draw_counts(np.array([[2, 0, 0], [0, 1, 0]]), "ab", "Letters").axes[0]
    assert axes.get_title() == "Letters: 100.00% right"


def test_nothing_read_can_be_drawn():
    axes = confusion.draw_counts(np.zeros((2, 3), int), "ab", "Letters").axes[0]
    assert axes.get_title() == "Letters: 0.00% right"


def test_counts_classes_of_images_and_symbols_of_answers(tiny_config):
    task = tasks.build(asking(tiny_config), digits())
    alone = answered([[3], [5], [7]], [[3], [5], [17]], confidence=np.ones((3, 1)))
    axes = confusion.draw_confusion(task, alone).axes[0]
    assert axes.get_title() == "Each of 3 test images read alone: 66.67% right"
    assert axes.get_xticklabels()[-1].get_text() == "other"
    task = tasks.build(asking(tiny_config, "addition", "decoder"), digits())
    sums = written([[3, 2, 1]], [[4, 2, 1]], np.ones((1, 3)))
    title = confusion.draw_confusion(task, sums).axes[0].get_title()
    assert title == "Symbols of 1 test answers: 66.67% right"
