import jax
import jax.numpy as jnp
import numpy as np
import pytest

from crnn_jax.data import clips
from crnn_jax.data.lanes import padded_lanes

CLIPS = clips.Clips()


@jax.jit
def film(images_IxHxW, labels_N, keys_N):
    """The clips' frames TxNxHxW, and the symbols of their captions NxS."""
    lanes = padded_lanes(np.ones(len(labels_N), int))
    frames, captions_N, _ = CLIPS.render(
        images_IxHxW[None, ..., None], labels_N[None], lanes, keys_N
    )
    return frames[..., 0], jnp.asarray(clips.CAPTIONS)[captions_N]


@pytest.fixture(scope="module")
def filmed():
    """Clips of a square of ink, with captions: enough for every scene to occur."""
    count = 400
    images = np.zeros((count, 28, 28), np.uint8)
    images[:, 10:18, 10:18] = 255
    labels = np.arange(count) % 10
    keys = jax.random.split(jax.random.key(0), count)
    frames, symbols = film(images, labels, keys)
    captions = [
        " ".join(clips.VOCABULARY[s] for s in row if clips.VOCABULARY[s] != clips.END)
        for row in np.asarray(symbols)
    ]
    return np.asarray(frames, np.float64), captions, (images, labels, keys)


def middles(frames_TxNxHxW):
    """Middle of the ink in each frame, y and x: 2xTxN."""
    ink = frames_TxNxHxW.sum(axis=(2, 3))
    grid = np.mgrid[: clips.SIZE, : clips.SIZE]
    return np.einsum("tnyx,cyx->ctn", frames_TxNxHxW, grid) / ink


def test_frames_are_of_their_size_and_every_scene_and_digit_is_told(filmed):
    frames, captions, _ = filmed
    assert frames.shape == (clips.FRAMES, 400, clips.SIZE, clips.SIZE)
    told = {tuple(caption.split(" ", 3)[2:]) for caption in captions}
    assert {scene for _, scene in told} == set(clips.SCENES)
    for label, caption in enumerate(captions[:10]):
        assert caption.startswith(f"the digit {clips.NUMERALS[label]} ")


def test_captions_have_five_to_ten_words_and_end(filmed):
    _, captions, _ = filmed
    lengths = {len(caption.split()) for caption in captions}
    assert min(lengths) >= 5
    assert max(lengths) == clips.WORDS - 1
    assert clips.VOCABULARY[-1] == clips.END
    assert len(set(clips.VOCABULARY)) == len(clips.VOCABULARY)


def test_the_digit_does_what_the_caption_says(filmed):
    frames, captions, _ = filmed
    y, x = middles(frames)
    moved = np.stack([y[-1] - y[0], x[-1] - x[0]], axis=1)
    grown = np.sqrt(frames[-1].sum(axis=(1, 2)) / frames[0].sum(axis=(1, 2)))
    for caption, by, ratio in zip(captions, moved, grown, strict=True):
        pixels = 11 if "quickly" in caption else 4
        direction = {"up": (-1, 0), "down": (1, 0), "left": (0, -1), "right": (0, 1)}
        expected = np.array(direction.get(caption.split()[-1], (0, 0))) * pixels
        np.testing.assert_allclose(by, expected, atol=0.3)  # rounding, and resizing what grows
        growth = 1.9 if "quickly" in caption else 1.25
        power = 1 if "grows" in caption else -1 if "shrinks" in caption else 0
        np.testing.assert_allclose(ratio, growth**power, rtol=0.1)


def test_a_clip_is_a_pure_function_of_image_and_key(filmed):
    frames, captions, (images, labels, keys) = filmed
    some = np.array([3, 50, 7])
    found, symbols = film(images[some], labels[some], keys[some])
    np.testing.assert_array_equal(found, frames[:, some])
    for row, i in zip(np.asarray(symbols), some, strict=True):
        assert " ".join(clips.VOCABULARY[s] for s in row).startswith(captions[i])


def test_the_ink_stays_in_the_frame():
    digit = np.zeros((1, 28, 28), np.uint8)
    digit[:, 4:24, 4:24] = 255  # as large as MNIST's digits are
    keys = jax.random.split(jax.random.key(1), 400)
    found, _ = film(np.repeat(digit, 400, axis=0), np.zeros(400, int), keys)
    border = np.asarray(found).copy()
    border[:, :, 1:-1, 1:-1] = 0
    assert (border.any(axis=(0, 2, 3))).mean() < 0.2  # quick ones may touch it


def test_clips_have_the_channels_of_their_images():
    images = np.random.default_rng(0).integers(0, 256, (1, 2, 17, 23, 3), dtype=np.uint8)
    keys = jax.random.split(jax.random.key(0), 2)

    @jax.jit
    def render(images, keys):
        lanes = padded_lanes(np.ones(2, int))
        return CLIPS.render(images, np.zeros((1, 2), int), lanes, keys)[0]

    frames = render(images, keys)
    assert frames.shape[2:] == CLIPS.frame_shape((17, 23, 3)) == (clips.SIZE, clips.SIZE, 3)
    for channel in range(3):
        of_one = render(images[..., [channel]], keys)
        np.testing.assert_array_equal(frames[..., channel], of_one[..., 0])


def test_a_lane_holds_one_clip():
    keys = jax.random.split(jax.random.key(0), 3)
    images, lanes = np.zeros((1, 3, 28, 28, 1), np.uint8), padded_lanes(np.ones(3, int))
    _, _, lanes = CLIPS.render(images, np.zeros((1, 3), int), lanes, keys)
    assert lanes.sequence_TxN.shape == (clips.FRAMES, 3)
    assert lanes.count == 3
    assert lanes.real_TxN.all()
    assert CLIPS.steps(1, (28, 28, 1)) == clips.FRAMES
