import jax
import numpy as np
import pytest

from crnn_jax.data.packing import pack

RNG = np.random.default_rng(0)
CASES = [
    (np.full(8, 5), 2),
    (np.arange(1, 17), 4),
    (RNG.integers(5, 61, 64), 1),
    (RNG.integers(5, 61, 64), 8),
    (np.array([1, 1, 1, 40]), 2),
    (np.array([3]), 1),
]


@pytest.mark.parametrize(("longest", "groups"), CASES)
def test_every_place_has_room_in_one_lane_of_one_group(longest, groups):
    packing = pack(longest, groups)
    assert sorted(packing.places_GxB.ravel()) == list(range(len(longest)))
    for places_B, lanes_NxP in zip(packing.places_GxB, packing.lanes_GxNxP, strict=True):
        assert sorted(lanes_NxP[lanes_NxP >= 0]) == list(range(len(places_B)))
        for lane_P in lanes_NxP:
            assert longest[places_B[lane_P[lane_P >= 0]]].sum() <= packing.steps


@pytest.mark.parametrize(("longest", "groups"), CASES)
def test_lanes_hold_each_sequence_from_its_start_to_its_end(longest, groups):
    packing, rng = pack(longest, groups), np.random.default_rng(1)
    for group, places_B in enumerate(packing.places_GxB):
        lengths_B = rng.integers(0, longest[places_B] + 1).astype(np.int32)  # 0: none is there
        lanes = packing.lanes(group, lengths_B)
        assert lanes.sequence_TxN.shape == (packing.steps, packing.lanes_GxNxP.shape[1])
        found = np.zeros_like(lanes.sequence_TxN)
        for b, length in enumerate(lengths_B):
            place = (slice(lanes.first_B[b], lanes.first_B[b] + length), lanes.lane_B[b])
            assert (lanes.sequence_TxN[place] == b).all()
            assert lanes.frame_TxN[place].tolist() == list(range(length))
            assert lanes.starts_TxN[place].tolist() == [i == 0 for i in range(length)]
            assert lanes.ends_TxN[place].tolist() == [i == length - 1 for i in range(length)]
            found[place] += 1
        np.testing.assert_array_equal(found, lanes.real_TxN)  # nothing else is there
        for name in ("starts_TxN", "ends_TxN"):
            assert getattr(lanes, name).sum() == (lengths_B > 0).sum()


def test_a_device_lays_out_what_the_host_does():
    packing = pack(np.arange(1, 17), 4)
    lengths_B = np.arange(1, 17, dtype=np.int32)[packing.places_GxB[2]]
    found = jax.jit(packing.lanes)(2, lengths_B)
    jax.tree.map(np.testing.assert_array_equal, found, packing.lanes(2, lengths_B))


def test_groups_have_about_as_many_frames():
    longest = np.sort(RNG.integers(5, 61, 64))
    frames_G = longest[pack(longest, 8).places_GxB].sum(axis=1)
    assert np.ptp(frames_G) < 0.1 * frames_G.mean()


def test_rows_are_the_sequences_in_order():
    packing = pack(np.arange(1, 17), 4)
    lengths_B = np.arange(1, 17, dtype=np.int32)[packing.places_GxB[1]]
    lanes = packing.lanes(1, lengths_B)
    x_TxN = 100 * lanes.sequence_TxN + lanes.frame_TxN
    expected = [
        [100 * b + min(t, length - 1) for t in range(16)] for b, length in enumerate(lengths_B)
    ]
    np.testing.assert_array_equal(lanes.rows(x_TxN, 16), expected)
