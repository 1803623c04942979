import contextlib
import io
import os
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, TiffImagePlugin
from scipy import ndimage

from benchmarks.pictures import SITUATIONS
from crnn_jax import UserError, pictures
from crnn_jax.data.pages import picture_path, read_pages
from crnn_jax.data.sources.idx import read_idx
from crnn_jax.pictures.glyphs import center_glyph, split_row
from crnn_jax.pictures.grey import grey_of
from crnn_jax.pictures.ink import find_ink
from tests.files import png_bytes

# Strokes of glyphs, as polygonal lines in a box of 100×100: none is like itself turned.
FOUR = [[(70, 95), (70, 5), (15, 65), (85, 65)]]
SEVEN = [[(20, 10), (80, 5), (40, 95)]]
FIVE = [[(30, 15), (25, 45), (70, 55), (60, 90), (20, 85)]]
FIVE_BAR = [[(40, 12), (85, 8)]]
TWO = [[(20, 25), (50, 5), (75, 30), (20, 90), (85, 90)]]


def draw(*glyphs, scale=2.0, margin=40, width=12, gap=20):
    """Glyphs in a row as ink, uint8, 255 on 0."""
    side = round(100 * scale)
    across = len(glyphs) * side + (len(glyphs) - 1) * gap
    image = Image.new("L", (across + 2 * margin, side + 2 * margin))
    for i, lines in enumerate(glyphs):
        left = margin + i * (side + gap)
        for line in lines:
            points = [(left + scale * x, margin + scale * y) for x, y in line]
            ImageDraw.Draw(image).line(points, 255, round(width * scale), "curve")
    return np.asarray(image)


def photo(ink, *, paper=0.85, dark=0.25, light=0.4, noise=0.03, shadow=0.0, seed=0):
    """The ink on paper, unevenly lit, with noise, as JPEG."""
    y, x = np.meshgrid(*(np.linspace(-1, 1, side) for side in ink.shape), indexing="ij")
    lit = 1 + light * (0.3 * x - 0.4 * y) - 0.3 * light * (x * x + y * y)
    lit = lit * (1 - shadow / (1 + np.exp(20 * (x + 0.3 * y + 0.7))))
    seen = lit * (paper + (dark - paper) * ink / 255)
    seen = seen + noise * np.random.default_rng(seed).standard_normal(ink.shape)
    file = io.BytesIO()
    Image.fromarray(np.uint8(255 * np.clip(seen, 0, 1))).save(file, "JPEG", quality=60)
    return np.asarray(Image.open(file))


def difference(frame, other):
    """Mean over pixels, where they fit best: uneven ink can move the centre by a pixel."""
    places = [(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1)]
    return min(
        np.abs(np.roll(frame, place, (0, 1)) - other.astype(float)).mean() for place in places
    )


def differences(situation, digits):
    """Of digits in pictures of a situation to themselves; 255 for those that are refused."""
    found = []
    for i, digit in enumerate(digits):
        picture = SITUATIONS[situation](digit, np.random.default_rng(i))
        try:
            found.append(difference(frame_of(picture), digit))
        except UserError:
            found.append(255)
    return found


def crop(ink):
    return ink[ndimage.find_objects((ink > 0).astype(int))[0]]


def frame_of(picture):
    (frame,) = pictures.frames_of([picture])
    return frame[..., 0]


def ink_of(picture):
    ((name, grey),) = read_pages(picture, "picture", grey_of)
    return find_ink(grey, name)


INK = draw(FOUR)
FRAME = frame_of(INK)


@pytest.fixture(scope="module")
def mnist(mnist_dir):
    return read_idx(Path(mnist_dir) / "t10k-images-idx3-ubyte.gz", 3)


def test_a_folder_stands_for_its_pictures_in_natural_order(tmp_path):
    folder = tmp_path / "folder"
    (folder / "within.png").mkdir(parents=True)
    names = ["10.png", "2.PNG", "1.jpg", "b2.gif", "b10.gif", ".hidden.png", "notes.txt"]
    for name in names:
        (folder / name).touch()
    odd = tmp_path / "picture.dat"
    odd.touch()
    found = pictures.find_pictures([odd, folder, odd])
    inside = ["1.jpg", "2.PNG", "10.png", "b2.gif", "b10.gif"]
    assert found == [odd, *(folder / name for name in inside), odd]


def test_what_holds_no_picture(tmp_path):
    (tmp_path / "notes.txt").touch()
    long = tmp_path / ("x" * 300)
    for path, message in [
        (tmp_path / "absent.png", "not found"),
        (tmp_path, "no picture in"),
        (long, r"cannot be looked at \(File name too long\), expected a picture"),
    ]:
        with pytest.raises(UserError, match=f"^{path}: {message}") as error:
            pictures.find_pictures([path])
        assert "\n" not in str(error.value)


def test_frames_come_through_unchanged(digits, tmp_path):
    for frame in digits:
        forms = [frame, 255 - frame, frame[..., None], np.repeat(frame[..., None], 3, axis=2)]
        forms += [frame / 255, frame.astype(np.uint16) * 257]
        for form in forms:
            np.testing.assert_array_equal(frame_of(form), frame, strict=True)
    Image.fromarray(frame).save(tmp_path / "a.png")
    found = pictures.frames_of([tmp_path / "a.png", str(tmp_path / "a.png"), digits[0]])
    expected = np.stack([frame, frame, digits[0]])[..., None]
    np.testing.assert_array_equal(found, expected, strict=True)


def test_mnist_comes_through_unchanged(mnist):
    for frame in mnist[:500]:
        np.testing.assert_array_equal(frame_of(frame), frame)
        np.testing.assert_array_equal(center_glyph(frame / np.float32(255)), frame)


def test_other_pictures_of_that_size_are_centred(digits):
    for digit in digits[:20]:
        glyph = crop(digit)
        for top, left in (0, 0), (0, 28 - glyph.shape[1]), (8, 1):
            ink = np.zeros((28, 28), np.uint8)
            ink[top : top + glyph.shape[0], left : left + glyph.shape[1]] = glyph
            found = frame_of(ink)
            assert max(crop(found).shape) == 20
            np.testing.assert_allclose(ndimage.center_of_mass(found), 14, atol=1)


def test_size_and_place_are_those_of_mnist():
    for lines in FOUR, SEVEN, FIVE, TWO:
        ink = draw(lines)[:, 30:] / np.float32(255)
        frame = center_glyph(ink)
        height, width = crop(ink).shape
        assert crop(frame).shape == (20, round(20 * width / height))
        np.testing.assert_allclose(ndimage.center_of_mass(frame), 14, atol=0.5)
        assert frame.max() == 255


def test_wide_glyphs_fit_and_none_leaves_the_frame():
    ink = np.zeros((280, 300), np.float32)
    ink[88:112, 10:290] = ink[:, 230:290] = 1  # the centre of mass is far to the right
    frame = center_glyph(ink)
    assert crop(frame).shape == (20, 20)
    assert frame[:, 0].any()


def test_thin_strokes_are_thickened_thick_ones_kept():
    for thickness in 1, 5, 20, 60, 120:
        ink = np.zeros((500, 600), np.float32)
        ink[50:450, 300 : 300 + thickness] = ink[250 : 250 + thickness, 100:500] = 1
        found = center_glyph(ink)[7].sum() / 255
        assert found == pytest.approx(max(1.7, thickness / 20), abs=0.35)


def save(image, path, **how):
    image.save(path, **how)
    return path


def kinds(folder):
    """INK as dark on light, in every form that is read."""
    light = Image.fromarray(255 - INK)
    colour = np.stack([255 - INK] * 3, axis=2)
    deep = (255 - INK).astype(np.uint16) * 257
    yield from (colour, np.dstack([colour, np.full_like(INK, 255)]), (255 - INK)[..., None])
    yield from ((255 - INK) / 255, (1 - INK / 255).astype(np.float32), colour / 255, deep)
    for mode in "1", "L", "LA", "P", "RGB", "RGBA":
        yield save(light.convert(mode), folder / f"{mode}.png")
    yield save(light.convert("CMYK"), folder / "cmyk.jpg", quality=95)
    yield save(light.convert("CMYK"), folder / "cmyk.tif")
    yield save(Image.fromarray(deep), folder / "16.png")
    yield save(Image.fromarray(deep.astype(np.int32)), folder / "32.tif")
    yield save(Image.fromarray((1 - INK / 255).astype(np.float32)), folder / "float.tif")
    yield save(light, folder / "a.gif")
    yield save(light, folder / "a.webp", lossless=True)
    yield save(light, folder / "a.bmp")
    yield save(light, folder / "a.pgm")
    yield save(light, folder / "a.jpg", quality=90)


def test_all_kinds_of_pictures_give_one_frame(tmp_path):
    for i, picture in enumerate(kinds(tmp_path)):
        lossy = isinstance(picture, Path) and picture.suffix == ".jpg"
        found = frame_of(picture)
        np.testing.assert_allclose(found, FRAME, atol=8 if lossy else 1, err_msg=str(i))


def test_bool_arrays():
    np.testing.assert_array_equal(frame_of(INK > 0), FRAME)


def test_colours_on_coloured_paper():
    yellow, blue = np.array([250, 240, 120]), np.array([20, 30, 160])
    share = INK[..., None] / 255
    picture = np.uint8(np.round(yellow + (blue - yellow) * share))
    assert difference(frame_of(picture), FRAME) < 1


@pytest.mark.parametrize("paper", [0.85, 0.2])
def test_dark_on_light_equals_light_on_dark(paper):
    for picture in INK, photo(INK, paper=paper, dark=0.5, light=0.2):
        found, negative = frame_of(picture), frame_of(255 - picture)
        np.testing.assert_allclose(found.astype(int), negative, atol=1)
        assert difference(found, FRAME) < 4


@pytest.mark.parametrize("ink", [0, 255, 90, 180])
def test_ink_on_nothing(ink):
    for alpha, tolerance in (INK, 1), (crop(INK), 8):
        grey = np.full_like(alpha, ink)
        found = frame_of(np.dstack([grey, grey, grey, alpha]))
        np.testing.assert_allclose(found, FRAME, atol=tolerance)


def test_ink_in_two_greys_on_nothing():
    grey = np.where(np.arange(len(INK)) < 140, 0, 80).astype(np.uint8)
    grey = np.broadcast_to(grey, INK.shape)
    found = frame_of(np.dstack([grey, grey, grey, INK]))
    expected = frame_of(255 - np.uint8((255.0 - grey) * INK / 255))
    np.testing.assert_allclose(found, expected, atol=1)


def test_ink_that_reaches_round_the_border_of_nothing():
    alpha = np.full((90, 60), 255, np.uint8)
    alpha[10:-10, 10:-10] = 0
    black = np.zeros_like(alpha)
    found = frame_of(np.dstack([black, black, black, alpha]))
    np.testing.assert_array_equal(found, frame_of(np.pad(alpha, 1)))


def test_a_cut_out_piece_of_paper_is_no_ink():
    for ink in INK, 255 - INK:
        alpha = np.full_like(INK, 255)
        alpha[:, :20] = alpha[:25] = 0
        assert difference(frame_of(np.dstack([ink] * 3 + [alpha])), FRAME) < 0.1


def test_transparent_palette(tmp_path):
    Image.fromarray(np.uint8(INK == 0)).save(tmp_path / "a.gif", transparency=1)
    np.testing.assert_allclose(frame_of(tmp_path / "a.gif"), FRAME, atol=1)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_turned_upright(orientation, tmp_path):
    turns = Image.Transpose
    turn = {
        2: turns.FLIP_LEFT_RIGHT,
        3: turns.ROTATE_180,
        4: turns.FLIP_TOP_BOTTOM,
        5: turns.TRANSPOSE,
        6: turns.ROTATE_90,  # stored a quarter to the left of how it is to be seen
        7: turns.TRANSVERSE,
        8: turns.ROTATE_270,
    }
    image = Image.fromarray(INK)
    stored = image.transpose(turn[orientation]) if orientation > 1 else image
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(frame_of(tmp_path / "a.png"), FRAME)


def test_margin_and_scale_do_not_matter():
    for scale, margin in [(2, 3), (2, 200), (1, 20), (8, 150), (20, 100)]:
        found = frame_of(draw(FOUR, scale=scale, margin=margin))
        assert difference(found, FRAME) < 4
    wide = draw(FOUR, margin=200)
    moved = np.roll(wide, (150, -120), (0, 1))
    np.testing.assert_array_equal(frame_of(moved), frame_of(wide))


PHOTOS = {
    "plain": {},
    "pencil": {"dark": 0.6, "noise": 0.02},
    "chalk": {"paper": 0.2, "dark": 0.8},
    "noisy": {"noise": 0.08},
    "dim": {"light": 0.7},
    "dark corner": {"light": 0.95},
    "shadow": {"shadow": 0.4},
}


@pytest.mark.parametrize("how", PHOTOS.values(), ids=PHOTOS)
def test_photographs(how):
    for lines in FOUR, SEVEN, TWO:
        ink = draw(lines, margin=100)
        found = frame_of(photo(ink, **how))
        expected = frame_of(ink)
        assert difference(found, expected) < 5
        paper = ndimage.grey_dilation(expected, (7, 7)) == 0
        assert not found[paper].any()


@pytest.mark.parametrize("ruled", [(60, 0), (60, 60), (0, 90)])
def test_ruled_paper(ruled):
    ink = draw(FOUR, margin=100)
    lines = np.zeros_like(ink)
    for axis, step in enumerate(ruled):
        for start in range(25, 400, step) if step else ():
            lines[(slice(None),) * axis + (slice(start, start + 3),)] = 60
    found = frame_of(photo(np.maximum(ink, lines)))
    assert difference(found, frame_of(ink)) < 10


def test_smudges_are_left_out():
    smudged = INK.copy()
    smudged[200:260, 5:60] = 80
    np.testing.assert_allclose(frame_of(255 - smudged), FRAME, atol=1)


def test_shadows_of_straight_edges_are_no_ink():
    ink = draw(SEVEN, margin=250, width=8)
    y, x = np.mgrid[: ink.shape[0], : ink.shape[1]]
    for i, lit in enumerate([x + y / 3 > 300, x - y / 3 < 350, y < 250, y > 350]):
        noise = np.random.default_rng(0).normal(0, [3, 3, 3, 0][i], ink.shape)
        picture = np.uint8(np.where(lit, 220, 130) * (1 - 0.7 * (ink / 255)) + noise)
        assert difference(frame_of(picture), frame_of(ink)) < 8


def test_small_photographs():
    ink = draw(TWO, scale=0.4, margin=12)
    for seed in range(5):
        found = frame_of(photo(ink, noise=0.06, seed=seed))
        assert difference(found, frame_of(ink)) < 15


BLANK = [{"noise": 0.03}, {"noise": 0.1}, {"light": 0.7}]


@pytest.mark.parametrize("how", BLANK)
@pytest.mark.parametrize("shape", [(90, 140), (900, 1400)])
def test_nothing_is_seen_in_blank_paper(how, shape):
    for seed in range(3):
        with pytest.raises(UserError, match=r"^picture: no ink"):
            ink_of(photo(np.zeros(shape, np.uint8), **how, seed=seed))


def test_a_steep_gradient_is_no_ink():
    picture = np.linspace(0.1, 1, 340) * np.linspace(0.8, 1, 286)[:, None]
    for turned in picture, picture.T, picture[::-1, ::-1]:
        with pytest.raises(UserError, match="no ink"):
            ink_of(turned)


def test_what_can_hardly_be_seen_is_no_ink():
    with pytest.raises(UserError, match="no ink"):
        ink_of(1 - 0.03 * INK / 255)


def test_thick_ink_on_clean_paper():
    picture = np.full((240, 140), 255, np.uint8)
    picture[20:220, 20:120] = 0  # more ink than paper
    found = frame_of(picture)
    np.testing.assert_array_equal(found[4:24, 9:19], 255)
    assert found.sum() == 255 * 200


def test_soft_edges_are_kept():
    soft = ndimage.gaussian_filter(INK / 255, 3)
    found = ink_of(1 - soft)
    np.testing.assert_allclose(found[soft > 0.25], soft[soft > 0.25], atol=0.1)
    assert not found[soft < 0.15].any()


def test_specks_of_dust_are_left_out():
    picture = INK.copy()
    picture[5:15, 5:15] = 255
    np.testing.assert_array_equal(frame_of(picture), FRAME)
    (found,) = split_row(picture / np.float32(255))
    (alone,) = split_row(INK / np.float32(255))
    np.testing.assert_array_equal(found, alone)


def test_faint_ink_is_brought_to_full_brightness():
    for share in 0.3, 0.1:
        found = frame_of(1 - share * INK / 255)
        np.testing.assert_allclose(found, FRAME, atol=2)


def test_large_pictures_are_shrunk():
    ink = ink_of(draw(FOUR, scale=20, margin=300))
    assert ink.shape == (1300, 1300)
    assert ink.dtype == np.float32
    assert ink.min() == 0
    assert ink.max() == 1


def test_hairlines_are_shrunk_before_they_are_thickened():
    for length in 30_000, 2_000_000:  # the thickened line would be of length² / 12 pixels
        picture = np.zeros((3, length), np.uint8)
        picture[1, length // 4 : -length // 4] = 255
        ink = ink_of(picture)
        assert max(ink.shape) <= 8_000
        for turned in picture, picture.T:
            assert center_glyph(ink_of(turned)).max() > 200


def test_a_large_transparent_picture_is_the_same_as_a_small_one(tmp_path):
    alpha = draw(FOUR, scale=20, margin=300)
    grey = np.where(alpha, 40, 255).astype(np.uint8)  # white where it cannot be seen
    Image.fromarray(np.dstack([grey, grey, grey, alpha])).save(tmp_path / "a.png")
    assert difference(frame_of(tmp_path / "a.png"), FRAME) < 2


def test_a_row_is_split_in_order(digits):
    frames = digits[[3, 14, 25]]
    row = np.concatenate(list(frames), axis=1)
    alone = [center_glyph(frame / np.float32(255)) for frame in frames]
    glyphs = split_row(row / np.float32(255))
    np.testing.assert_array_equal([center_glyph(glyph) for glyph in glyphs], alone)


@pytest.mark.parametrize("how", [None, *PHOTOS.values()], ids=["clean", *PHOTOS])
def test_a_picture_of_a_row_gives_a_frame_of_each(how, tmp_path):
    row = draw(FOUR, SEVEN, TWO, SEVEN, margin=60)
    picture = 255 - row if how is None else photo(row, **how)
    Image.fromarray(picture).save(tmp_path / "row.png")
    found = pictures.frames_of([tmp_path / "row.png"], split=True)
    assert found.shape == (4, 28, 28, 1)
    assert found.dtype == np.uint8
    alone = [frame_of(draw(lines)) for lines in (FOUR, SEVEN, TWO)]
    for frame, i in zip(found[..., 0], (0, 1, 2, 1), strict=True):
        differences = [difference(frame, other) for other in alone]
        assert np.argmin(differences) == i
        assert differences[i] < (1 if how is None else 10)  # the width can be rounded otherwise


def test_broken_strokes_are_one_glyph():
    ink = draw(FOUR, FIVE + FIVE_BAR, TWO, width=6) / np.float32(255)
    assert ndimage.label(ink > 0)[1] == 4
    glyphs = split_row(ink)
    assert len(glyphs) == 3
    assert sum(np.count_nonzero(glyph) for glyph in glyphs) == np.count_nonzero(ink)


def test_neighbours_that_lie_over_one_another_a_little_stay_apart():
    ink = np.zeros((60, 100), np.float32)
    for i in range(40):  # two slanted strokes; the right one begins before the left one ends
        ink[10 + i, 45 - i : 51 - i] = 1
        ink[10 + i, 75 - i : 81 - i] = 1
    left, right = split_row(ink)
    np.testing.assert_array_equal(left, right)
    assert left.shape == (40, 45)


def file_of(form, array=INK):
    file = io.BytesIO()
    Image.fromarray(array).save(file, form)
    return file.getvalue()


FILES = {
    "empty": (b"", "cannot be read"),
    "text": (b"no picture\n" * 100, "cannot be read .*cannot identify"),
    "program": (
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        "cannot be read .*cannot identify",
    ),
    "cut PNG": (file_of("PNG")[:-200], "cannot be read .*truncated"),
    "cut JPEG": (file_of("JPEG")[:-200], "cannot be read .*truncated"),
    "cut GIF": (file_of("GIF")[:-200], "cannot be read"),
    "damaged PNG": (file_of("PNG").replace(b"IDAT", b"IDAX"), "cannot be read"),
    "50 million": (png_bytes(7072, 7071), "7,072 × 7,071 pixels, expected at most 50,000,000"),
    "100 million": (png_bytes(10_000, 10_000), "10,000 × 10,000 pixels, expected"),
    "bomb": (
        png_bytes(60_000, 60_000),
        "cannot be read .*3600000000 pixels.* at most 50,000,000 .*; shrink it",
    ),
    "no ink": (file_of("PNG", np.full((50, 50), 200, np.uint8)), "no ink"),
    "blank": (file_of("PNG", photo(np.zeros_like(INK))), "no ink"),
    "nothing drawn": (file_of("PNG", np.zeros((9, 9, 4), np.uint8)), "no ink"),
    "float": (file_of("TIFF", np.full((9, 9), np.nan, np.float32)), "values from nan to nan"),
}


@pytest.mark.parametrize("split", [False, True])
@pytest.mark.parametrize(("content", "message"), FILES.values(), ids=FILES)
def test_files_that_cannot_be_used(content, message, split, tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(content)
    with pytest.raises(UserError, match=f"^{path}: {message}") as error:
        pictures.frames_of([path], split=split)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("open_stderr", [True, False])
def test_what_libraries_say_of_a_damaged_file_is_not_printed(open_stderr, tmp_path, capfd):
    file = io.BytesIO()
    Image.fromarray(INK).save(file, "TIFF", compression="tiff_lzw")
    (tmp_path / "a.tif").write_bytes(file.getvalue()[:8] + b"\xff" * 500 + file.getvalue()[508:])
    stderr = os.dup(2)
    try:
        if not open_stderr:
            os.close(2)
        with pytest.raises(UserError, match=r"cannot be read .*decoder error"):
            pictures.frames_of([tmp_path / "a.tif"])
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
    os.write(2, b"this is")
    assert capfd.readouterr().err == "this is"


def test_no_files(tmp_path):
    for path, message in [(tmp_path, "a folder"), (tmp_path / "absent.png", "not found")]:
        with pytest.raises(UserError, match=f"^{path}: {message}, expected a picture"):
            pictures.frames_of([path])


ARRAYS = {
    "a list": ([[0, 1], [1, 0]], "a list, expected a path, a NumPy array or a PIL image"),
    "one axis": (np.zeros(784, np.uint8), r"shape \(784,\), expected HxW"),
    "four axes": (np.zeros((1, 28, 28, 1), np.uint8), "shape"),
    "two channels": (np.zeros((28, 28, 2), np.uint8), r"shape \(28, 28, 2\), expected HxW"),
    "channels first": (np.zeros((3, 28, 28), np.uint8), "shape"),
    "nothing": (np.zeros((0, 28), np.uint8), "shape"),
    "complex": (np.zeros((28, 28), complex), "type complex128, expected uint8"),
    "too large": (np.full((28, 28), 70_000), r"values from 70000 to 70000, expected 0..65535"),
    "negative": (np.full((28, 28), -1), r"values from -1 to -1, expected 0..255"),
    "words": (np.full((28, 28), "a"), "type <U1, expected uint8"),
    "nan": (np.full((28, 28), np.nan), "values from nan to nan, expected 0..1"),
    "one nan": (np.where(np.eye(28), np.nan, 0), "values from nan"),
    "infinite": (np.full((28, 28, 3), np.inf), "values from inf to inf"),
    "above": (INK.astype(float), "values from 0 to 255, expected 0..1; divide"),
    "below": (INK / 255 - 0.5, "values from -0.5 to 0.5, expected"),
    "huge": (np.broadcast_to(np.uint8(0), (8000, 8000)), "8,000 × 8,000 pixels, expected at most"),
    "no ink": (np.zeros((28, 28)), "no ink to be seen"),
    "nothing drawn": (np.zeros((28, 28, 4), np.uint8), "no ink to be seen"),
}


@pytest.mark.parametrize(("array", "message"), ARRAYS.values(), ids=ARRAYS)
def test_arrays_that_cannot_be_used(array, message):
    with pytest.raises(UserError, match=f"^picture 2: {message}") as error:
        pictures.frames_of([INK, array])
    assert "\n" not in str(error.value)


def test_how_many_pictures():
    with pytest.raises(UserError, match="0 pictures, expected at least one"):
        pictures.frames_of([])
    with pytest.raises(UserError, match="2 pictures or more to split, expected one"):
        pictures.frames_of([INK, INK], split=True)
    with pytest.raises(UserError, match="no glyph to split off"):
        split_row(np.zeros((28, 28), np.float32))


@pytest.mark.parametrize("name", [name for name in SITUATIONS if "28" in name])
def test_small_pictures_are_read_wherever_the_glyph_is(name, digits):
    assert np.median(differences(name, digits[:7])) < 15


@pytest.mark.parametrize("name", [name for name in SITUATIONS if "refuse" in name])
def test_many_glyphs_are_counted(name, digits):
    count = {"two": 2, "nin": 9}[name[:3]]
    for i, digit in enumerate(digits[:5]):
        picture = SITUATIONS[name](digit, np.random.default_rng(i))
        with pytest.raises(UserError, match=f"found {count} separate marks, .* --split"):
            pictures.frames_of([picture])


def test_a_glyph_in_pieces_is_one(digits):
    ink = draw(FIVE + FIVE_BAR, width=6)
    assert ndimage.label(ink)[1] == 2
    np.testing.assert_array_equal(frame_of(ink), center_glyph(ink / np.float32(255)))
    for i, digit in enumerate(digits[:8]):
        picture = SITUATIONS["scan: broken stroke"](digit, np.random.default_rng(i))
        assert difference(frame_of(picture), digit) < 20


def test_one_picture_needs_no_list(tmp_path):
    Image.fromarray(INK).save(tmp_path / "a.png")
    path = tmp_path / "a.png"
    for picture in path, str(path), INK, INK[..., None], np.dstack([INK] * 3), Image.open(path):
        np.testing.assert_array_equal(pictures.frames_of(picture)[0, ..., 0], FRAME)
    assert pictures.frames_of(np.stack([INK] * 3)).shape == (3, 28, 28, 1)


def test_any_iterable_of_pictures(tmp_path):
    for name in "a.png", "b.png":
        Image.fromarray(INK).save(tmp_path / name)
    for several in tmp_path.glob("*.png"), (INK for _ in range(2)), iter([INK, INK]):
        np.testing.assert_array_equal(pictures.frames_of(several)[..., 0], [FRAME, FRAME])


def test_images_of_pillow_are_read_like_their_files(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    light = Image.fromarray(255 - INK)
    light.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "a.jpg", quality=95, exif=exif)
    light.convert("CMYK").save(tmp_path / "b.jpg", quality=95)
    light.convert("P").save(tmp_path / "c.png")
    light.convert("LA").save(tmp_path / "d.png")
    for path in sorted(tmp_path.iterdir()):
        with Image.open(path) as image:
            np.testing.assert_array_equal(frame_of(image), frame_of(path))
        np.testing.assert_allclose(frame_of(path), FRAME, atol=8)


@pytest.mark.parametrize("kind", [np.uint16, np.int16, np.uint32, np.int32, np.int64, np.float32])
def test_wide_types_that_hold_bytes(kind, tmp_path):
    values = INK.astype(kind)
    if kind != np.float32:
        np.testing.assert_array_equal(frame_of(values), FRAME)
    if kind in (np.uint16, np.int32, np.float32):
        Image.fromarray(values).save(tmp_path / "a.tif")
        np.testing.assert_array_equal(frame_of(tmp_path / "a.tif"), FRAME)


def test_floats_may_leave_their_range_by_rounding():
    for share in 1 + 2e-7, 1 + 5e-4:
        np.testing.assert_array_equal(frame_of(np.float32(INK / 255 * share)), FRAME)
    np.testing.assert_array_equal(frame_of(INK / 255 - 1e-7), FRAME)


@pytest.mark.parametrize("how", [{}, {"dark": 0.5}, {"noise": 0.01}])
def test_dithered_scans(how):
    for lines in FOUR, SEVEN, TWO:
        ink = draw(lines, margin=100)
        dithered = Image.fromarray(photo(ink, **how)).convert("1")
        assert difference(frame_of(dithered), frame_of(ink)) < 5
        assert difference(frame_of(np.asarray(dithered)), frame_of(ink)) < 5


PAGES = [Image.fromarray(255 - draw(lines)) for lines in (FOUR, SEVEN, TWO)]


@pytest.mark.parametrize("name", ["a.tif", "a.gif", "a.png", "a.webp"])
def test_each_page_is_a_picture(name, tmp_path):
    PAGES[0].save(tmp_path / name, save_all=True, append_images=PAGES[1:], lossless=True)
    found = pictures.frames_of([INK, tmp_path / name, INK])
    expected = pictures.frames_of([INK, *PAGES, INK])
    np.testing.assert_allclose(found.astype(int), expected, atol=1)
    with Image.open(tmp_path / name) as image:
        np.testing.assert_array_equal(pictures.frames_of(image), found[1:-1])
    with pytest.raises(UserError, match="2 pictures or more to split"):
        pictures.frames_of([tmp_path / name], split=True)


def test_a_page_that_cannot_be_used_is_named(tmp_path):
    blank = Image.new("L", (90, 90), 255)
    PAGES[0].save(tmp_path / "a.tif", save_all=True, append_images=[blank])
    with pytest.raises(UserError, match=r"a\.tif, page 2: no ink"):
        pictures.frames_of([tmp_path / "a.tif"])


def test_previews_are_no_pages(tmp_path):
    PAGES[0].save(tmp_path / "a.png", save_all=True, append_images=PAGES[1:], default_image=True)
    PAGES[0].save(tmp_path / "b.mpo", save_all=True, append_images=PAGES[1:])
    with TiffImagePlugin.AppendingTiffWriter(tmp_path / "c.tif", new=True) as file:
        for page, kind in zip(PAGES, [0, 1, 2], strict=True):
            page.save(file, "TIFF", tiffinfo={254: kind})
            file.newFrame()
    for name, pages in ("a.png", [1, 2]), ("b.mpo", [0]), ("c.tif", [0, 2]):
        expected = pictures.frames_of([PAGES[i] for i in pages])
        np.testing.assert_allclose(pictures.frames_of(tmp_path / name), expected, atol=8)


def test_a_folder_leaves_nothing_out(tmp_path):
    Image.fromarray(INK).save(tmp_path / "1.jfif", "JPEG", quality=95)
    Image.fromarray(INK).save(tmp_path / "2.avif", quality=95)
    Image.fromarray(INK).save(tmp_path / "3", "PNG")
    for name in "labels.csv", "Thumbs.db", "desktop.ini", ".DS_Store", "._1.jfif":
        (tmp_path / name).write_bytes(b"content")
    assert pictures.frames_of(pictures.find_pictures([tmp_path])).shape == (3, 28, 28, 1)
    (tmp_path / "4.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(100))
    with pytest.raises(UserError, match=r"4\.heic: cannot be read"):
        pictures.frames_of(pictures.find_pictures([tmp_path]))


def test_paths_are_taken_as_they_are_meant(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in "~x.png", "-3.png":
        Image.fromarray(INK).save(tmp_path / name)
    for name in "./~x.png", "-3.png", "~/-3.png":
        np.testing.assert_array_equal(frame_of(name), FRAME)
        assert pictures.find_pictures([name]) == [picture_path(name)]
    for take in pictures.frames_of, pictures.find_pictures:
        with pytest.raises(UserError, match=r"^'' is no path, expected"):
            take([""])


def test_threads_leave_stderr_and_warnings_as_they_are(tmp_path):
    PAGES[0].save(tmp_path / "a.tif", compression="tiff_lzw")
    content = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "b.tif").write_bytes(content[:8] + b"\xff" * 300 + content[308:])
    filters, stderr = list(warnings.filters), os.fstat(2)

    def read(_):
        for name in ("a.tif", "b.tif") * 10:
            with contextlib.suppress(UserError):
                pictures.frames_of(tmp_path / name)
            assert os.fstat(2) == stderr

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(read, range(4)))
    assert warnings.filters == filters


def test_pictures_for_networks_that_read_no_glyphs():
    ramp = np.uint8(np.arange(60 * 90 * 3).reshape(60, 90, 3) % 251)
    for shape in (60, 90, 3), (21, 33, 3), (21, 33, 1):
        found = pictures.frames_of(
            [ramp, INK, np.dstack([ramp, ramp[..., 0]])], shape=shape, glyphs=False
        )
        assert (found.shape, found.dtype) == ((3, *shape), np.uint8)
        if shape == ramp.shape:
            np.testing.assert_array_equal(found[0], ramp)
    even = np.full((50, 40, 4), (10, 200, 90, 255), np.uint8)
    even[..., 3] = 0
    assert (pictures.frames_of(even, shape=(4, 4, 3), glyphs=False) == 255).all()
    with pytest.raises(UserError, match="split needs a network that reads glyphs"):
        pictures.frames_of(ramp, shape=(21, 33, 3), glyphs=False, split=True)
