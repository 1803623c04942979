"""Rows of images: where their ink stands, that none is lost, and that lines keep to themselves."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from crnn_jax.data import rows
from crnn_jax.data.draw import Draw
from crnn_jax.data.lanes import padded_lanes
from crnn_jax.data.rows import GAP, GAPS, HEIGHT, JITTER, MARGINS, STRIP, Rows

SHORTEST, LONGEST = 1, 6
LINES = 12
LANES = Draw(0, SHORTEST, LONGEST, 1).lanes(LINES)
KEYS = jax.random.split(jax.random.key(0), LINES)
SIZE = 28
TOP = (HEIGHT - SIZE) // 2


def blocks(width_TxN, first_TxN=None, low=0, size=SIZE):
    """Images of as many channels as a line has images: that of image l shows a block of ink."""
    shape = LANES.sequence_TxN.shape
    width_TxN = np.broadcast_to(width_TxN, shape)
    first_TxN = (size - width_TxN) // 2 if first_TxN is None else first_TxN
    column = np.arange(size)[None, None]
    ink_TxNxW = (column >= first_TxN[..., None]) & (column < (first_TxN + width_TxN)[..., None])
    images = np.zeros((*shape, size, size, LONGEST), np.uint8)
    for t, n in np.ndindex(*shape):
        images[t, n, low:, :, LANES.frame_TxN[t, n]] = 200 * ink_TxNxW[t, n]
    return images


def compiled(composition, lanes=LANES):
    """What writes images with labels and keys."""
    run = jax.jit(lambda images, labels, keys: composition.render(images, labels, lanes, keys))
    return lambda *drawn: jax.tree.map(np.asarray, run(*drawn))


def render(composition, images, labels=None):
    labels = np.zeros(images.shape[:2], np.int32) if labels is None else labels
    return compiled(composition)(images, labels, KEYS)


def line(frames, lanes, b):
    """The picture of line b, HxWxC."""
    first, length = lanes.first_B[b], lanes.length_B[b]
    strips = frames[first : first + length, lanes.lane_B[b]]
    return strips.transpose(1, 0, 2, 3).reshape(HEIGHT, -1, strips.shape[-1])


def ink_columns(picture):
    """The first column and the one behind the last of each image of a line."""
    inked = [np.flatnonzero(picture[..., c].any(axis=0)) for c in range(picture.shape[-1])]
    return np.array([(x[0], x[-1] + 1) for x in inked if len(x)])


@pytest.fixture(scope="module")
def wide():
    """Many lines of blocks so wide that no gap is changed: widths, frames and lanes."""
    rng = np.random.default_rng(0)
    shape = LANES.sequence_TxN.shape
    width_TxN = rng.integers(9, 21, shape)
    images = blocks(width_TxN, rng.integers(0, SIZE - 20, shape))
    write, found = compiled(Rows()), []
    for seed in range(20):
        keys = jax.random.split(jax.random.key(seed), LINES)
        frames, _, lanes = write(images, np.zeros(shape, np.int32), keys)
        found += [ink_columns(line(frames, lanes, b)) for b in range(LINES)]
    return width_TxN, found, frames, lanes


def test_the_ink_of_each_image_stands_as_wide_as_it_is_in_the_order_of_the_images(wide):
    width_TxN, found, _, _ = wide
    for i, columns in enumerate(found):
        b = i % LINES
        images = LANES.first_B[b] + np.arange(LANES.length_B[b])
        np.testing.assert_array_equal(np.diff(columns)[:, 0], width_TxN[images, LANES.lane_B[b]])


def test_gaps_take_all_values_and_no_others(wide):
    _, found, _, _ = wide
    gaps = np.concatenate([columns[1:, 0] - columns[:-1, 1] for columns in found])
    assert set(gaps.tolist()) == set(range(GAPS[0], GAPS[1] + 1))
    assert abs(gaps.mean() - sum(GAPS) / 2) < 1


def test_a_line_has_margins_and_is_of_whole_strips(wide):
    _, found, _, lanes = wide
    for columns, length in zip(found[-LINES:], lanes.length_B, strict=True):
        assert MARGINS[0] <= columns.min() <= MARGINS[1]
        assert MARGINS[0] <= STRIP * length - columns.max() <= MARGINS[1] + STRIP - 1


def test_there_is_nothing_outside_of_lines_and_a_gap_between_them(wide):
    _, _, frames, lanes = wide
    assert not frames[lanes.sequence_TxN < 0].any()
    for lane in lanes.sequence_TxN.T:
        starts = np.flatnonzero(np.diff(lane, prepend=-1) > 0)
        assert lanes.starts_TxN[starts].any(axis=1).all()
        assert all(GAP == 1 and lane[t - 1] == -1 for t in starts if t)
    for b in range(LINES):
        assert (lanes.sequence_TxN == b).sum() == lanes.length_B[b]


def test_images_stand_a_little_higher_or_lower():
    tops = set()
    frames, _, lanes = render(Rows(), blocks(10, low=20))
    for b in range(LINES):
        picture = line(frames, lanes, b)
        for c in range(LANES.length_B[b]):
            tops.add(int(np.argmax(picture[..., c].any(axis=1))) - TOP - 20)
    assert tops == set(range(-JITTER, JITTER + 1))


def test_a_line_in_a_lane_is_that_line_alone(digits):
    """So it depends on its images and its key alone, whatever stands beside it."""
    rng = np.random.default_rng(1)
    shape = LANES.sequence_TxN.shape
    images = digits[rng.integers(0, len(digits), shape)][..., None]
    labels = rng.integers(0, 10, shape)
    frames, labels_BxL, lanes = render(Rows(), images, labels)
    tight, _, tight_lanes = render(Rows(True), images, labels)
    for b in range(LINES):  # all of which fit
        np.testing.assert_array_equal(line(tight, tight_lanes, b), line(frames, lanes, b))
    for b in (1, 11):
        length = LANES.length_B[b]
        at = slice(LANES.first_B[b], LANES.first_B[b] + length), slice(LANES.lane_B[b], None)
        alone = padded_lanes(np.array([length]))
        mine = images[at][:, :1], labels[at][:, :1], KEYS[b : b + 1]
        expected, right, of_one = compiled(Rows(), alone)(*mine)
        np.testing.assert_array_equal(labels_BxL[b, :length], right[0])
        assert (labels_BxL[b, length:] == -1).all()
        np.testing.assert_array_equal(line(frames, lanes, b), line(expected, of_one, 0))


def test_where_images_overlap_the_brighter_one_is_seen():
    images = np.zeros((2, SIZE, SIZE, 1), np.uint8)
    images[0, :, 5:10], images[1, :, 5:10] = 100, 50
    images[1, 0, 5:10] = 200
    nothing = jnp.zeros(2, jnp.int32)
    found = np.asarray(rows.stamp(images, nothing, nothing, nothing, (1, 4)))
    picture = found[:, 0].transpose(1, 0, 2, 3).reshape(HEIGHT, -1)
    np.testing.assert_array_equal(picture[TOP : TOP + SIZE, :16], images.max(axis=0)[:, :16, 0])
    assert not picture[:TOP].any() and not picture[TOP + SIZE :].any()


def test_symbols_keep_their_order_however_narrow_they_are():
    rng = np.random.default_rng(2)
    width_BxL, gap_BxL = rng.integers(0, 29, (200, 9)), rng.integers(*GAPS, (200, 9))
    middle_BxL = np.asarray(rows.middles(jnp.asarray(width_BxL), jnp.asarray(gap_BxL)))
    apart_BxL = np.diff(middle_BxL)
    assert (middle_BxL[:, 0] == 0).all() and apart_BxL.min() == 1
    as_drawn = (width_BxL[:, 1:] + width_BxL[:, :-1]) / 2 + gap_BxL[:, 1:]
    np.testing.assert_array_equal(apart_BxL, np.maximum(as_drawn, 1))


def test_the_longest_lines_just_fit(monkeypatch):
    monkeypatch.setattr(rows, "GAPS", (9, 9))
    monkeypatch.setattr(rows, "MARGINS", (8, 8))
    _, _, lanes = render(Rows(), blocks(SIZE))
    longest = [Rows().steps(n, (SIZE, SIZE, 1)) for n in LANES.length_B.tolist()]
    np.testing.assert_array_equal(lanes.length_B, longest)
    ends = lanes.first_B + lanes.length_B
    assert ends.max() == len(lanes.sequence_TxN)


def test_in_tight_lanes_symbols_move_closer_together_where_they_do_not_fit():
    images, shape = blocks(SIZE), (SIZE, SIZE, 1)
    assert Rows(True).lane_steps(LANES, shape) < Rows().lane_steps(LANES, shape) * 0.8
    frames, _, lanes = render(Rows(True), images)
    assert (lanes.first_B + lanes.length_B).max() <= len(frames)
    for b in range(LINES):
        columns = ink_columns(line(frames, lanes, b))
        assert len(columns) == LANES.length_B[b]
        assert (np.diff(columns) == SIZE).all()  # nothing is cut off
        assert (np.diff(columns[:, 0]) > 0).all()
    _, _, loose = render(Rows(), images)
    assert (lanes.length_B <= loose.length_B).all()
    assert (lanes.length_B < loose.length_B).any()


@pytest.mark.parametrize("tight", [False, True])
@pytest.mark.parametrize("width", [0, 1])
def test_there_are_columns_enough_to_write_the_labels_however_little_ink_there_is(tight, width):
    labels = np.ones(LANES.sequence_TxN.shape, np.int32)  # all the same: most columns are needed
    images = blocks(width, size=2)
    frames, labels_BxL, lanes = render(Rows(tight), images, labels)
    assert (lanes.length_B >= 2 * LANES.length_B - 1).all()
    assert ((labels_BxL >= 0).sum(axis=1) == LANES.length_B).all()
    assert (lanes.first_B + lanes.length_B).max() <= len(frames)
    assert frames.any() == bool(width)
