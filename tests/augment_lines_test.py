"""Changes of whole lines: of each by itself, and of nothing else."""

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict
from scipy import ndimage

from crnn_jax.config import default
from crnn_jax.data.augment_lines import augment_lines
from crnn_jax.data.packing import fill, pack

HEIGHT, STRIP = 32, 4
LENGTHS = np.array([9, 14, 6, 11])
CHANGES = {
    "slant": 0.3,
    "shift": 2.0,
    "turn": 0.05,
    "scale": 0.1,
    "elastic": 1.0,
    "thickness": 0.6,
    "brightness": 0.1,
    "contrast": 0.2,
    "noise": 0.1,
}


def settings(**changes):
    return ConfigDict({**dict.fromkeys(default().data.augment, 0.0), **changes})


def packed(lines, lengths=LENGTHS):
    """Lines in two lanes, as pictures of one strip after the other."""
    lanes = pack(lengths, 1, 1).lanes(0, lengths)
    frames = np.zeros((*lanes.sequence_TxN.shape, *lines[0].shape[1:]), np.uint8)
    fill(frames, lanes, range(len(lines)), lines)
    return frames, lanes


def strips(picture_HxW):
    return picture_HxW.reshape(len(picture_HxW), -1, STRIP, 1).swapaxes(0, 1)


def picture(frames, lanes, i):
    """The picture of line i, HxW."""
    first = lanes.first_B[i]
    found = np.asarray(frames)[first : first + lanes.length_B[i], lanes.lane_B[i]]
    return found[..., 0].swapaxes(0, 1).reshape(found.shape[1], -1)


def changed(pictures, seed=0, **changes):
    """The pictures after these changes, in lanes of their own."""
    lengths = np.array([x.shape[1] // STRIP for x in pictures])
    frames, lanes = packed([strips(x) for x in pictures], lengths)
    keys = jax.random.split(jax.random.key(seed), len(pictures))
    run = jax.jit(lambda frames, keys: augment_lines(frames, lanes, keys, settings(**changes)))
    frames = run(frames, keys)
    return [picture(frames, lanes, i) for i in range(len(pictures))]


@pytest.fixture(scope="module")
def lines():
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (n, HEIGHT, STRIP, 1), dtype=np.uint8) for n in LENGTHS]


@pytest.fixture(scope="module")
def smooth():
    """Pictures of as many lines, whose ink is smooth and ends before the border."""
    rng = np.random.default_rng(1)
    found = []
    for _ in range(8):
        ink = np.zeros((HEIGHT, 10 * STRIP))
        ink[10:22, 12:28] = rng.random((12, 16)) > 0.5
        found.append(np.round(255 * ndimage.gaussian_filter(ink, 1.5)).astype(np.uint8))
    return found


@pytest.mark.parametrize("names", [["elastic"], ["thickness"], list(CHANGES)], ids="+".join)
def test_a_line_is_changed_as_if_it_were_alone_and_nothing_else_is(names, lines):
    frames, lanes = packed(lines)
    chosen = settings(**{name: CHANGES[name] for name in names})
    keys = jax.random.split(jax.random.key(0), len(lines))
    found = np.asarray(jax.jit(lambda f, k: augment_lines(f, lanes, k, chosen))(frames, keys))
    assert found.dtype == np.uint8
    assert not found[np.asarray(lanes.sequence_TxN) < 0].any()
    i = 1
    alone, lane = packed([lines[i]], LENGTHS[[i]])
    expected = jax.jit(lambda f, k: augment_lines(f, lane, k, chosen))(alone, keys[i : i + 1])
    mine, right = (picture(*x).astype(int) for x in ((found, lanes, i), (expected, lane, 0)))
    assert np.abs(mine - right).max() <= 1  # compiled otherwise, a pixel may be rounded otherwise
    assert (mine != right).mean() < 0.01
    assert (mine != picture(frames, lanes, i)).mean() > 0.1


def test_no_change_costs_nothing(lines):
    frames, lanes = packed(lines)
    assert augment_lines(frames, lanes, None, settings()) is frames


def test_an_accelerator_makes_the_same_lines(bar, monkeypatch):
    expected = changed(bar[:2], slant=0.3, shift=1.0)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    for a, b in zip(changed(bar[:2], slant=0.3, shift=1.0), expected, strict=True):
        np.testing.assert_allclose(a.astype(int), b, atol=1)


def middles(picture_HxW):
    """Where the ink of each row is, in columns; NaN where there is little."""
    ink_H = picture_HxW.sum(axis=1, dtype=float)
    return np.where(ink_H > 100, picture_HxW @ np.arange(picture_HxW.shape[1]), np.nan) / ink_H


@pytest.fixture
def bar():
    """Forty pictures of an upright bar."""
    picture = np.zeros((HEIGHT, 10 * STRIP), np.uint8)
    picture[4:28, 18:22] = 200
    return [picture] * 40


def test_slant_moves_the_top_against_the_bottom(bar):
    slopes = [np.polyfit(range(4, 28), middles(x)[4:28], 1)[0] for x in changed(bar, slant=0.4)]
    assert max(slopes) <= 0.41
    assert min(slopes) >= -0.41
    assert max(slopes) > 0.2
    assert min(slopes) < -0.2


def test_turning_raises_one_end_and_lowers_the_other_but_never_far():
    for strips_of_line, steepest in ((10, 0.1), (100, HEIGHT / 4 / 400)):
        level = np.zeros((HEIGHT, strips_of_line * STRIP), np.uint8)
        level[14:18] = 200
        found = changed([level] * 8, turn=0.1)
        columns = np.arange(level.shape[1])
        slopes = [np.polyfit(columns, middles(x.T), 1)[0] for x in found]
        assert 0.5 * steepest < np.abs(slopes).max() <= 1.02 * steepest


def test_the_pen_gets_thicker_or_thinner_up_to_dilation_and_erosion(smooth):
    found = changed(smooth, thickness=1.0 - 1e-6)
    for before, after in zip(smooth, found, strict=True):
        high, low = (
            change(np.pad(before, ((1, 1), (1, 1)), mode="edge"), (3, 3))[1:-1, 1:-1]
            for change in (ndimage.grey_dilation, ndimage.grey_erosion)
        )
        assert (after >= low).all()
        assert (after <= high).all()
        assert (after >= before).all() or (after <= before).all()
    sums = [
        int(after.sum()) - int(before.sum()) for before, after in zip(smooth, found, strict=True)
    ]
    assert min(sums) < 0 < max(sums)


def test_noise_differs_in_strength_and_has_the_most_that_is_asked_for():
    grey = [np.full((HEIGHT, 20 * STRIP), 127, np.uint8)] * 16
    found = np.stack([x / 255 for x in changed(grey, noise=0.1)])
    deviation = found.std(axis=(1, 2))
    assert deviation.max() < 0.103
    assert deviation.max() > 0.08
    assert deviation.min() < 0.02
    assert abs(found.mean() - 127 / 255) < 1e-3
    one, two = found[0].ravel(), found[1].ravel()
    assert abs(np.corrcoef(one, two)[0, 1]) < 0.1


def test_elastic_bending_has_its_strength_and_keeps_neighbours_together():
    ramp = np.broadcast_to(np.arange(160, dtype=np.uint8), (HEIGHT, 160))
    moved = np.stack(changed([ramp] * 16, elastic=2.0)).astype(float) - ramp
    inner = moved[:, :, 24:-24]
    assert inner.std() == pytest.approx(2.0, rel=0.15)
    steps = np.diff(inner, axis=2)
    assert steps.std() < 0.3 * inner.std()
