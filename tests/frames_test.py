import numpy as np
import pytest
from PIL import Image

from crnn_jax import UserError, config
from crnn_jax.data import frames as frames_module
from crnn_jax.data.form import Form
from crnn_jax.data.frames import Peek, chosen, form_of, peek, read_clip, read_whole
from crnn_jax.pictures import frames_of
from tests.own_clips import noise, write_animation, write_folder, write_video

GREY = Form(10, 12, 1)
CLIP = noise(7)


@pytest.fixture(params=["folder", "gif", "webp", "tiff", "avi"])
def source(request, tmp_path):
    """The same clip in every form that loses nothing."""
    if request.param == "folder":
        return write_folder(tmp_path / "clip", CLIP)
    if request.param == "avi":
        return write_video(tmp_path / "clip.avi", CLIP, codec="ffv1", pixels="gray")
    return write_animation(tmp_path / f"clip.{request.param}", CLIP)


def test_a_clip_is_the_same_in_every_form(source):
    np.testing.assert_array_equal(read_clip(source, GREY), CLIP, strict=True)
    assert peek(source) == Peek(10, 12, 1)
    colour = read_clip(source, Form(10, 12, 3))
    np.testing.assert_array_equal(colour, np.repeat(CLIP, 3, -1), strict=True)


@pytest.mark.parametrize(
    ("fields", "expected", "cut"),
    [
        ({"stride": 3}, [0, 3, 6], False),
        ({"max_frames": 3}, [0, 1, 2], True),
        ({"max_frames": 7}, range(7), False),
        ({"stride": 2, "max_frames": 3}, [0, 2, 4], True),
        ({"stride": 2, "max_frames": 4}, [0, 2, 4, 6], False),
        ({"frames": 3, "stride": 2, "max_frames": 1}, [0, 3, 6], False),
        ({"frames": 1}, [0], False),
        ({"frames": 50}, range(7), False),
    ],
)
@pytest.mark.parametrize("to_the_end", [False, True])
def test_the_frames_that_are_taken(source, fields, expected, cut, to_the_end):
    form = Form(10, 12, 1, **fields)
    found = read_whole(source, form, to_the_end=to_the_end)
    np.testing.assert_array_equal(found.frames_LxHxWxC, CLIP[list(expected)])
    assert found.cut == cut
    if to_the_end:
        assert found.total == 7
    np.testing.assert_array_equal(chosen(7, form), list(expected))


def test_only_files_of_frames_that_are_taken_are_opened(tmp_path):
    paths = write_folder(tmp_path / "clip", CLIP)
    paths[1].write_bytes(b"nothing")
    assert len(read_clip(paths, Form(10, 12, 1, stride=2))) == 4
    with pytest.raises(UserError, match=f"^{paths[1]}: cannot be read"):
        read_clip(paths, GREY)


@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_are_read_as_predictions_read_them(tmp_path, channels):
    """Turned by their EXIF, on white where transparent, and stretched alike."""
    rgba = Image.fromarray(noise(1, 30, 20, channels=4)[0])
    exif = Image.Exif()
    exif[0x0112] = 6
    rgba.save(tmp_path / "picture.png", exif=exif)
    expected = frames_of(tmp_path / "picture.png", shape=(9, 7, channels), glyphs=False)
    found = read_clip((tmp_path / "picture.png",), Form(9, 7, channels, "stretch"))
    np.testing.assert_array_equal(found, expected, strict=True)
    assert peek((tmp_path / "picture.png",)) == Peek(20, 30, 3)


def test_fits(tmp_path):
    wide = np.full((1, 10, 30, 1), 200, np.uint8)
    wide[:, :, 10:20] = 100
    source = write_folder(tmp_path / "clip", wide)
    pad = read_clip(source, Form(20, 20, 1, "pad"))[0, ..., 0]
    np.testing.assert_array_equal(pad.any(1), [False] * 6 + [True] * 7 + [False] * 7)
    crop = read_clip(source, Form(5, 5, 1, "crop"))
    assert np.abs(crop.astype(int) - 100).max() < 10
    stretch = read_clip(source, Form(5, 15, 1, "stretch"))[0, ..., 0]
    assert (set(stretch[:, 2]), set(stretch[:, 7])) == ({200}, {100})
    line = write_folder(tmp_path / "line", np.full((1, 1, 4000, 1), 9, np.uint8))
    assert read_clip(line, Form(5, 5, 1, "pad")).sum() == 5 * 9


def test_shrinking_averages(tmp_path):
    board = (np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8)[None, ..., None]
    source = write_folder(tmp_path / "clip", board)
    for fit in ("stretch", "pad", "crop"):
        shrunk = read_clip(source, Form(8, 8, 1, fit))
        assert np.abs(shrunk.astype(int) - 127).max() < 12


def test_what_cannot_be_read(tmp_path, monkeypatch):
    (tmp_path / "text.png").write_text("no picture")
    animation = write_animation(tmp_path / "a.gif", CLIP)
    bomb = tmp_path / "bomb.gif"
    bomb.write_bytes(
        b"GIF89a" + (60_000).to_bytes(2, "little") * 2 + animation[0].read_bytes()[10:]
    )
    for source, message in [
        ((tmp_path / "text.png",), "cannot be read .*expected a whole AVIF"),
        ((tmp_path / "absent.gif",), "not found"),
        ((bomb,), r"60,000 × 60,000 pixels|cannot be read \(DecompressionBomb"),
        ((*animation, *animation), "has several pages, expected one picture for each frame"),
        (write_animation(tmp_path / "b.tiff", noise(2, 9, 12)), "12 × 9 pixels .*expected 12 × 10"),
    ]:
        with pytest.raises(UserError, match=f"^{source[0]}.*: {message}") as error:
            read_clip(source, GREY)
        assert "\n" not in str(error.value)
    monkeypatch.setattr(frames_module, "LARGEST_CLIP", 3 * 120)
    assert len(read_clip(animation, Form(10, 12, 1, max_frames=3))) == 3
    with pytest.raises(UserError, match=r"a\.gif: its frames take more than"):
        read_clip(animation, GREY)


def test_the_form_that_a_config_asks_for():
    data = config.default().data
    assert form_of(data, Peek(4, 5, 3)) == Form(4, 5, 3)
    data.update(height=8, width=9, channels=1, fit="crop", stride=2, max_frames=5, frames=6)
    assert form_of(data, Peek(4, 5, 3)) == Form(8, 9, 1, "crop", 2, 5, 6)
    for wrong in ({"height": 0}, {"width": 0}, {"height": 0, "width": 0}):
        data.update(height=8, width=9)
        data.update(wrong)
        with pytest.raises(UserError, match="expected a height and a width"):
            form_of(data, Peek(4, 5, 3))
