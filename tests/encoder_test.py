import itertools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from crnn_jax.model import encoder as encoder_module
from crnn_jax.model.dropout import lane_dropout
from crnn_jax.model.encoder import ACTIVATIONS, INITIALIZERS, Encoder
from tests import networks
from tests.jaxprs import equations, products

CONVS = ((4, 3, True), (5, 2, False))


def random_frames(steps, lanes):
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (steps, lanes, 9, 10, 1), dtype=np.uint8)


def build(dense=(6,), *, convs=CONVS, activation="relu", dropout=0.0, dtype=jnp.float32):
    return Encoder(convs, dense, activation, dropout, dtype)


def random_params(encoder):
    """Random parameters of `encoder`."""
    params = jax.eval_shape(encoder.init, jax.random.key(0), random_frames(1, 1))
    return networks.random_params(params)


def layers(params, frames, encoder):
    """The network as one would write it with Flax's own layers, pooling after the activation."""
    activation = ACTIVATIONS[encoder.activation]
    x = frames.astype(jnp.float32) / 255
    for i, (features, size, pool, *same) in enumerate(encoder.convs):
        kernel, bias = (params["convs"][f"conv{i}_{name}"] for name in ("kernel", "bias"))
        conv = nn.Conv(features, (size, size), padding="SAME" if same else "VALID")
        x = activation(conv.apply({"params": {"kernel": kernel, "bias": bias}}, x))
        if pool:
            x = nn.max_pool(x, (2, 2), (2, 2))
    x = x.reshape(len(x), -1)
    for i, features in enumerate(encoder.dense):
        x = activation(nn.Dense(features).apply({"params": params[f"dense{i}"]}, x))
    return x


@pytest.mark.parametrize("backend", ["cpu", "gpu"])
@pytest.mark.parametrize(
    ("encoder", "features"),
    [
        (build((6, 7)), 7),
        (build((), activation="tanh"), 3 * 2 * 5),
        (build((6,), activation="sigmoid", convs=()), 6),
        (build((), activation="sigmoid", convs=((4, 2, False, "same"), (5, 5, True, "same"))), 100),
        (build((), convs=((4, 4, True, "same"), (5, 3, False))), 2 * 3 * 5),
        (build((), convs=((48, 2, False, "same"), (5, 3, True, "same"))), 4 * 5 * 5),
    ],
    ids=["two dense", "tanh", "no convolution", "same", "same and valid", "many channels"],
)
def test_agrees_with_flax_layers(encoder, features, backend, monkeypatch):
    params, frames = random_params(encoder), random_frames(3, 2)
    monkeypatch.setattr(jax, "default_backend", lambda: backend)

    def plain(params):
        flat = layers(params["params"], frames.reshape(6, 9, 10, 1), encoder)
        return flat.reshape(3, 2, -1)

    @jax.jit
    def run(params):
        found, pull = jax.vjp(lambda params: encoder.apply(params, frames), params)
        expected, plain_pull = jax.vjp(plain, params)
        numbers = np.random.default_rng(2).normal(size=found.shape).astype(np.float32)
        return found, expected, pull(numbers), plain_pull(numbers)

    found, expected, gradient, plain_gradient = run(params)
    assert found.shape == (3, 2, features)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5),
        gradient,
        plain_gradient,
    )


@pytest.mark.parametrize(("frames", "chunks"), [(12, 0), (13, 2), (24, 2), (29, 3)])
def test_a_cpu_encodes_frames_in_chunks_as_all_at_once(frames, chunks, monkeypatch):
    encoder = build((6,))
    params, images = random_params(encoder), random_frames(frames, 1)

    def run(params):
        features, pull = jax.vjp(lambda params: encoder.apply(params, images), params)
        return features, pull(jnp.ones_like(features))

    assert loops(encoder, params, images) == ([chunks] if chunks else [])
    found = jax.jit(run)(params)
    monkeypatch.setattr(encoder_module, "FRAMES_AT_ONCE", frames)
    expected = jax.jit(lambda params: run(params))(params)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), found, expected
    )


def loops(encoder, params, images):
    """How often each loop of an encoder turns."""
    found = equations(lambda params: encoder.apply(params, images), params)
    return [x.params["length"] for x in found if x.primitive.name == "scan"]


@pytest.mark.parametrize(("pixels", "turns"), [(12 * 90, []), (5 * 90, [3]), (1, [12])])
def test_of_larger_frames_a_cpu_encodes_fewer_at_once(pixels, turns, monkeypatch):
    encoder = build()
    params, images = random_params(encoder), random_frames(12, 1)
    monkeypatch.setattr(encoder_module, "PIXELS_AT_ONCE", pixels)
    assert loops(encoder, params, images) == turns


def test_parameters_have_the_names_that_checkpoints_know():
    shapes = jax.eval_shape(build((6, 7)).init, jax.random.key(0), random_frames(1, 1))
    assert jax.tree.map(lambda x: x.shape, shapes) == {
        "params": {
            "convs": {
                "conv0_kernel": (3, 3, 1, 4),
                "conv0_bias": (4,),
                "conv1_kernel": (2, 2, 4, 5),
                "conv1_bias": (5,),
            },
            "dense0": {"kernel": (30, 6), "bias": (6,)},
            "dense1": {"kernel": (6, 7), "bias": (7,)},
        }
    }


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_all_kernels_start_as_suits_the_activation_and_biases_at_zero(activation, monkeypatch):
    monkeypatch.setitem(INITIALIZERS, activation, lambda: nn.initializers.constant(0.5))
    encoder = build((6, 7), activation=activation)
    params = jax.jit(encoder.init)(jax.random.key(0), random_frames(1, 1))["params"]
    leaves = jax.tree_util.tree_leaves_with_path(params)
    starts = {jax.tree_util.keystr(path): np.unique(leaf).tolist() for path, leaf in leaves}
    assert len(starts) == 8
    for name, values in starts.items():
        assert values == ([0.5] if "kernel" in name else [0])


def test_each_frame_is_encoded_by_itself():
    encoder = build()
    params, frames = random_params(encoder), random_frames(1, 3)
    apply = jax.jit(encoder.apply)
    other = frames.copy()
    other[:, 1:] = 255 - other[:, 1:]
    found, changed = (np.asarray(apply(params, x))[0] for x in (frames, other))
    np.testing.assert_array_equal(found[0], changed[0])
    assert (found[1:] != changed[1:]).any(axis=1).all()


@pytest.fixture
def with_dropout_noted(monkeypatch):
    """Runs an encoder on 2 steps of 3 lanes; also what its dropout took, by which keys, and gave.

    Without keys if `seed` is None.
    """

    def run(encoder, params, seed):
        @jax.jit
        def traced(params):
            noted = []

            def note(x, keys, rate):
                found = lane_dropout(x, keys, rate)
                noted.append((x, jax.random.key_data(keys), jnp.asarray(rate), found))
                return found

            with monkeypatch.context() as patch:
                patch.setattr(encoder_module, "lane_dropout", note)
                keys = None if seed is None else jax.random.split(jax.random.key(seed), 3)
                return encoder.apply(params, random_frames(2, 3), keys), noted

        return jax.device_get(traced(params))

    return run


@pytest.mark.parametrize("dense", [(8,), (8, 7), (8, 7, 6)])
def test_drops_behind_each_dense_layer_by_keys_of_its_own(dense, with_dropout_noted):
    encoder = build(dense, dropout=0.5)
    params = random_params(encoder)
    found, noted = with_dropout_noted(encoder, params, 0)
    assert [x.shape for x, *_ in noted] == [(2, 3, features) for features in dense]
    assert [rate for _, _, rate, _ in noted] == [0.5] * len(dense)
    keys = np.concatenate([keys for _, keys, _, _ in noted])
    assert len(np.unique(keys, axis=0)) == 3 * len(dense)
    # Each layer reads what was left of the one before, and the last one's is what is given.
    for i, ((*_, left), (reads, *_)) in enumerate(itertools.pairwise(noted), 1):
        layer = params["params"][f"dense{i}"]
        expected = np.maximum(left @ layer["kernel"] + layer["bias"], 0)
        np.testing.assert_allclose(reads, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(found, noted[-1][-1])
    assert (found != noted[-1][0]).any()


def test_drops_features_of_convolutions_where_there_is_no_dense_layer(with_dropout_noted):
    encoder = build((), dropout=0.5)
    found, ((reads, keys, rate, left),) = with_dropout_noted(encoder, random_params(encoder), 0)
    assert reads.shape == (2, 3, 30)
    assert rate == 0.5
    assert len(np.unique(keys, axis=0)) == 3
    np.testing.assert_array_equal(found, left)
    assert (found != reads).any()


@pytest.mark.parametrize("dense", [(), (8, 7)])
def test_drops_nothing_without_keys(dense, with_dropout_noted):
    params = random_params(build(dense))
    found, noted = with_dropout_noted(build(dense, dropout=0.5), params, None)
    assert noted == []
    expected, _ = with_dropout_noted(build(dense, dropout=0.0), params, 0)
    np.testing.assert_array_equal(found, expected)


def test_computes_in_its_dtype_with_float32_parameters():
    encoder = build((6, 7), dtype=jnp.bfloat16)
    frames = random_frames(2, 1)
    features, params = jax.eval_shape(encoder.init_with_output, jax.random.key(0), frames)
    assert features.dtype == jnp.bfloat16
    assert {x.dtype for x in jax.tree.leaves(params)} == {np.dtype(np.float32)}
    found = {x.outvars[0].aval.dtype for x in products(encoder.apply, params, frames)}
    assert found == {np.dtype(jnp.bfloat16)}


def test_classes_are_a_softmax_of_the_features():
    plain = build()
    params = random_params(plain)
    frames = random_frames(2, 3)
    features = plain.apply(params, frames)
    classes = {"kernel": np.ones((6, 3), np.float32) * [1, 2, 3], "bias": np.zeros(3, np.float32)}
    with_classes = Encoder(CONVS, (6,), "relu", 0.0, jnp.float32, classes=3)
    found = with_classes.apply({"params": {**params["params"], "classes": classes}}, frames)
    np.testing.assert_allclose(np.exp(found).sum(axis=-1), 1, rtol=1e-6)
    ratio = found[..., 2] - found[..., 1]
    np.testing.assert_allclose(ratio, features.sum(axis=-1), rtol=1e-4, atol=1e-5)
