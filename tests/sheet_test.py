"""What lies beside a sheet, and hugs the picture's edge."""

import numpy as np
import pytest

from benchmarks.pictures import SITUATIONS, on_sheet, photo
from crnn_jax import UserError
from crnn_jax.pictures.sheet import find_tables
from tests.pictures_test import FOUR, difference, differences, draw, frame_of

BESIDE = ["column", "table", "corners"]


@pytest.mark.parametrize(
    "name", [name for name in SITUATIONS if any(word in name for word in BESIDE)]
)
def test_what_lies_beside_the_sheet_is_no_ink(name, digits):
    assert np.median(differences(name, digits[:7])) < 15


def test_shadows_and_dim_corners_are_no_table(digits):
    for i, digit in enumerate(digits[:6]):
        for how in {"shadow": 0.4}, {"light": 0.7}, {}:
            rng = np.random.default_rng(i)
            assert not list(find_tables(photo(on_sheet(digit, rng), rng, **how) / np.float32(255)))


def test_a_bright_wall_beside_a_blackboard_is_no_ink():
    ink = draw(FOUR, margin=60)
    board = np.uint8(40 + 0.7 * ink)
    picture = np.pad(board, ((0, 0), (90, 0)), constant_values=230)
    assert difference(frame_of(picture), frame_of(ink)) < 5


@pytest.mark.parametrize("turn", range(4))
def test_a_glyph_that_touches_the_table_is_refused(turn):
    ink = draw(FOUR, margin=60)
    ink = ink.copy()
    ink[150:170, :200] = ink[:, :30] = 255
    with pytest.raises(UserError, match=r"^picture 1: .* reaches along the picture's edge .*; cut"):
        frame_of(np.rot90(255 - ink, turn))


def test_a_column_alone_is_refused():
    picture = np.full((100, 80), 255, np.uint8)
    picture[:, :4] = 0
    with pytest.raises(UserError, match="reaches along the picture's edge"):
        frame_of(picture)


@pytest.mark.parametrize("turn", range(4))
def test_a_hairline_of_a_scanner_is_no_ink(turn):
    ink = draw(FOUR)
    lined = np.rot90(ink, turn).copy()
    lined[:, 0] = 255
    np.testing.assert_array_equal(frame_of(np.rot90(255 - lined, -turn)), frame_of(ink))
