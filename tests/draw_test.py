import dataclasses
from collections import Counter

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from crnn_jax.config import default
from crnn_jax.data.augment import augment
from crnn_jax.data.augment_lines import augment_lines
from crnn_jax.data.clips import Clips
from crnn_jax.data.draw import AUGMENTATION, DROPOUT, IMAGES, Draw, Once, TwoNumbers
from crnn_jax.data.lanes import lay_out, padded_lanes
from crnn_jax.data.rows import Rows
from crnn_jax.model.dropout import lane_dropout

AUGMENT = default().data.augment
AUGMENT.update(shift=1.0, turn=0.1, scale=0.1, elastic=0.5)
LINE = default().data.augment
LINE.update(AUGMENT, slant=0.3, thickness=0.5, noise=0.1)
DRAW = Draw(seed=3, min_length=2, max_length=5, images=10)
IMAGE_INDICES = jax.jit(DRAW.image_indices)
SEQUENCES = np.arange(5000)
RANGES = [(1, 8), (1, 1), (4, 4), (1, 2), (1, 3), (2, 6), (3, 8), (5, 15), (10, 11)]


def check(lanes, lengths):
    """Every frame of every sequence stands in one place, in order, in one lane."""
    places = {}
    for t, n in zip(*np.nonzero(lanes.real_TxN), strict=True):
        place = (int(lanes.sequence_TxN[t, n]), int(lanes.frame_TxN[t, n]))
        assert place not in places
        places[place] = (t, n)
    assert set(places) == {(i, k) for i, length in enumerate(lengths) for k in range(length)}
    for (i, k), (t, n) in places.items():
        first_t, first_n = places[i, 0]
        assert (t, n) == (first_t + k, first_n)
        assert lanes.starts_TxN[t, n] == (k == 0)
        assert lanes.ends_TxN[t, n] == (k == lengths[i] - 1)
    nowhere = ~lanes.real_TxN
    for array in (lanes.frame_TxN, lanes.starts_TxN, lanes.ends_TxN):
        assert not array[nowhere].any()
    last = [places[i, length - 1] for i, length in enumerate(lengths)]
    np.testing.assert_array_equal(np.transpose(lanes.last_frames), last)


@pytest.mark.parametrize(("min_length", "max_length"), RANGES)
@pytest.mark.parametrize("periods", [1, 3])
def test_packed_lanes_hold_every_frame_once_and_nothing_else(min_length, max_length, periods):
    draw = Draw(0, min_length, max_length, 1)
    sequences = periods * draw.period
    lengths, lanes = draw.lengths(sequences), draw.lanes(sequences)
    values, counts = np.unique(lengths, return_counts=True)
    np.testing.assert_array_equal(values, np.arange(min_length, max_length + 1))
    assert len(set(counts)) == 1
    assert lanes.real_TxN.all()
    check(lanes, lengths)


@pytest.mark.parametrize("digits", [1, 2, 5])
def test_two_numbers_and_a_blank_are_packed_too_each_pair_of_lengths_equally_often(digits):
    draw = TwoNumbers(0, 3, 2 * digits + 1, images=7)
    lengths, lanes = draw.lengths(2 * draw.period), draw.lanes(2 * draw.period)
    assert lanes.real_TxN.all()
    check(lanes, lengths)
    indices_BxL = np.asarray(draw.image_indices(3, np.arange(len(lengths))))
    found = [
        (np.flatnonzero(row[:length] == 7).tolist(), length)
        for row, length in zip(indices_BxL, lengths, strict=True)
    ]
    counts = Counter((blank, length - 1 - blank) for (blank,), length in found)
    of_each = 2 * draw.period // digits**2
    assert counts == {(a + 1, b + 1): of_each for a, b in np.ndindex(digits, digits)}
    assert set(indices_BxL.ravel().tolist()) <= set(range(8))


def test_dealt_out_once_each_image_stands_in_one_sequence():
    draw = Once.of(Draw(seed=3, min_length=4, max_length=4, images=22))
    rows = [tuple(row) for row in draw.table.tolist()]
    assert len(rows) == 5
    assert len(set(sum(rows, ()))) == 20  # two are left over
    drawn = [
        [tuple(row) for row in np.asarray(draw.image_indices(step, np.arange(40))).tolist()]
        for step in (0, 1)
    ]
    assert set(drawn[0]) == set(drawn[1]) == set(rows)
    assert drawn[0] != drawn[1]
    np.testing.assert_array_equal(Once.of(draw).table, draw.table)
    assert not np.array_equal(dataclasses.replace(draw, seed=4).table, draw.table)


@pytest.mark.parametrize("lengths", [[3], [1, 4, 2, 4], [2, 2]])
def test_padded_lanes_hold_one_sequence_each(lengths):
    lanes = padded_lanes(np.array(lengths))
    assert lanes.sequence_TxN.shape == (max(lengths), len(lengths))
    np.testing.assert_array_equal(lanes.sequence_TxN[0], np.arange(len(lengths)))
    check(lanes, lengths)


def test_lay_out_keeps_the_order_that_it_is_given():
    lanes = lay_out([[2, 0], [1]], np.array([2, 3, 2]))
    np.testing.assert_array_equal(lanes.sequence_TxN, [[2, 1], [2, 1], [0, 1], [0, -1]])
    np.testing.assert_array_equal(lanes.frame_TxN, [[0, 0], [1, 1], [0, 2], [1, 0]])
    check(lanes, [2, 3, 2])


@pytest.mark.parametrize(("min_length", "max_length"), RANGES)
def test_micro_batches_are_laid_out_like_the_whole_batch(min_length, max_length):
    draw = Draw(0, min_length, max_length, 1)
    whole, part = draw.lanes(4 * draw.period), draw.lanes(draw.period)
    firsts = draw.period * np.arange(4)
    for name in ("sequence_TxN", "frame_TxN", "starts_TxN", "ends_TxN"):
        expected = np.split(getattr(whole, name), 4, axis=1)
        for first, array in zip(firsts, expected, strict=True):
            found = getattr(part, name) + (first if name == "sequence_TxN" else 0)
            np.testing.assert_array_equal(found, array)


@pytest.mark.parametrize("sequences", [3, 6])
def test_packed_lanes_need_whole_periods(sequences):
    assert DRAW.period == 4
    with pytest.raises(AssertionError):
        DRAW.lanes(sequences)


def test_a_sequence_is_the_same_whichever_others_are_asked_for():
    whole = np.asarray(IMAGE_INDICES(7, SEQUENCES))
    assert whole.shape == (5000, 5)
    assert whole.dtype == np.int32
    for part in ([3, 4, 5], [4711, 0, 5]):
        np.testing.assert_array_equal(IMAGE_INDICES(7, np.array(part)), whole[part])


def test_each_seed_step_sequence_and_purpose_has_a_key_of_its_own():
    @jax.jit
    def keys(*numbers):
        draws = [dataclasses.replace(DRAW, seed=seed) for seed in (0, 1)]
        return [jax.random.key_data(jax.vmap(draw.key)(*numbers)) for draw in draws]

    numbers = np.meshgrid(range(4), range(5), [IMAGES, DROPOUT, AUGMENTATION])
    found = np.concatenate(keys(*(x.reshape(-1) for x in numbers)))
    assert len(np.unique(found, axis=0)) == 2 * 4 * 5 * 3


def test_images_are_drawn_uniformly_and_independently():
    drawn, next_step = (np.asarray(IMAGE_INDICES(step, SEQUENCES)) for step in (0, 1))

    def chi_square(counts):
        expected = counts.sum() / counts.size
        return np.sum((counts - expected) ** 2) / expected

    for column in drawn.T:  # at each place in the sequence: 9 degrees of freedom
        assert chi_square(np.bincount(column, minlength=10)) < 27.9  # p = .001
    first = drawn[:, 0]
    for a, b in [(first, drawn[:, 1]), (first[1:], first[:-1]), (first, next_step[:, 0])]:
        # A frame, a sequence, a step, each with the next: 99 degrees of freedom.
        assert chi_square(np.bincount(10 * a + b, minlength=100)) < 148.3  # p = .001


@jax.jit
def changed_row(key):
    """A row of two images, changed as a line; and where it stands."""
    lanes = padded_lanes(np.array([2]))
    images = np.full((2, 1, 28, 28, 1), 100, np.uint8)
    frames, _, lanes = Rows().render(images, jnp.zeros((2, 1), jnp.int32), lanes, key[None])
    return augment_lines(frames, lanes, key[None], LINE), lanes.sequence_TxN


def test_64_bit_numbers_draw_the_same():
    """JAX_ENABLE_X64 must not change what is trained or tested on."""
    key = jax.random.key(0)
    image = np.full((1, 1, 28, 28, 1), 100, np.uint8)

    @jax.jit
    def drawn(key, image):
        rows = DRAW.image_indices(3, jnp.arange(6, dtype=jnp.int32))
        kept = lane_dropout(jnp.ones((5, 2, 7), jnp.float32), jax.random.split(key, 2), 0.4)
        labels, lanes = jnp.zeros((1, 1), jnp.int32), padded_lanes(np.array([1]))
        frames, captions, _ = Clips().render(image, labels, lanes, key[None])
        changed = augment(image[0], key[None], AUGMENT)
        line, places = changed_row(key)
        return rows, kept != 0, captions, places, frames, changed, line

    expected = jax.device_get(drawn(key, image))
    with jax.enable_x64(True):
        found = jax.device_get(drawn(key, image))
    for a, b in zip(found[:4], expected[:4], strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(found[4:], expected[4:], strict=True):  # rounding may differ, draws may not
        assert np.abs(a.astype(int) - b).max() <= 1
