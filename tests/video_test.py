import sys

import numpy as np
import pytest

from crnn_jax import UserError
from crnn_jax.data.form import Form
from crnn_jax.data.frames import Peek, colour_of, peek, read_clip
from tests.own_clips import noise, write_video

CLIP = noise(20, 32, 48)
FORM = Form(32, 48, 3)


@pytest.mark.parametrize(
    ("name", "codec"), [("a.mp4", "libx264"), ("a.webm", "libvpx-vp9"), ("a.avi", "mpeg4")]
)
def test_all_frames_are_counted_whatever_their_rate(tmp_path, name, codec):
    uneven = [0, 10, 500, 510, 520, 900, *range(1000, 1462, 33)]
    source = write_video(tmp_path / name, CLIP, uneven, codec=codec)
    frames = read_clip(source, FORM)
    assert frames.shape == (20, 32, 48, 3)
    assert np.abs(frames.astype(int) - CLIP).mean() < 25
    assert colour_of(frames) <= 4
    assert peek(source) == Peek(32, 48, 1)


def test_grey_is_made_of_colour_as_for_pictures(tmp_path):
    coloured = noise(3, 32, 48, channels=3)
    source = write_video(tmp_path / "a.mkv", coloured, codec="ffv1", pixels="bgr0")
    np.testing.assert_array_equal(read_clip(source, FORM), coloured)
    grey = (coloured.astype(int) @ [19595, 38470, 7471] + 2**15) >> 16  # as Pillow says
    np.testing.assert_array_equal(read_clip(source, Form(32, 48, 1))[..., 0], grey)


@pytest.mark.parametrize(
    ("quarters", "matrix"), [(1, (0, -1, 1, 0)), (2, (-1, 0, 0, -1)), (3, (0, 1, -1, 0))]
)
def test_a_video_stands_upright(tmp_path, quarters, matrix):
    """The matrix of a track turns it counterclockwise."""
    (path,) = write_video(tmp_path / "a.mp4", CLIP)
    straight = read_clip((path,), FORM)
    content = bytearray(path.read_bytes())
    place = content.index(b"tkhd") + 44
    a, b, c, d = (2**16 * x for x in matrix)
    numbers = (a, b, 0, c, d, 0, 0, 0, 2**30)
    content[place : place + 36] = b"".join(x.to_bytes(4, "big", signed=True) for x in numbers)
    path.write_bytes(content)
    expected = np.rot90(straight, quarters, (1, 2))
    height, width = expected.shape[1:3]
    assert peek((path,)) == Peek(height, width, 1)
    np.testing.assert_array_equal(read_clip((path,), Form(height, width, 3)), expected)


def test_what_is_no_whole_video(tmp_path, monkeypatch):
    (whole,) = write_video(tmp_path / "a.mp4", CLIP)
    content = whole.read_bytes()
    damaged = {}
    for seed in range(5):  # FFmpeg would make frames of most of them, all the same
        flipped = np.frombuffer(content, np.uint8).copy()
        flipped[np.random.default_rng(seed).integers(1_000, content.index(b"moov"), 30)] ^= 255
        damaged[f"damaged{seed}.mp4"] = flipped.tobytes()
    monkeypatch.chdir(tmp_path)
    for name, bad in [
        ("empty.mp4", b""),
        ("text.mp4", b"no video"),
        ("cut.mp4", content[: len(content) // 2]),
        *damaged.items(),
        ("list.mp4", b"ffconcat version 1.0\nfile a.mp4\n"),
    ]:
        path = tmp_path / name
        path.write_bytes(bad)
        with pytest.raises(UserError, match=f"^{path}: cannot be read .*a whole video") as error:
            read_clip((path,), FORM)
        assert "\n" not in str(error.value)
    with pytest.raises(UserError, match="not found, expected a video"):
        read_clip((tmp_path / "absent.mp4",), FORM)
    monkeypatch.setattr("crnn_jax.data.video.LARGEST_PIXELS", 1000)
    with pytest.raises(UserError, match=f"^{whole}: cannot be read"):
        read_clip((whole,), FORM)
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(UserError, match=r"pip install 'crnn-jax\[video\]'"):
        read_clip((whole,), FORM)
