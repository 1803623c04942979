import json
import runpy

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from crnn_jax.data.draw import Draw, lay_out, padded_lanes
from crnn_jax.model import crnn
from crnn_jax.model.crnn import HEADS, lane_dropout

DRAW = Draw(seed=0, min_length=1, max_length=3, images=20)
SEQUENCES = 6
PACKED = DRAW.lanes(SEQUENCES)
PADDED = padded_lanes(DRAW.lengths(SEQUENCES))


def network(head, recurrent=(4,), feature_dropout=0.0, dropout=0.0, dtype="float32"):
    model = ConfigDict(
        {
            "convs": [[2, 3, True]],
            "dense": 5,
            "activation": "tanh",
            "recurrent": recurrent,
            "feature_dropout": feature_dropout,
            "dropout": dropout,
            "head": head,
            "dtype": dtype,
        }
    )
    return crnn.build(model, digits=4, max_length=3)


def random_params(net):
    """Parameters of `net`, its biases random too."""
    params = jax.eval_shape(net.init, jax.random.key(0), frames_in(PADDED), PADDED.starts_TxN)
    rng = np.random.default_rng(1)
    return jax.tree.map(lambda x: rng.normal(0, 0.7, x.shape).astype(x.dtype), params)


def frames_in(lanes):
    """The frames of the drawn sequences in these lanes, and some image where there is none."""
    images = np.random.default_rng(0).integers(0, 256, (DRAW.images, 8, 8, 1), dtype=np.uint8)
    indices_BxL = np.random.default_rng(1).integers(0, DRAW.images, (SEQUENCES, 3))
    return images[indices_BxL[lanes.sequence_TxN, lanes.frame_TxN]]


@pytest.mark.parametrize(
    ("head", "recurrent"), [("last", (4, 3)), ("cumulative", (4,)), ("marginal", (4,))]
)
def test_packed_lanes_give_what_padded_lanes_give(head, recurrent):
    net = network(head, recurrent)
    params = random_params(net)

    def last_outputs(lanes):
        output = jax.jit(net.apply)(params, frames_in(lanes), lanes.starts_TxN)
        (values,) = jax.tree.leaves(output)
        return np.asarray(values)[lanes.last_frames]

    found, expected = last_outputs(PACKED), last_outputs(PADDED)
    assert len(np.unique(expected, axis=0)) == SEQUENCES
    np.testing.assert_allclose(np.exp(found), np.exp(expected), rtol=1e-6, atol=1e-6)


def test_gradient_flows_into_a_sequence_s_own_frames_and_nowhere_else():
    lanes = lay_out([[0, 5], [1, 3], [2], [4]], DRAW.lengths(SEQUENCES))
    asked_TxN = np.isin(lanes.sequence_TxN, [0, 3, 4])
    assert not lanes.real_TxN.all()
    net = network("marginal")
    params = random_params(net)

    @jax.jit
    @jax.grad
    def gradient(frames):
        loss_TxN = net.apply(params, frames, lanes.starts_TxN).loss(np.ones_like(lanes.frame_TxN))
        return jnp.sum(loss_TxN * (lanes.ends_TxN & asked_TxN))

    pixels = np.asarray(gradient(frames_in(lanes).astype(np.float32)))
    np.testing.assert_array_equal(pixels.any(axis=(2, 3, 4)), asked_TxN)


def test_encode_and_aggregate_are_the_call():
    net = network("cumulative")
    params, frames = random_params(net), frames_in(PACKED)
    steps, lanes = PACKED.starts_TxN.shape

    @jax.jit
    def in_two(params):
        gates = net.apply(params, frames.reshape(-1, 8, 8, 1), method="encode")
        gates = gates.reshape(steps, lanes, -1)
        return net.apply(params, gates, PACKED.starts_TxN, method="aggregate")

    expected = jax.jit(net.apply)(params, frames, PACKED.starts_TxN)
    np.testing.assert_allclose(in_two(params).value_TxN, expected.value_TxN, rtol=1e-6, atol=1e-6)


def test_dropout_only_where_keys_are_given():
    rates = [(0, 0), (0.5, 0), (0, 0.5)]
    nets = [network("last", feature_dropout=f, dropout=d) for f, d in rates]
    params, frames = random_params(nets[0]), frames_in(PACKED)

    @jax.jit
    def run(params, key):
        keys = jax.random.split(key, PACKED.starts_TxN.shape[1])
        return [
            (
                net.apply(params, frames, PACKED.starts_TxN).value_TxN,
                net.apply(params, frames, PACKED.starts_TxN, keys).value_TxN,
            )
            for net in nets
        ]

    (sure, still_sure), *others = run(params, jax.random.key(0))
    np.testing.assert_allclose(still_sure, sure, rtol=1e-6)
    for without, dropped in others:
        np.testing.assert_allclose(without, sure, rtol=1e-6)
        assert np.mean(dropped != sure) > 0.7  # of four units all are kept once in 16 times


def test_features_and_states_are_dropped_by_keys_of_their_own(monkeypatch):
    net = network("last", feature_dropout=0.1, dropout=0.2)
    params, frames = random_params(net), frames_in(PACKED)

    @jax.jit
    def run(key):
        dropped = []

        def note(x, keys, rate):
            dropped.append((jnp.array([x.shape[-1], rate]), jax.random.key_data(keys)))
            return x

        with monkeypatch.context() as patch:
            patch.setattr(crnn, "lane_dropout", note)
            net.apply(params, frames, PACKED.starts_TxN, jax.random.split(key, frames.shape[1]))
        return dropped

    (features, feature_keys), (states, state_keys) = run(jax.random.key(0))
    np.testing.assert_allclose(features, [5, 0.1])
    np.testing.assert_allclose(states, [4, 0.2])
    keys = np.concatenate([feature_keys, state_keys])
    assert len(np.unique(keys, axis=0)) == 2 * frames.shape[1]


HIDDEN = np.random.default_rng(0).normal(1, 0.1, (20, 10, 100)).astype(np.float32)
RATE = 0.3


@jax.jit
def dropped(lanes):
    """Dropout of some lanes of `HIDDEN`."""
    keys = jax.random.split(jax.random.key(0), 10)
    return lane_dropout(jnp.asarray(HIDDEN)[:, lanes], keys[lanes], RATE)


def test_lane_dropout_drops_its_share_and_scales_the_rest():
    found = np.asarray(dropped(np.arange(10)))
    kept = found != 0
    np.testing.assert_allclose(found[kept], HIDDEN[kept] / (1 - RATE), rtol=1e-6)
    assert abs(found.mean() - HIDDEN.mean()) < 0.02
    assert abs(kept.mean() - (1 - RATE)) < 0.01
    for axes in [(1, 2), (0, 2), (0, 1)]:  # at every step, in every lane, of every unit
        assert (np.abs(kept.mean(axis=axes) - (1 - RATE)) < 0.15).all()


def test_lane_dropout_drops_the_same_however_lanes_are_split():
    whole = np.asarray(dropped(np.arange(10)))
    np.testing.assert_array_equal(dropped(np.array([3, 4, 5])), whole[:, 3:6])
    lanes = (whole != 0).swapaxes(0, 1).reshape(10, -1)
    assert len(np.unique(lanes, axis=0)) == 10


def test_a_config_read_back_from_json_builds_the_same_network(project):
    model = runpy.run_path(project / "configs" / "sum8.py")["get_config"]().model
    again = ConfigDict(json.loads(model.to_json()))
    assert crnn.build(again, digits=10, max_length=8) == crnn.build(model, digits=10, max_length=8)


@pytest.mark.parametrize("head", HEADS)
def test_computes_in_bfloat16_between_float32_parameters_and_answers(head):
    net = network(head, dtype="bfloat16")
    starts = PADDED.starts_TxN
    output, params = jax.eval_shape(
        lambda key: net.init_with_output(key, frames_in(PADDED), starts), jax.random.key(0)
    )

    def encoded(params):
        frames = frames_in(PADDED)[0]
        features = net.apply(params, frames, method=lambda net, frames: net.encoder(frames))
        return features, net.apply(params, frames, method="encode")

    features, gates = jax.eval_shape(encoded, params)
    assert features.dtype == jnp.bfloat16
    assert gates.dtype == jnp.bfloat16
    assert {x.dtype for x in jax.tree.leaves((output, params))} == {np.dtype(np.float32)}
    assert jax.eval_shape(lambda x: x.estimate(), output).dtype == jnp.float32


def test_published_network_has_the_published_number_of_parameters(project):
    config = runpy.run_path(project / "configs" / "sum8_2016.py")["get_config"]()
    net = crnn.build(config.model, digits=10, max_length=config.task.max_length)
    frames = jax.ShapeDtypeStruct((1, 1, 28, 28, 1), jnp.uint8)
    starts = jax.ShapeDtypeStruct((1, 1), bool)
    params = jax.eval_shape(net.init, jax.random.key(0), frames, starts)["params"]

    def count(tree):
        return sum(x.size for x in jax.tree.leaves(tree))

    def keras_1_gru(inputs, hidden):
        return 3 * (inputs * hidden + hidden * hidden + hidden)

    features = 10 * 10 * 8  # 28 -> 25 by 4x4, -> 12 by the pool, -> 10 by 3x3
    encoder = params.pop("encoder")
    assert count([encoder["conv0_kernel"], encoder["conv0_bias"]]) == 136
    assert count([encoder["conv1_kernel"], encoder["conv1_bias"]]) == 584
    assert count(encoder) == 136 + 584
    # A bias more a layer than in Keras 1: it is inside the product with the reset gate.
    assert count(params.pop("gru_0")) == keras_1_gru(features, 100) + 100
    assert count(params.pop("gru_1")) == keras_1_gru(100, 50) + 50
    assert count(params.pop("answer_head")) == 51
    assert not params
