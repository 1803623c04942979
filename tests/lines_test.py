"""Lines and boxes of forms, over digits."""

import numpy as np
import pytest
from scipy import ndimage

from benchmarks.pictures import SITUATIONS
from crnn_jax.pictures.lines import remove_lines
from tests.pictures_test import FIVE, FIVE_BAR, FOUR, SEVEN, TWO, differences, draw

LETTERS = {
    "one": [[(50, 5), (50, 95)]],
    "four": FOUR,
    "seven": SEVEN,
    "five": FIVE + FIVE_BAR,
    "two": TWO,
    "T": [[(10, 5), (90, 5)], [(50, 5), (50, 95)]],
    "L": [[(20, 5), (20, 95), (80, 95)]],
    "E": [[(80, 5), (20, 5), (20, 95), (80, 95)], [(20, 50), (70, 50)]],
    "H": [[(20, 5), (20, 95)], [(80, 5), (80, 95)], [(20, 50), (80, 50)]],
    "A": [[(10, 95), (50, 5), (90, 95)], [(27, 60), (73, 60)]],
    "X": [[(15, 5), (85, 95)], [(85, 5), (15, 95)]],
    "plus": [[(50, 5), (50, 95)], [(10, 50), (90, 50)]],
    "square eight": [[(20, 5), (80, 5), (80, 95), (20, 95), (20, 5)], [(20, 50), (80, 50)]],
}


@pytest.mark.parametrize("width", [5, 12])
@pytest.mark.parametrize("letter", LETTERS)
def test_strokes_of_a_glyph_stay(letter, width):
    for scale, margin in (0.3, 2), (0.3, 20), (1.5, 3), (1.5, 40):
        ink = draw(LETTERS[letter], scale=scale, margin=margin, width=width) / np.float32(255)
        np.testing.assert_array_equal(remove_lines(ink), ink)


@pytest.mark.parametrize("name", [name for name in SITUATIONS if "line" in name or "box" in name])
def test_lines_and_boxes_are_no_ink(name, digits):
    # Where a line crosses the digit, bumps stay.
    assert np.median(differences(name, digits[:7])) < 20


def test_where_lines_cross_a_stroke_it_stays_whole():
    ink = draw(SEVEN, scale=1.5, margin=60)
    lined = ink.copy()
    lined[120:124] = lined[30:34] = lined[:, 70:74] = 255
    found = remove_lines(lined / np.float32(255)) > 0
    labels, _ = ndimage.label(found, np.ones((3, 3)))
    assert np.sum(np.bincount(labels.ravel())[1:] > 50) == 1  # lines leave dots where they cross
    assert np.mean(found != (ink > 0)) < 0.003
