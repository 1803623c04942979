import numpy as np
import pytest

from crnn_jax.data.epochs import Epochs, once
from crnn_jax.data.packing import pack

LENGTHS = np.random.default_rng(0).integers(5, 61, 300).astype(np.int32)


@pytest.mark.parametrize("batch", [1, 7, 64, 300])
def test_no_sequence_comes_twice_in_an_epoch_and_few_are_left_out(batch):
    epochs = Epochs(LENGTHS, batch, seed=3)
    assert epochs.steps == 300 // batch
    for epoch in range(3):
        first = epoch * epochs.steps
        drawn = np.concatenate([epochs.sequences(first + s) for s in range(epochs.steps)])
        assert len(drawn) == batch * epochs.steps
        assert len(np.unique(drawn)) == len(drawn)


def test_every_sequence_comes_in_some_epoch():
    epochs = Epochs(LENGTHS, 64, seed=3)
    drawn = np.concatenate([epochs.sequences(step) for step in range(20 * epochs.steps)])
    assert len(np.unique(drawn)) == 300


def test_the_order_is_a_function_of_seed_and_step_alone():
    epochs = Epochs(LENGTHS, 64, seed=3)
    there_and_back = [epochs.sequences(step).tolist() for step in (0, 9, 1, 40, 0)]
    assert there_and_back[0] == there_and_back[-1]
    fresh = Epochs(LENGTHS, 64, seed=3)
    assert fresh.sequences(40).tolist() == there_and_back[3]
    assert Epochs(LENGTHS, 64, seed=4).sequences(0).tolist() != there_and_back[0]
    assert epochs.sequences(0).tolist() != epochs.sequences(epochs.steps).tolist()
    # Renew it when the order is changed on purpose: runs in progress would go on otherwise.
    assert epochs.sequences(9)[:5].tolist() == [44, 158, 119, 293, 235]


@pytest.mark.parametrize("batch", [8, 64])
def test_a_place_has_room_for_all_that_stand_in_it(batch):
    epochs = Epochs(LENGTHS, batch, seed=0)
    for step in range(3 * epochs.steps):
        assert (LENGTHS[epochs.sequences(step)] <= epochs.longest_B).all()


def test_sequences_of_one_length_meet_in_other_company_each_epoch():
    epochs = Epochs(np.full(64, 8, np.int32), 8, seed=0)
    companies = {frozenset(epochs.sequences(step).tolist()) for step in range(80)}
    assert len(companies) > 75


@pytest.mark.parametrize(("batch", "groups"), [(64, 1), (64, 4), (64, 8), (32, 2), (256, 8)])
def test_lanes_are_at_least_92_percent_full_of_lengths_from_5_to_60(batch, groups):
    epochs = Epochs(LENGTHS, batch, seed=0)
    packing = pack(epochs.longest_B, groups)
    frames = [LENGTHS[epochs.sequences(step)].sum() for step in range(epochs.steps)]
    assert np.mean(frames) / (packing.steps * packing.lanes_GxNxP[..., 0].size) >= 0.92


@pytest.mark.parametrize("batch", [1, 7, 64, 300])
def test_once_takes_each_sequence_once(batch):
    batches, longest_B = once(LENGTHS, batch)
    assert sorted(batches[batches >= 0]) == list(range(300))
    assert batches.shape == (-(-300 // batch), batch)
    assert (np.where(batches >= 0, LENGTHS[batches], 0) <= longest_B).all()
