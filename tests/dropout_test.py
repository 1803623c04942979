import jax
import jax.numpy as jnp
import numpy as np

from crnn_jax.model.dropout import fold_lanes, lane_dropout

HIDDEN = np.random.default_rng(0).normal(1, 0.1, (20, 10, 100)).astype(np.float32)
RATE = 0.3


@jax.jit
def dropped(lanes):
    """Dropout of some lanes of `HIDDEN`."""
    keys = jax.random.split(jax.random.key(0), 10)
    return lane_dropout(jnp.asarray(HIDDEN)[:, lanes], keys[lanes], RATE)


def test_drops_its_share_and_scales_the_rest():
    found = np.asarray(dropped(np.arange(10)))
    kept = found != 0
    np.testing.assert_allclose(found[kept], HIDDEN[kept] / (1 - RATE), rtol=1e-6)
    assert abs(found.mean() - HIDDEN.mean()) < 0.02
    assert abs(kept.mean() - (1 - RATE)) < 0.01
    for axes in [(1, 2), (0, 2), (0, 1)]:  # at every step, in every lane, of every unit
        assert (np.abs(kept.mean(axis=axes) - (1 - RATE)) < 0.15).all()


def test_drops_the_same_however_lanes_are_split():
    whole = np.asarray(dropped(np.arange(10)))
    np.testing.assert_array_equal(dropped(np.array([3, 4, 5])), whole[:, 3:6])
    lanes = (whole != 0).swapaxes(0, 1).reshape(10, -1)
    assert len(np.unique(lanes, axis=0)) == 10


def test_a_rate_of_0_draws_nothing():
    assert lane_dropout(HIDDEN, None, 0.0) is HIDDEN


def test_folded_keys_are_others_for_every_number_and_the_same_in_any_split():
    keys = jax.random.split(jax.random.key(0), 4)
    folded = [fold_lanes(keys, number) for number in range(3)]
    found = np.concatenate([jax.random.key_data(x) for x in (keys, *folded)])
    assert len(np.unique(found, axis=0)) == len(found) == 16
    part = jax.random.key_data(fold_lanes(keys[1:3], 2))
    np.testing.assert_array_equal(part, jax.random.key_data(folded[2])[1:3])
