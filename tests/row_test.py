"""Rows of glyphs in photos: found, brought into the form of training rows, or refused."""

import numpy as np
import pytest
from PIL import Image, ImageDraw
from scipy import ndimage

from benchmarks.row_pictures import in_blue, row_of
from crnn_jax import UserError
from crnn_jax.pictures import frames_of
from crnn_jax.pictures import row as in_pictures
from crnn_jax.pictures.glyphs import thickened
from crnn_jax.pictures.grey import grey_of
from crnn_jax.pictures.ink import find_ink

SCALE = 4


@pytest.fixture
def row(digits):
    """Makes the ink of a row of some digits: in MNIST's pixels, and enlarged, as shares."""

    def make(*chosen, gap=6):
        sharp = np.uint8(np.where(digits[list(chosen)] > 80, 255, 0))
        small = row_of(sharp, gap, np.random.default_rng(0))
        size = (SCALE * small.shape[1], SCALE * small.shape[0])
        large = Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)
        return small, np.asarray(large, float) / 255

    return make


def found(ink):
    photo = in_blue(ink, np.random.default_rng(1))
    return in_pictures.row_of(grey_of(Image.fromarray(photo), "photo"), "photo", 32)


def above(*inks, gap=40):
    """Ink of rows above one another."""
    width = max(ink.shape[1] for ink in inks)
    padded = [np.pad(ink, ((0, gap), (0, width - ink.shape[1]))) for ink in inks]
    return np.pad(np.concatenate(padded), 60)


def difference(pixels, small):
    """Mean over the pixels of a row and those of what it was made of, where they fit best."""
    height, width = small.shape
    image = Image.fromarray(pixels[:, 4:-4]).resize((width, 32), Image.Resampling.BICUBIC)
    shifted = [np.asarray(image, float)[top : top + height] for top in range(33 - height)]
    return min(np.abs(x - small).mean() for x in shifted)


@pytest.mark.parametrize("gap", [25, 4, 0, -6])
@pytest.mark.parametrize("chosen", [[3], [1, 2], [0, 5, 7, 8, 9, 4, 3]])
def test_a_row_has_the_size_of_what_it_was_made_of(gap, chosen, row):
    small, ink = row(*chosen, gap=gap)
    pixels = found(np.pad(ink, 50)).pixels_HxW
    assert (pixels.shape[0], pixels.dtype) == (32, np.uint8)
    assert pixels.shape[1] - 8 == pytest.approx(small.shape[1], rel=0.12)
    assert difference(pixels, small) < (25 if gap >= 0 else 40)
    assert pixels.max() > 250
    middle, _ = ndimage.center_of_mass(pixels)
    assert middle == pytest.approx(15.5, abs=1)
    assert not pixels[:, [0, 1, 2, -3, -2, -1]].any()


def test_where_a_row_stands_in_the_picture(row):
    _, ink = row(0, 5, 7)
    seen = found(np.pad(ink, ((50, 80), (111, 30))))
    assert seen.left + 4 * seen.pixel == pytest.approx(111, abs=4)
    right = seen.left + (seen.pixels_HxW.shape[1] - 4) * seen.pixel
    assert right == pytest.approx(111 + ink.shape[1], abs=4)


@pytest.mark.parametrize("degrees", [-10, -4, 5, 12])
def test_a_tilted_row_is_levelled(degrees, row):
    small, ink = row(1, 0, 3, 5, 8, 9)
    turned = ndimage.rotate(np.pad(ink, 120), degrees, reshape=False, order=1)
    pixels = found(np.clip(turned, 0, 1)).pixels_HxW
    assert pixels.shape[1] - 8 == pytest.approx(small.shape[1], rel=0.1)
    left, right = (ndimage.center_of_mass(half)[0] for half in np.array_split(pixels, 2, axis=1))
    assert left == pytest.approx(right, abs=2)


def test_one_slanted_glyph_is_not_turned():
    stroke = np.zeros((100, 100), np.float32)
    for y in range(100):
        stroke[y, 80 - y // 2 : 90 - y // 2] = 1
    np.testing.assert_array_equal(in_pictures._level(stroke), stroke)


def test_several_lines_are_counted(row):
    (_, one), (_, other), (_, short) = row(0, 5, 7, 8), row(1, 2, 3, 4, 5), row(9)
    tilted = np.clip(ndimage.rotate(above(one, other), 6, order=1), 0, 1)
    cases = [(2, above(one, other)), (3, above(one, short, other, gap=20)), (2, tilted)]
    for count, ink in [*cases, (2, above(short, short, gap=15))]:  # stacked glyphs
        with pytest.raises(UserError, match=f"^photo: found {count} lines of ink") as error:
            found(ink)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("gap", [0, -4])
def test_glyphs_that_touch_are_not_split(gap, row):
    rng = np.random.default_rng(2)
    _, ink = row(0, 5, 7, 8, gap=8)
    assert len(frames_of(in_blue(np.pad(ink, 60), rng), split=True)) == 4
    _, ink = row(0, 5, 7, gap=gap)
    with pytest.raises(UserError, match=r"glyph 1 of \d is .* touch or cross: .*configs/rows\.py"):
        frames_of(in_blue(np.pad(ink, 60), rng), split=True)


def test_stacked_glyphs_are_not_split(row):
    _, ink = row(0, 5, 7)
    with pytest.raises(UserError, match=r"^picture 1: found 2 lines of ink"):
        frames_of(in_blue(above(ink, ink), np.random.default_rng(3)), split=True)


def test_what_is_far_apart_is_one_line(row):
    _, ink = row(0, 5)
    width = found(np.pad(np.hstack([ink, np.zeros((len(ink), 800)), ink]), 60)).pixels_HxW.shape[1]
    assert width > 200


def test_dust_and_what_is_drawn_around_or_below_is_no_row(row):
    _, ink = row(0, 5, 7, 8)
    sheet = np.pad(ink, 100)
    expected = found(sheet).pixels_HxW
    (height, width), bottom = sheet.shape, sheet.shape[0] - 90
    drawings = {
        "an underline": lambda pen: pen.line([(90, bottom), (width - 90, bottom)], 255, 5),
        "a box": lambda pen: pen.rectangle([(20, 20), (width - 20, height - 20)], None, 255, 5),
        "dust": lambda pen: pen.rectangle([(30, 30), (42, 42)], 255),
    }
    for name, draw in drawings.items():
        image = Image.fromarray(np.uint8(255 * sheet))
        draw(ImageDraw.Draw(image))
        pixels = found(np.asarray(image) / 255).pixels_HxW
        assert abs(pixels.shape[1] - expected.shape[1]) <= 1, name
        same = min(pixels.shape[1], expected.shape[1])
        assert np.abs(pixels[:, :same].astype(float) - expected[:, :same]).mean() < 8, name


def test_a_small_glyph_beside_many_that_touch_is_no_dust(row):
    ink = np.zeros((100, 1200), np.float32)
    ink[50:54, 20:1000] = ink[20:100, 20:1000:40] = 1  # a comb, which hangs together
    ink[40:100, 1060:1070] = 1
    assert find_ink(np.pad(1 - ink, 40, constant_values=1), "")[:, 1080:].any()


def test_descenders_do_not_make_glyphs_small(row):
    _, ink = row(0, 5, 7, 8, 1, 2)
    tall = np.pad(ink, ((0, 30), (0, 40)))
    tall[20:-2, -12:-4] = 1  # reaches below all others
    usual = in_pictures._glyph_height(ink)
    assert in_pictures._glyph_height(tall) == pytest.approx(usual, rel=0.03)
    pixels = found(np.pad(tall, 60)).pixels_HxW
    rows_with_ink = np.flatnonzero(pixels.any(axis=1))
    assert rows_with_ink[0] >= 1
    assert rows_with_ink[-1] <= 30


def test_thin_pens_are_thickened(row):
    thin = np.zeros((80, 400), np.float32)
    thin[:, 10::40] = 1
    pixels = found(np.pad(thin, 50)).pixels_HxW
    assert pixels[16].sum() / 255 == pytest.approx(10 * 1.7, rel=0.2)
    thick = ndimage.grey_dilation(thin, (1, 15))
    np.testing.assert_array_equal(thickened(thick, 4), thick)


@pytest.mark.parametrize("shape", [(90, 400), (400, 900)])
def test_a_blank_picture_is_refused(shape):
    with pytest.raises(UserError, match=r"^photo: no ink to be seen"):
        found(np.zeros(shape))
