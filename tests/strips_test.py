"""Strips: the images of a sequence, and what people are told about it."""

import dataclasses
import functools

import jax
import numpy as np
import pytest
from matplotlib.text import Text

from crnn_jax import tasks
from crnn_jax.data.draw import SCENE, Draw
from crnn_jax.data.lanes import padded_lanes
from crnn_jax.data.split import Split
from crnn_jax.figures import strips
from tests.networks import answered, asking, digits, written

IMAGES = 20


def drawn(task, found, split, draw):
    return strips.Gallery(task, found, functools.partial(strips.drawn_frames, task, split, draw))


@pytest.fixture
def gallery(tiny_config):
    """Makes a gallery of a task from what was answered, on random images."""

    def make(found, task="sum", head="marginal", length=2, shape=(28, 28, 1)):
        rng = np.random.default_rng(0)
        images = rng.integers(0, 256, (IMAGES, *shape), dtype=np.uint8)
        split = Split(images, rng.integers(0, 10, IMAGES).astype(np.int32))
        built = tasks.build(asking(tiny_config, task, head, length), digits(frame_shape=shape))
        draw = Draw(1, length, length, IMAGES)
        return drawn(built, found, split, draw)

    return make


def written_below(axes):
    return [(text.get_text(), text.get_color()) for text in axes.texts]


def titles(figure):
    return [axes.get_title("left") for axes in figure.axes]


def test_the_most_severe_errors_come_first():
    wrong = np.array([True, False, True, True, True])
    severity = np.array([0.2, 0.9, 0.7, 0.2, 0.8])
    assert strips.most_severe(wrong, severity, 3).tolist() == [4, 2, 0]
    assert strips.most_severe(wrong, severity, 9).tolist() == [4, 2, 0, 3]
    assert strips.most_severe(np.zeros(5, bool), severity, 9).tolist() == []


@pytest.mark.parametrize("shape", [(28, 28, 1), (17, 23, 3)])
def test_a_strip_shows_the_images_that_were_drawn(shape, gallery):
    found = answered(np.ones((5, 4)), np.ones((5, 4)), np.ones((5, 4)))
    found = dataclasses.replace(found, lengths_B=np.array([1, 2, 3, 4, 1]))
    shown = gallery(found, length=4, shape=shape)
    _, split, draw = shown.frames_of.args
    indices_BxL = np.asarray(draw.image_indices(0, np.arange(5)))
    for i, strip in enumerate(shown.strips(range(5))):
        expected = split.images_IxHxWxC[indices_BxL[i, : found.lengths_B[i]]]
        np.testing.assert_array_equal(strip.frames_FxHxWxC, expected)
    figure = strips.draw_sheet(shown)
    drawn = [np.asarray(image.get_array()) for image in figure.axes[3].images]
    last = split.images_IxHxWxC[indices_BxL[3]]
    np.testing.assert_array_equal(drawn, last[..., 0] if shape[-1] == 1 else last)
    left, right, bottom, top = figure.axes[3].images[1].get_extent()
    assert (bottom - top) / (right - left) == pytest.approx(shape[0] / shape[1])


def test_a_strip_shows_the_clip_that_was_filmed(gallery):
    words = np.zeros((3, 9), int)
    shown = gallery(written(words, words, np.ones((3, 9)), 8), "caption", "decoder", 1)
    _, split, draw = shown.frames_of.args
    index = np.asarray(draw.image_indices(0, np.array([2])))
    images, labels = (x[index] for x in split)
    keys = jax.numpy.stack([draw.key(0, 2, SCENE)])
    lanes = padded_lanes(np.array([1]))
    render = jax.jit(lambda *drawn: shown.task.composition.render(*drawn, lanes, keys)[0])
    frames = render(images, labels)
    (strip,) = shown.strips([2])
    assert strip.frames_FxHxWxC.shape == (8, 40, 40, 1)
    # Compiled otherwise, a pixel may be rounded the other way.
    difference = strip.frames_FxHxWxC.astype(float) - np.asarray(frames[:, 0], float)
    assert np.abs(difference).max() <= 1


def test_where_a_sequence_is_one_image_the_images_are_shown_in_order(gallery):
    found = answered([[1], [2], [3]], [[1], [2], [3]], confidence=np.ones((3, 1)))
    shown = gallery(found, "class", length=1)
    task, split, draw = shown.frames_of.args
    in_order = drawn(task, found, split, task.shown(draw))
    frames = [strip.frames_FxHxWxC for strip in in_order.strips(range(3))]
    np.testing.assert_array_equal(np.concatenate(frames), split.images_IxHxWxC[:3])


def test_what_is_wrong_is_red(gallery):
    found = answered(
        target=[[3, 7], [5, 14]],
        answer=[[3, 7], [5, 9]],
        estimate=[[3.1, 7.0], [5.2, 9.3]],
        confidence=[[0.9, 0.8], [0.9, 0.876]],
    )
    figure = strips.draw_sheet(gallery(found))
    right, wrong = figure.axes
    assert titles(figure) == ["true 7, read 7 (80%)", "true 14, read 9 (88%)"]
    colours = {text.get_text(): text.get_color() for text in figure.findobj(Text)}
    assert colours["true 7, read 7 (80%)"] == strips.RIGHT
    assert colours["true 14, read 9 (88%)"] == strips.WRONG
    assert written_below(right) == [("+3.1", strips.RIGHT), ("+3.9", strips.RIGHT)]
    assert written_below(wrong) == [("+5.2", strips.RIGHT), ("+4.1", strips.WRONG)]
    assert [len(axes.images) for axes in figure.axes] == [2, 2]
    assert "adds to the estimate" in figure.texts[0].get_text()


def test_the_hardest_are_the_most_confident_errors(gallery):
    target = [[1, 1], [1, 2], [1, 3], [1, 4]]
    answer = [[1, 9], [1, 9], [1, 3], [1, 9]]
    confidence = [[0.9, 0.2], [0.9, 0.6], [0.9, 0.9], [0.1, 0.4]]
    figure = strips.draw_hardest(gallery(answered(target, answer, answer, confidence)))
    assert titles(figure) == [f"true {n}, read 9 ({p}%)" for n, p in ((2, 60), (4, 40), (1, 20))]
    assert figure.texts[0].get_text().startswith("3 of 4 test sequences are answered wrongly: ")
    figure = strips.draw_hardest(gallery(answered(target, answer, answer)))
    assert "the largest errors" in figure.texts[0].get_text()
    assert titles(figure) == [f"true {n}, read 9 (9.00)" for n in (1, 2, 4)]
    figure = strips.draw_hardest(gallery(answered(target, target, target)))
    assert figure.texts[0].get_text() == "None of 4 test sequences is answered wrongly"
    assert figure.axes == []


def test_a_written_sum_is_read_from_left_to_right(gallery):
    found = written([[3, 2, 1]], [[4, 2, 1]], [[0.5, 0.9, 1.0]])
    (axes,) = strips.draw_sheet(gallery(found, "addition", "decoder", 4)).axes
    signs = [("+", strips.RIGHT), ("=", strips.RIGHT)]
    symbols = [("1", "100%"), ("2", "90%")]
    right = [(text, strips.RIGHT) for symbol in symbols for text in symbol]
    assert written_below(axes) == [*signs, *right, ("4", strips.WRONG), ("50%", strips.WRONG)]
    places = [image.get_extent()[0] for image in axes.images]
    first, middle, last = np.diff(places)
    assert first == pytest.approx(last)
    assert middle > first


def test_a_caption_stands_above_its_clip(gallery):
    words = np.zeros((1, 9), int)
    found = written(words, words, np.ones((1, 9)), 8)
    (axes,) = strips.draw_sheet(gallery(found, "caption", "decoder", 1)).axes
    assert axes.get_title("left").count("\n") == 1
    assert len(axes.images) == 8


def test_of_a_long_sequence_the_first_frames_are_shown(gallery):
    ones = np.arange(1, 21)[None]
    shown = gallery(answered(ones, ones, ones), length=20)
    (axes,) = strips.draw_sheet(shown).axes
    assert (len(axes.images), len(axes.texts)) == (12, 12)
    assert axes.get_title("left").endswith(", first 12 of 20 frames")


def test_a_line_is_one_picture_with_each_symbol_where_it_was_read(tiny_config):
    task = tasks.build(asking(tiny_config, "line", "ctc", 3), digits())
    right, read = np.array([[7, 1, 1], [3, -1, -1]]), np.array([[7, 2, 1, -1], [3, -1, -1, -1]])
    found = dataclasses.replace(
        written(right, read[:, :3], np.ones((2, 3)), 9),
        answers=read,
        wrong_B=np.array([True, False]),
        severity_B=np.array([0.7, 0.9]),
        steps=np.array([[[0, 1], [3, 3], [5, 8], [-1, -1]], [[2, 2], *3 * [[-1, -1]]]]),
    )
    lines = [np.arange(n * 32 * 4, dtype=np.uint8).reshape(n, 32, 4, 1) for n in (9, 5)]
    figure = strips.draw_sheet(strips.Gallery(task, found, lambda i: lines[i]))
    assert titles(figure) == ["true 711, read 721 (70%)", "true 3, read 3 (90%)"]
    for axes, line in zip(figure.axes, lines, strict=True):
        (image,) = axes.images
        shown = np.concatenate(list(line[..., 0]), axis=1)
        np.testing.assert_array_equal(np.asarray(image.get_array()), shown)
        left, right, bottom, top = image.get_extent()
        assert (right - left) / (bottom - top) == shown.shape[1] / shown.shape[0]
    wrong, _ = figure.axes
    assert written_below(wrong) == [("7", "black"), ("2", strips.WRONG), ("1", "black")]
    assert [text.get_position()[0] * 8 for text in wrong.texts] == [0.5, 3.5, 6.5]
