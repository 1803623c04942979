import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import FrozenConfigDict

from crnn_jax.config import default
from crnn_jax.data.augment import FRAMES_AT_ONCE, augment

pytestmark = pytest.mark.usefixtures("optimized")  # as users compile it

SIZE = 9  # odd: the middle of the frame is a pixel
MIDDLE = SIZE // 2


def settings(**changes):
    return FrozenConfigDict(default().data.augment.to_dict() | changes)


FLIP_AND_LIGHT = {"flip": 0.5, "brightness": 0.2, "contrast": 0.5}


def random_frames(count=4):
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (count, SIZE, SIZE), dtype=np.uint8)


AUGMENT = jax.jit(augment, static_argnums=2)


def augmented(frames, keys, limits):
    return np.asarray(AUGMENT(frames[..., None], keys, limits))[..., 0]


@pytest.fixture
def augment_by(monkeypatch):
    """Augments with these shares of the limits in the place of random numbers."""
    names = ("turn", "tall", "wide", "down", "right")

    def run(frames, limits, **shares):
        assert shares.keys() <= set(names)
        numbers = np.array([shares.get(name, 0) for name in names], np.float32)

        def uniform(key, shape, dtype, minval):
            assert (shape, minval) == ((5,), -1)  # the upper end is 1 unless told
            return jnp.asarray(numbers)

        monkeypatch.setattr(jax.random, "uniform", uniform)
        keys = jax.random.split(jax.random.key(0), len(frames))
        found = jax.jit(lambda frames: augment(frames, keys, limits))(frames[..., None])
        return np.asarray(found)[..., 0]

    return run


def moved(frame, down, right):
    """`frame` with its content read from `down` and `right` of each pixel, black beyond."""
    padded = np.pad(frame, SIZE)
    return padded[SIZE + down : 2 * SIZE + down, SIZE + right : 2 * SIZE + right]


def test_all_zero_gives_the_very_same_array():
    frames = random_frames()
    assert augment(frames, None, settings()) is frames


def test_an_accelerator_makes_the_same_frames(monkeypatch):
    frames, keys = random_frames(40), jax.random.split(jax.random.key(1), 40)
    limits = settings(shift=2.0, turn=0.3, scale=0.2, elastic=0.6, **FLIP_AND_LIGHT)
    expected = augmented(frames, keys, limits)
    assert np.any(expected != frames)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    found = jax.jit(lambda *x: augment(*x, limits))(frames[..., None], keys)[..., 0]
    np.testing.assert_array_equal(found, expected)


def test_a_random_shift_keeps_the_ink_and_uses_the_whole_range():
    count = 3 * FRAMES_AT_ONCE
    dots = np.zeros((count, SIZE, SIZE), np.uint8)
    dots[:, MIDDLE, MIDDLE] = 200
    keys = jax.random.split(jax.random.key(0), count)
    limits = settings(shift=2.0)
    found = augmented(dots, keys, limits)
    for alone in (slice(1), slice(count - 1, count)):
        np.testing.assert_array_equal(augmented(dots[alone], keys[alone], limits), found[alone])
    ink = found.sum(axis=(1, 2), dtype=float)
    np.testing.assert_allclose(ink, 200, atol=2)  # each of four pixels is rounded
    for axis in np.mgrid[:SIZE, :SIZE]:
        moved_by = np.einsum("fyx,yx->f", found, axis) / ink - MIDDLE
        assert np.abs(moved_by).max() < 2.02
        quartiles = np.quantile(moved_by, [0, 0.25, 0.75, 1])
        np.testing.assert_allclose(quartiles, [-2, -1, 1, 2], atol=0.3)


@pytest.mark.parametrize(("down", "right"), [(2, 0), (0, -2), (-1, 2)])
def test_a_shift_moves_pixels_and_leaves_black(down, right, augment_by):
    frames = random_frames()
    found = augment_by(frames, settings(shift=2.0), down=down / 2, right=right / 2)
    np.testing.assert_array_equal(found, [moved(frame, down, right) for frame in frames])


def test_half_a_pixel_is_the_mean_of_two(augment_by):
    frames = random_frames()
    found = augment_by(frames, settings(shift=0.5), right=1)
    neighbours = np.stack([frames, np.pad(frames, ((0, 0), (0, 0), (0, 1)))[:, :, 1:]])
    inside = found[:, :, :-1] - neighbours.mean(axis=0)[:, :, :-1]
    assert np.abs(inside).max() <= 0.5


def test_a_quarter_turn(augment_by):
    frames = random_frames()
    found = augment_by(frames, settings(turn=np.pi / 2), turn=1)
    np.testing.assert_array_equal(found, np.rot90(frames, -1, axes=(1, 2)))


@pytest.mark.parametrize(("tall", "wide"), [(1, 0), (0, 1)])
def test_scale_stretches_one_axis_about_the_middle(tall, wide, augment_by):
    frames = random_frames()
    found = augment_by(frames, settings(scale=1.0), tall=tall, wide=wide)
    y, x = (np.arange(SIZE) for _ in range(2))
    y, x = (MIDDLE + (1 + share) * (i - MIDDLE) for i, share in ((y, tall), (x, wide)))
    padded = np.pad(frames, ((0, 0), (SIZE, SIZE), (SIZE, SIZE)))
    np.testing.assert_array_equal(found, padded[:, y + SIZE][:, :, x + SIZE])


@pytest.fixture(scope="module")
def bent():
    """Frames whose brightness is 9 times x, the keys to bend them with, and the bent frames."""
    frames = np.tile(np.arange(28, dtype=np.uint8) * 9, (FRAMES_AT_ONCE - 1, 28, 1))
    keys = jax.random.split(jax.random.key(0), len(frames))
    return frames, keys, augmented(frames, keys, settings(elastic=0.5))


def test_elastic_bending_is_a_pure_function_of_frame_and_key(bent):
    frames, keys, whole = bent
    assert whole.dtype == np.uint8
    assert whole.shape == frames.shape
    assert len(np.unique(whole.reshape(len(whole), -1), axis=0)) == len(whole)
    for i in (0, 17):
        alone = augmented(frames[i : i + 1], keys[i : i + 1], settings(elastic=0.5))
        np.testing.assert_array_equal(alone[0], whole[i])


def test_elastic_bending_moves_by_its_standard_deviation_and_neighbours_alike(bent):
    frames, _, found = bent
    moved_by = (found / 9 - frames / 9)[:, 4:-4, 4:-4]  # away from the black beyond the frame
    assert np.std(moved_by) == pytest.approx(0.5, abs=0.05)
    assert np.mean(moved_by) == pytest.approx(0, abs=0.1)

    def correlation(distance):
        """Of pixels so far apart in x and y."""
        here, there = moved_by[:, :-distance, :-distance], moved_by[:, distance:, distance:]
        return np.mean(here * there) / np.var(moved_by)

    assert correlation(1) > 0.9
    assert abs(correlation(14)) < 0.2


def test_all_channels_of_a_frame_are_changed_alike():
    frames = np.random.default_rng(0).integers(0, 256, (4, 17, 23, 3), dtype=np.uint8)
    keys = jax.random.split(jax.random.key(0), 4)
    limits = settings(shift=2.0, turn=0.3, scale=0.2, elastic=0.5, **FLIP_AND_LIGHT)
    found = np.asarray(AUGMENT(frames, keys, limits))
    assert found.shape == frames.shape
    for channel in range(3):
        alone = augmented(frames[..., channel], keys, limits)
        np.testing.assert_array_equal(found[..., channel], alone)


def test_frames_of_one_key_are_changed_alike():
    """As the frames of a clip, whatever stands between them."""
    frame = np.random.default_rng(0).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    keys = jax.random.split(jax.random.key(0), 12)
    keys_F = jax.numpy.repeat(keys, 3)
    limits = settings(shift=2.0, turn=0.3, scale=0.2, elastic=0.5, **FLIP_AND_LIGHT)
    found = np.asarray(AUGMENT(np.tile(frame, (36, 1, 1, 1)), keys_F, limits))
    for clip in found.reshape(12, 3, -1):
        assert (clip == clip[0]).all()
    assert len(np.unique(found.reshape(36, -1), axis=0)) == 12


def test_half_of_the_frames_are_flipped():
    frames, keys = random_frames(400), jax.random.split(jax.random.key(0), 400)
    limits = settings(flip=0.5)
    found = augmented(frames, keys, limits)
    flipped_F = (found == frames[:, :, ::-1]).all(axis=(1, 2))
    assert (flipped_F | (found == frames).all(axis=(1, 2))).all()
    assert flipped_F.mean() == pytest.approx(0.5, abs=0.1)
    np.testing.assert_array_equal(augmented(found, keys, limits), frames)


@pytest.mark.parametrize(
    ("name", "changed"),
    [("brightness", lambda x, share: x + 255 * share), ("contrast", lambda x, share: x * share)],
)
def test_light_changes_by_up_to_its_share_and_stays_in_bytes(name, changed):
    from_grey = np.array([-127.5, -50.5, -0.5, 0.5, 60.5, 127.5])
    frames = np.tile((127.5 + from_grey).astype(np.uint8), (400, 3, 1))
    keys = jax.random.split(jax.random.key(0), 400)
    found = augmented(frames, keys, settings(**{name: 0.4}))
    assert (found == found[:, :1]).all()
    if name == "brightness":
        shares = (found[:, 0, 2] - 127.0) / 255
        np.testing.assert_allclose(np.quantile(shares, [0, 0.5, 1]), [-0.4, 0, 0.4], atol=0.05)
    else:
        shares = (found[:, 0, 4] - 127.5) / 60.5
        np.testing.assert_allclose(np.quantile(shares, [0, 0.5, 1]), [0.6, 1, 1.4], atol=0.05)
    expected = np.clip(127.5 + changed(from_grey[None], shares[:, None]), 0, 255)
    np.testing.assert_allclose(found[:, 0], expected, atol=2.5)  # twice rounded, once enlarged


def test_what_flip_and_light_draw_leaves_the_other_changes_as_they_were():
    frames, keys = random_frames(40), jax.random.split(jax.random.key(0), 40)
    moved = augmented(frames, keys, settings(shift=2.0))
    flipped = augmented(frames, keys, settings(shift=2.0, flip=0.5))
    mirrored_F = (flipped != moved).any(axis=(1, 2))
    assert 5 < mirrored_F.sum() < 35
    np.testing.assert_array_equal(flipped[mirrored_F], moved[mirrored_F][:, :, ::-1])
