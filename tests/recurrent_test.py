from types import SimpleNamespace

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from crnn_jax.model.recurrent import GRU, GRUStep, RunningMean
from tests import networks
from tests.jaxprs import products

STEPS, LANES, INPUTS, HIDDEN = 7, 2, 3, 4


def run_gru(gru, features_TxNxD, starts_TxN):
    return gru(gru.project(features_TxNxD), SimpleNamespace(starts_TxN=starts_TxN))


def random_params(gru):
    """Random parameters of `gru`."""
    features, starts = jnp.zeros((1, 1, INPUTS)), jnp.ones((1, 1), bool)
    params = jax.eval_shape(
        lambda key: gru.init(key, features, starts, method=run_gru), jax.random.key(0)
    )
    return networks.random_params(params, seed=0, scale=0.5)


def random_features(steps=STEPS):
    return np.random.default_rng(1).normal(0, 1, (steps, LANES, INPUTS)).astype(np.float32)


def starts_at(*steps, length=STEPS):
    starts = np.zeros((length, LANES), bool)
    starts[list(steps)] = True
    return starts


def as_flax_cell(params):
    """The same weights as `nn.GRUCell` names them."""
    kernels = jnp.split(params["input"]["kernel"], 3, axis=1)
    biases = jnp.split(params["input"]["bias"], 3)
    step = params["step"]
    return {
        "params": {
            **{
                name: {"kernel": kernel, "bias": bias}
                for name, kernel, bias in zip(("ir", "iz", "in"), kernels, biases, strict=True)
            },
            "hr": {"kernel": step["reset_kernel"]},
            "hz": {"kernel": step["update_kernel"]},
            "hn": {"kernel": step["candidate_kernel"], "bias": step["candidate_bias"]},
        }
    }


def test_agrees_with_flax_gru_cell():
    gru, cell = GRU(HIDDEN, jnp.float32), nn.GRUCell(HIDDEN)
    features, starts = random_features(), starts_at(0)
    weights = np.random.default_rng(2).normal(0, 1, (STEPS, LANES, HIDDEN)).astype(np.float32)

    def ours(params, features):
        hidden = gru.apply(params, features, starts, method=run_gru)
        return jnp.sum(hidden * weights), hidden

    def flax(params, features):
        def step(carry, x):
            return cell.apply(as_flax_cell(params["params"]), carry, x)

        hidden = lax.scan(step, jnp.zeros((LANES, HIDDEN)), features)[1]
        return jnp.sum(hidden * weights), hidden

    @jax.jit
    def both(params, features):
        return [jax.grad(f, (0, 1), has_aux=True)(params, features) for f in (ours, flax)]

    found, expected = both(random_params(gru), features)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert np.any(a)
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def test_scan_is_a_loop_of_steps():
    gru, step = GRU(HIDDEN, jnp.float32), jax.jit(GRUStep(HIDDEN, jnp.float32).apply)
    params, starts = random_params(gru), starts_at(0)
    starts[4, 1] = True
    gates = random_features() @ params["params"]["input"]["kernel"]
    carry = np.full((LANES, HIDDEN), 9, np.float32)  # must be forgotten at the start
    lanes = SimpleNamespace(starts_TxN=starts)
    hidden = np.asarray(jax.jit(lambda params: gru.apply(params, gates, lanes))(params))
    for t in range(STEPS):
        inputs = (np.split(gates[t], 3, axis=-1), starts[t])
        carry, output = step({"params": params["params"]["step"]}, carry, inputs)
        np.testing.assert_array_equal(carry, output)
        np.testing.assert_allclose(hidden[t], output, rtol=1e-6, atol=1e-6)


def test_sequences_in_one_lane_are_the_same_as_apart():
    gru = GRU(HIDDEN, jnp.float32)
    params, features = random_params(gru), random_features()

    @jax.jit
    def run(features, starts):
        return gru.apply(params, features, starts, method=run_gru)

    together = run(features, starts_at(0, 3))
    np.testing.assert_array_equal(together[:3], run(features[:3], starts_at(0, length=3)))
    np.testing.assert_array_equal(together[3:], run(features[3:], starts_at(0, length=4)))
    assert np.all(together[3:] != run(features, starts_at(0))[3:])


def test_no_gradient_crosses_a_start():
    gru = GRU(HIDDEN, jnp.float32)
    params = random_params(gru)

    @jax.jit
    @jax.grad
    def gradient(features):
        return gru.apply(params, features, starts_at(0, 3), method=run_gru)[5].sum()

    found = np.asarray(gradient(random_features()))
    assert not found[:3].any()
    assert found[3:6].all()
    assert not found[6:].any()


def test_computes_in_its_dtype_with_float32_parameters():
    gru = GRU(HIDDEN, jnp.bfloat16)
    hidden, params = jax.eval_shape(
        lambda key: gru.init_with_output(key, random_features(), starts_at(0), method=run_gru),
        jax.random.key(0),
    )
    assert hidden.dtype == jnp.bfloat16
    assert {x.dtype for x in jax.tree.leaves(params)} == {np.dtype(np.float32)}
    carry, output = jax.eval_shape(
        GRUStep(HIDDEN, jnp.bfloat16).apply,
        {"params": params["params"]["step"]},
        jnp.zeros((LANES, HIDDEN)),
        ([jnp.zeros((LANES, HIDDEN), jnp.bfloat16)] * 3, np.zeros(LANES, bool)),
    )
    assert carry.dtype == output.dtype == jnp.float32

    def run(params):
        return gru.apply(params, random_features(), starts_at(0), method=run_gru)

    found = [[x.aval.dtype for x in product.invars] for product in products(run, params)]
    assert found == [[jnp.bfloat16, jnp.bfloat16]] * 2


@pytest.mark.parametrize("unroll", [2, 3, 16])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_unrolled_it_is_the_loop(unroll, dtype):
    features, starts = random_features(), starts_at(0, 2)
    starts[5, 1] = True
    weights = np.random.default_rng(2).normal(0, 1, (STEPS, LANES, HIDDEN)).astype(np.float32)

    def weighed(gru):
        @jax.jit
        def run(params, features):
            hidden = gru.apply(params, features, starts, method=run_gru)
            return jnp.sum(hidden * weights), hidden

        return jax.value_and_grad(run, (0, 1), has_aux=True)

    params = random_params(GRU(HIDDEN, dtype))
    expected = weighed(GRU(HIDDEN, dtype))(params, features)
    found = weighed(GRU(HIDDEN, dtype, unroll))(params, features)
    tolerance = 1e-5 if dtype == jnp.float32 else 3e-2
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert np.any(b)
        assert a.dtype == b.dtype
        np.testing.assert_allclose(
            np.float32(a), np.float32(b), rtol=tolerance, atol=tolerance * np.abs(b).max()
        )


def test_unrolling_changes_no_parameter():
    features, starts = random_features(), starts_at(0)
    once, often = (
        GRU(HIDDEN, jnp.float32, unroll).init(jax.random.key(0), features, starts, method=run_gru)
        for unroll in (1, 16)
    )
    jax.tree.map(np.testing.assert_array_equal, once, often)


def test_parameters_have_the_names_that_checkpoints_know():
    params = random_params(GRU(HIDDEN, jnp.float32))
    square = (HIDDEN, HIDDEN)
    assert jax.tree.map(lambda x: x.shape, params) == {
        "params": {
            "input": {"kernel": (INPUTS, 3 * HIDDEN), "bias": (3 * HIDDEN,)},
            "step": {
                "reset_kernel": square,
                "update_kernel": square,
                "candidate_kernel": square,
                "candidate_bias": (HIDDEN,),
            },
        }
    }


@jax.jit
def running_mean(features, starts):
    return RunningMean().apply({}, features, SimpleNamespace(starts_TxN=starts))


def test_running_mean_is_the_mean_since_the_last_start():
    features, starts = random_features(), starts_at(0)
    starts[4, 1] = starts[5, 1] = True
    found = running_mean(features, starts)
    for t, n in np.ndindex(STEPS, LANES):
        first = max(s for s in range(t + 1) if starts[s, n])
        expected = features[first : t + 1, n].mean(axis=0, dtype=np.float64)
        np.testing.assert_allclose(found[t, n], expected, rtol=1e-6, atol=1e-6)


def test_running_mean_of_sequences_in_one_lane_is_the_same_as_apart():
    features = random_features()
    together = running_mean(features, starts_at(0, 3))
    np.testing.assert_array_equal(together[:3], running_mean(features[:3], starts_at(0, length=3)))
    np.testing.assert_array_equal(together[3:], running_mean(features[3:], starts_at(0, length=4)))


def test_running_mean_shares_its_gradient_among_the_frames_since_the_start():
    @jax.jit
    @jax.grad
    def gradient(features):
        return running_mean(features, starts_at(0, 3))[5].sum()

    expected = np.zeros((STEPS, LANES, INPUTS))
    expected[3:6] = 1 / 3
    np.testing.assert_allclose(gradient(random_features()), expected, rtol=1e-6)


def test_running_mean_of_many_bfloat16_features_is_exact():
    """A count or a total in bfloat16 itself would stand still at 256."""
    found = running_mean(np.ones((600, LANES, INPUTS), jnp.bfloat16), starts_at(0, length=600))
    assert found.dtype == jnp.bfloat16
    assert (np.asarray(found) == 1).all()


def test_running_mean_has_no_parameters():
    lanes = SimpleNamespace(starts_TxN=starts_at(0))
    assert RunningMean().init(jax.random.key(0), random_features(), lanes) == {}
