"""Pictures of lines as strips of one height, and which texts fit into them."""

import numpy as np
import pytest
from PIL import Image

from crnn_jax import UserError, config
from crnn_jax.data.form import Form
from crnn_jax.data.frames import Peek, form_of, read_clip, read_whole
from crnn_jax.data.line import columns_needed
from tests.own_clips import listing, noise, prepared, write_animation, write_video

FORM = Form(12, 0, 1, max_frames=20, strip=4)


def joined(strips_LxHxWxC):
    """The picture that strips were cut from: H x (L * W) x C."""
    return np.concatenate(list(strips_LxHxWxC), axis=1)


def written(path, width, height=12, *, channels=1, seed=0):
    pixels = noise(1, height, width, channels=channels, seed=seed)[0]
    Image.fromarray(pixels.squeeze(-1) if channels == 1 else pixels).save(path)
    return pixels


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("width", [1, 4, 17, 80])
def test_strips_side_by_side_are_the_picture_on_its_background(tmp_path, width, channels):
    pixels = written(tmp_path / "a.png", width, channels=channels)
    form = Form(12, 0, channels, max_frames=20, strip=4)
    strips = read_clip((tmp_path / "a.png",), form)
    assert strips.shape == (-(-width // 4), 12, 4, channels)
    found = joined(strips)
    np.testing.assert_array_equal(found[:, :width], pixels)
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    rest = found[:, width:]
    np.testing.assert_array_equal(rest, np.broadcast_to(np.median(border, 0) // 1, rest.shape))


@pytest.mark.parametrize(("size", "strips"), [((60, 24), 8), ((7, 3), 7), ((1, 900), 1)])
def test_a_line_of_another_height_is_scaled_in_proportion(tmp_path, size, strips):
    written(tmp_path / "a.png", *size)
    found = read_whole((tmp_path / "a.png",), FORM)
    assert (found.total, found.cut) == (strips, False)
    with Image.open(tmp_path / "a.png") as image:
        width = max(1, round(size[0] * 12 / size[1]))
        scaled = np.asarray(image.resize((width, 12), Image.Resampling.BICUBIC))
    np.testing.assert_array_equal(joined(found.frames_LxHxWxC)[:, :width, 0], scaled)


def test_a_line_is_never_cut(tmp_path):
    written(tmp_path / "a.png", 81)
    with pytest.raises(UserError, match=r"a\.png: 81 pixels long .* 21 strips .*max_frames=20"):
        read_clip((tmp_path / "a.png",), FORM)


def test_a_picture_as_thin_as_a_thread_takes_no_memory(tmp_path):
    Image.new("L", (40_000_000, 1)).save(tmp_path / "a.png")
    with pytest.raises(UserError, match="a line is never cut"):
        read_clip((tmp_path / "a.png",), FORM)


def test_a_line_is_one_picture(tmp_path):
    frames = noise(3, 12, 16)
    several = [
        write_animation(tmp_path / "a.gif", frames),
        write_video(tmp_path / "a.avi", frames, codec="mjpeg", pixels="yuvj420p"),
        2 * write_animation(tmp_path / "b.gif", frames[:1]),
    ]
    for source in several:
        with pytest.raises(UserError, match="several pages or frames, expected one picture"):
            read_clip(source, FORM)


@pytest.mark.parametrize(
    "fields",
    [
        {"height": 0},
        {"height": 12, "width": 40},
        {"height": 12, "fit": "pad"},
        {"height": 12, "stride": 2},
        {"height": 12, "frames": 5},
    ],
)
def test_of_a_line_only_the_height_is_chosen(fields):
    data = config.default().data
    data.update(fields, strip=4)
    with pytest.raises(UserError, match="expected a height alone"):
        form_of(data, Peek(10, 100, 1))


def test_equal_symbols_side_by_side_need_a_column_between_them():
    assert [columns_needed(text) for text in ("", "a", "abc", "aab", "aaa")] == [0, 1, 3, 4, 5]


TEXTS = ("aab", "über", "b", "aa", "abab", "c", "x", "x")
PARTS = ("train", "train", "train", "train", "train", "validation", "test", "train")


def lines(folder, texts=TEXTS, width=16):
    """Pictures of four strips, each of other pixels."""
    for i, (text, part) in enumerate(zip(texts, PARTS, strict=True)):
        written(folder / f"{i}.png", width, seed=i)
        yield f"{i}.png", (folder / f"{i}.png",), text, part


def test_the_alphabet_is_that_of_training(tmp_path):
    found = prepared(listing(lines(tmp_path), "text", ()), tmp_path / "data", height=12, strip=4)
    assert found.info.vocabulary == ("a", "b", "e", "r", "x", "ü")
    assert (found.info.symbols, found.info.longest, found.info.frame_shape) == (4, 4, (12, 4, 1))
    assert (found.info.form.strip, found.misfits) == (4, ())
    assert list(found.parts["train"].answers) == [*TEXTS[:5], "x"]


def test_lines_too_short_for_their_text_are_named_and_not_trained_on(tmp_path):
    texts = ("aab", "aabb", "b", "aaa", "abab", "cde fg", "x", "x")
    found = prepared(
        listing(lines(tmp_path, texts), "text", ()), tmp_path / "data", height=12, strip=4
    )
    assert [problem.name for problem in found.misfits] == ["1.png", "3.png", "5.png"]
    assert "needs 6 strips, the line has 4: left out" in found.misfits[0].what
    assert "kept for validation" in found.misfits[2].what
    assert not any(problem.fatal for problem in found.problems)
    assert found.parts["train"].names == ("0.png", "2.png", "4.png", "7.png")
    assert list(found.parts["validation"].answers) == ["cde fg"]
    with pytest.raises(UserError, match=r"no line for train has room for its text: 0\.png: the"):
        prepared(
            listing(lines(tmp_path, 8 * ["too long"]), "text", ()),
            tmp_path / "data",
            height=12,
            strip=4,
        )


def test_strips_of_another_width_are_prepared_anew(tmp_path):
    one_of_each = listing(lines(tmp_path, 8 * ["ab"]), "text", ())
    as_lines = prepared(one_of_each, tmp_path / "data", height=12, strip=4)
    other = prepared(one_of_each, tmp_path / "data", height=12, strip=8)
    assert (as_lines.info.longest, other.info.longest) == (4, 2)
