"""Sums of numbers of any lengths with a blank between them."""

import numpy as np
import pytest

from crnn_jax import UserError, tasks
from crnn_jax.data.draw import TwoNumbers
from crnn_jax.data.feed import lane_images
from crnn_jax.data.split import Split
from crnn_jax.predict import Predictor
from crnn_jax.tasks.unpadded import BLANK, UnpaddedAddition
from tests.networks import digits, restored

TASK = UnpaddedAddition("addition_unpadded", digits(), 3, 7, False)
PART = Split(np.arange(20, dtype=np.uint8).reshape(20, 1, 1, 1), (np.arange(20) % 10).astype("i4"))


def config_of(tiny_config, longest=7):
    tiny_config.task.update(name="addition_unpadded", min_length=3, max_length=longest)
    tiny_config.model.head = "carry"
    return tiny_config


def test_the_blank_is_behind_all_images():
    images, labels = TASK.images(PART)
    np.testing.assert_array_equal(images[:-1], PART.images_IxHxWxC)
    assert not images[-1].any()
    assert labels.tolist() == [*PART.labels_I, BLANK]


def test_targets_are_the_sums_of_what_the_frames_show():
    draw = TASK.draw(3, len(PART.labels_I))
    lanes = draw.lanes(draw.period)
    labels_TxN = TASK.images(PART).labels_I[np.asarray(lane_images(draw, lanes, 0, 0))]
    found = np.asarray(TASK.targets(labels_TxN, lanes))
    shapes = set()
    for i in range(lanes.count):
        begin, length = lanes.first_B[i], lanes.length_B[i]
        shown = labels_TxN[begin : begin + length, lanes.lane_B[i]].tolist()
        blank = shown.index(BLANK)
        numbers = [int("".join(map(str, x))) for x in (shown[:blank], shown[blank + 1 :])]
        assert TASK.text(found[i]) == str(sum(numbers))
        shapes.add((blank, length - 1 - blank))
    assert shapes == {(a, b) for a in (1, 2, 3) for b in (1, 2, 3)}


def test_the_blank_is_needed_between_two_numbers(tiny_config):
    predictor = Predictor(restored(config_of(tiny_config), digits()))
    pictures = np.zeros((3, 28, 28), np.uint8)
    pictures[::2, 6:22, 12:16] = 255
    found = predictor(list(pictures))
    assert found["answer"].isdigit()
    assert len(found["steps"]) == 4  # three digits and what is carried
    with pytest.raises(UserError, match="expected 3 to 7 for this network"):
        predictor(list(pictures[:2]))


@pytest.mark.parametrize(
    ("lengths", "once"), [((3, 6), False), ((2, 7), False), ((1, 1), False), ((3, 3), True)]
)
def test_lengths_are_those_of_two_numbers_and_a_blank(tiny_config, lengths, once):
    config = config_of(tiny_config)
    config.task.min_length, config.task.max_length = lengths
    config.data.once = once
    with pytest.raises(UserError, match="expected 3, an odd number"):
        tasks.build(config, digits())


def test_is_drawn_as_two_numbers():
    assert TASK.draw(1, 20) == TwoNumbers(1, 3, 7, 20)
