"""A bidirectional layer over packed lanes is each sequence's own two GRUs."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from crnn_jax.data.lanes import lay_out, padded_lanes
from crnn_jax.model.bidirectional import BidirectionalGRU
from crnn_jax.model.recurrent import GRU
from tests import networks

INPUTS, HIDDEN = 3, 4
LENGTHS = np.array([2, 1, 3, 2, 1, 3])
LANES, ALONE = lay_out([[0, 1, 2], [3], [4, 5]], LENGTHS), padded_lanes(LENGTHS)
"""Of 6, 2 and 4 frames: two lanes end in frames that are not real."""

REAL = np.nonzero(LANES.real_TxN)
OF = LANES.sequence_TxN[REAL]


def run(layer, features_TxNxD, lanes):
    return layer(layer.project(features_TxNxD), lanes)


def random_features():
    shape = (*LANES.starts_TxN.shape, INPUTS)
    return np.random.default_rng(1).normal(0, 1, shape).astype(np.float32)


@pytest.fixture(scope="module")
def params():
    layer = BidirectionalGRU(HIDDEN, jnp.float32)
    shapes = jax.eval_shape(
        lambda key: layer.init(key, random_features(), LANES, method=run), jax.random.key(0)
    )
    return networks.random_params(shapes, seed=0, scale=0.5)


def in_lanes(params, features, *, whole, unroll=1):
    layer = BidirectionalGRU(HIDDEN, jnp.float32, unroll, whole)
    return layer.apply(params, features, LANES, method=run)


def alone(params, features, *, whole):
    """The same by two GRUs, each sequence in a lane of its own, for one of them in reverse."""
    kernels = jnp.split(params["params"]["input"]["kernel"], 2, axis=1)
    biases = jnp.split(params["params"]["input"]["bias"], 2)
    starts_LxB = ALONE.starts_TxN

    def direction(number, name, from_TxN):
        """States at `from_TxN`, the place of each frame in its sequence as it is run over."""
        frames = jnp.zeros((*starts_LxB.shape, INPUTS)).at[from_TxN[REAL], OF].set(features[REAL])
        gates = frames @ kernels[number] + biases[number][None, None]
        gru = GRU(HIDDEN, jnp.float32)
        hidden = gru.apply({"params": params["params"][name]}, gates, starts_LxB, method="run")
        return hidden[LENGTHS[OF] - 1 if whole and number else from_TxN[REAL], OF]

    places, of_end = LANES.frame_TxN, LENGTHS[LANES.sequence_TxN] - 1 - LANES.frame_TxN
    states = [direction(0, "forward", places), direction(1, "backward", of_end)]
    found = jnp.zeros((*LANES.starts_TxN.shape, 2 * HIDDEN))
    return found.at[REAL].set(jnp.concatenate(states, axis=-1))


@functools.cache
def weights():
    """Weights of the states, 0 where there is no frame."""
    shape = (*LANES.starts_TxN.shape, 2 * HIDDEN)
    return np.random.default_rng(2).normal(0, 1, shape) * LANES.real_TxN[..., None]


def value_and_gradients(function, params):
    def weighed(params, features):
        hidden = function(params, features) * LANES.real_TxN[..., None]
        return jnp.sum(hidden * weights()), hidden

    return jax.jit(jax.value_and_grad(weighed, (0, 1), has_aux=True))(params, random_features())


@pytest.mark.parametrize(("whole", "unroll"), [(False, 1), (True, 1), (True, 16)])
def test_sequences_in_lanes_are_the_same_as_alone(whole, unroll, params):
    found = value_and_gradients(functools.partial(in_lanes, whole=whole, unroll=unroll), params)
    expected = value_and_gradients(functools.partial(alone, whole=whole), params)
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert np.any(b)
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("whole", [False, True])
def test_a_frame_s_state_depends_on_all_of_its_sequence_and_on_nothing_else(whole, params):
    @jax.jit
    @jax.vmap
    def gradient(weights_TxNx1):
        return jax.grad(
            lambda features: jnp.sum(in_lanes(params, features, whole=whole) * weights_TxNx1)
        )(random_features())

    frames = np.argwhere(LANES.real_TxN)
    asked = np.zeros((len(frames), *LANES.starts_TxN.shape, 1), np.float32)
    asked[np.arange(len(frames)), frames[:, 0], frames[:, 1]] = 1
    found = np.asarray(gradient(asked)).any(axis=-1)
    for i, (t, n) in enumerate(frames):
        own = LANES.sequence_TxN == LANES.sequence_TxN[t, n]
        np.testing.assert_array_equal(found[i], own)
