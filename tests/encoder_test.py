import re

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from crnn_jax.model.encoder import ACTIVATIONS, INITIALIZERS, FramesEncoder

CONVS = ((4, 3, True), (5, 2, False))


def random_frames(count):
    return np.random.default_rng(0).integers(0, 256, (count, 9, 10, 1), dtype=np.uint8)


def random_params(encoder):
    """Parameters of `encoder`, its biases random too."""
    params = jax.eval_shape(encoder.init, jax.random.key(0), random_frames(1))
    rng = np.random.default_rng(1)
    return jax.tree.map(lambda x: rng.normal(0, 0.3, x.shape).astype(x.dtype), params)


def layers(params, frames, activation, dense):
    """The network as one would write it with Flax's own layers, pooling after the activation."""
    x = frames.astype(jnp.float32) / 255
    for i, (features, size, pool) in enumerate(CONVS):
        conv = {"kernel": params[f"conv{i}_kernel"], "bias": params[f"conv{i}_bias"]}
        x = activation(nn.Conv(features, (size, size), padding="VALID").apply({"params": conv}, x))
        if pool:
            x = nn.max_pool(x, (2, 2), (2, 2))
    x = x.reshape(len(x), -1)
    return activation(nn.Dense(dense).apply({"params": params["dense"]}, x)) if dense else x


@pytest.mark.parametrize(("activation", "dense"), [("relu", 6), ("tanh", 0)])
def test_agrees_with_flax_layers(activation, dense):
    encoder = FramesEncoder(CONVS, dense, activation, jnp.float32)
    params, frames = random_params(encoder), random_frames(3)

    @jax.jit
    def run(params):
        plain = layers(params["params"], frames, ACTIVATIONS[activation], dense)
        return encoder.apply(params, frames), plain

    found, expected = run(params)
    assert found.shape == (3, dense or 3 * 2 * 5)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_parameters_have_the_names_that_checkpoints_know():
    encoder = FramesEncoder(CONVS, 6, "relu", jnp.float32)
    shapes = jax.eval_shape(encoder.init, jax.random.key(0), random_frames(1))
    assert jax.tree.map(lambda x: x.shape, shapes) == {
        "params": {
            "conv0_kernel": (3, 3, 1, 4),
            "conv0_bias": (4,),
            "conv1_kernel": (2, 2, 4, 5),
            "conv1_bias": (5,),
            "dense": {"kernel": (30, 6), "bias": (6,)},
        }
    }


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_all_kernels_start_as_suits_the_activation_and_biases_at_zero(activation, monkeypatch):
    monkeypatch.setitem(INITIALIZERS, activation, lambda: nn.initializers.constant(0.5))
    encoder = FramesEncoder(CONVS, 6, activation, jnp.float32)
    params = jax.jit(encoder.init)(jax.random.key(0), random_frames(1))["params"]
    for kernel in (params["conv0_kernel"], params["conv1_kernel"], params["dense"]["kernel"]):
        assert (np.asarray(kernel) == 0.5).all()
    for bias in (params["conv0_bias"], params["conv1_bias"], params["dense"]["bias"]):
        assert not np.asarray(bias).any()


def test_each_frame_is_encoded_by_itself():
    encoder = FramesEncoder(CONVS, 6, "relu", jnp.float32)
    params, frames = random_params(encoder), random_frames(3)
    apply = jax.jit(encoder.apply)
    other = frames.copy()
    other[1:] = 255 - other[1:]
    found, changed = np.asarray(apply(params, frames)), np.asarray(apply(params, other))
    np.testing.assert_array_equal(found[0], changed[0])
    assert (found[1:] != changed[1:]).any(axis=1).all()


def test_computes_in_its_dtype_with_float32_parameters():
    encoder = FramesEncoder(CONVS, 6, "relu", jnp.bfloat16)
    features, params = jax.eval_shape(encoder.init_with_output, jax.random.key(0), random_frames(2))
    assert features.dtype == jnp.bfloat16
    assert {x.dtype for x in jax.tree.leaves(params)} == {np.dtype(np.float32)}
    jaxpr = str(jax.make_jaxpr(encoder.apply)(params, random_frames(2)))
    assert set(re.findall(r"(\w+)\[[\d,]*\] = dot_general", jaxpr)) == {"bf16"}
