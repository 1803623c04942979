import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from crnn_jax import tasks
from crnn_jax.data.draw import Draw
from crnn_jax.data.lanes import lay_out, padded_lanes
from crnn_jax.model import crnn
from crnn_jax.model import encoder as encoder_module
from crnn_jax.model.question import Question
from crnn_jax.tasks.number import LAST, PRODUCT, SUM
from tests.networks import digits, random_params

DRAW = Draw(seed=0, min_length=1, max_length=3, images=20)
SEQUENCES = 6
PACKED = DRAW.lanes(SEQUENCES)
PADDED = padded_lanes(DRAW.lengths(SEQUENCES))


def network(head="last", recurrence=SUM, max_length=3, **fields):
    """A small network that answers about classes 0..3; `fields` of `model` are other than here."""
    model = {
        "encoder": "frames",
        "convs": [[2, 3, True]],
        "dense": [5],
        "activation": "tanh",
        "class_bottleneck": False,
        "aggregator": "gru",
        "gru_units": [4],
        "encoder_dropout": 0.0,
        "state_dropout": 0.0,
        "head": head,
        "decoder_units": 0,
        "dtype": "float32",
        "unroll": 1,
    }
    kind = "class" if head == "class" else "number"
    reads = "whole" if fields.get("aggregator") == "bigru" else "so_far"
    question = Question(kind, (8, 8, 1), max_length, 4, recurrence, reads=reads)
    return crnn.build(ConfigDict(model | fields), question)


def randomly(net):
    """Random parameters of `net`."""
    shapes = jax.eval_shape(net.init, jax.random.key(0), frames_in(PADDED), PADDED)
    return random_params(shapes, scale=0.7)


def frames_in(lanes):
    """The frames of the drawn sequences in these lanes, and some image where there is none."""
    images = np.random.default_rng(0).integers(0, 256, (DRAW.images, 8, 8, 1), dtype=np.uint8)
    indices_BxL = np.random.default_rng(1).integers(0, DRAW.images, (SEQUENCES, 3))
    return images[indices_BxL[lanes.sequence_TxN, lanes.frame_TxN]]


AGGREGATORS = [
    {"gru_units": [4, 3]},
    *({"aggregator": a, "gru_units": []} for a in ("mean", "none")),
]


BIGRU = {"aggregator": "bigru", "gru_units": [4, 3]}


@pytest.mark.parametrize("aggregator", [*AGGREGATORS, BIGRU], ids=["gru", "mean", "none", "bigru"])
@pytest.mark.parametrize("head", ["last", "cumulative", "marginal", "class"])
def test_packed_lanes_give_what_padded_lanes_give(head, aggregator):
    net = network(head, **aggregator)
    params = randomly(net)

    def last_outputs(lanes):
        output = jax.jit(net.apply)(params, frames_in(lanes), lanes)
        (values,) = jax.tree.leaves(output)
        return np.asarray(values)[lanes.last_frames]

    found, expected = last_outputs(PACKED), last_outputs(PADDED)
    assert len(np.unique(expected, axis=0)) == SEQUENCES
    np.testing.assert_allclose(np.exp(found), np.exp(expected), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("head", "aggregator"),
    [("last", AGGREGATORS[0]), ("marginal", AGGREGATORS[1]), ("cumulative", AGGREGATORS[2])],
    ids=["gru and last", "mean and marginal", "cumulative"],
)
def test_unrolling_its_loops_changes_no_output_and_no_gradient(head, aggregator):
    params = randomly(network(head, **aggregator))

    def run(unroll):
        net = network(head, unroll=unroll, **aggregator)

        def loss(params):
            output = net.apply(params, frames_in(PACKED), PACKED)
            return output.loss(np.ones_like(PACKED.frame_TxN)).mean(), output

        assert ("while" in jax.jit(loss).lower(params).as_text()) == (unroll == 1)
        return jax.jit(jax.value_and_grad(loss, has_aux=True))(params)

    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), run(16), run(1)
    )


@pytest.mark.parametrize(
    ("head", "aggregator"),
    [
        ("marginal", AGGREGATORS[0]),
        ("last", AGGREGATORS[1]),
        ("last", AGGREGATORS[2]),
        ("class", BIGRU),
    ],
    ids=["gru", "mean", "none", "bigru"],
)
def test_gradient_flows_into_a_sequence_s_own_frames_and_nowhere_else(head, aggregator):
    lanes = lay_out([[0, 5], [1, 3], [2], [4]], DRAW.lengths(SEQUENCES))
    asked_TxN = np.isin(lanes.sequence_TxN, [0, 3, 4])
    assert not lanes.real_TxN.all()
    net = network(head, **aggregator)
    params = randomly(net)

    @jax.jit
    @jax.grad
    def gradient(frames):
        loss_TxN = net.apply(params, frames, lanes).loss(np.ones_like(lanes.frame_TxN))
        return jnp.sum(loss_TxN * (lanes.ends_TxN & asked_TxN))

    pixels = np.asarray(gradient(frames_in(lanes).astype(np.float32)))
    # Without an aggregator the last frame stands for itself alone.
    expected = asked_TxN & lanes.ends_TxN if not net.layers else asked_TxN
    np.testing.assert_array_equal(pixels.any(axis=(2, 3, 4)), expected)


@pytest.mark.parametrize("aggregator", AGGREGATORS, ids=["gru", "mean", "none"])
def test_encode_and_aggregate_are_the_call(aggregator):
    net = network("cumulative", **aggregator)
    params, frames = randomly(net), frames_in(PACKED)
    steps, lanes = PACKED.starts_TxN.shape

    @jax.jit
    def in_two(params):
        one_by_one = frames.reshape(1, -1, 8, 8, 1)
        encoded = net.apply(params, one_by_one, method="encode").reshape(steps, lanes, -1)
        return encoded, net.apply(params, encoded, PACKED, method="aggregate")

    expected = jax.jit(net.apply)(params, frames, PACKED)
    encoded, found = in_two(params)
    assert encoded.shape[-1] == (3 * 4 if aggregator == AGGREGATORS[0] else 5)
    np.testing.assert_allclose(found.value_TxN, expected.value_TxN, rtol=1e-6, atol=1e-6)


def test_dropout_only_where_keys_are_given():
    rates = [(0.0, 0.0), (0.5, 0.0), (0.0, 0.5)]
    nets = [network(encoder_dropout=f, state_dropout=d) for f, d in rates]
    params, frames = randomly(nets[0]), frames_in(PACKED)

    @jax.jit
    def run(params, key):
        keys = jax.random.split(key, PACKED.starts_TxN.shape[1])
        return [
            (
                net.apply(params, frames, PACKED).value_TxN,
                net.apply(params, frames, PACKED, keys).value_TxN,
            )
            for net in nets
        ]

    (sure, still_sure), *others = run(params, jax.random.key(0))
    np.testing.assert_allclose(still_sure, sure, rtol=1e-6)
    for without, dropped in others:
        np.testing.assert_allclose(without, sure, rtol=1e-6)
        assert np.mean(dropped != sure) > 0.7  # of four units all are kept once in 16 times


@pytest.mark.parametrize("aggregator", AGGREGATORS, ids=["gru", "mean", "none"])
def test_each_layers_features_and_the_states_are_dropped_by_keys_of_their_own(
    aggregator, monkeypatch
):
    net = network(dense=[5, 6], encoder_dropout=0.1, state_dropout=0.2, **aggregator)
    params, frames = randomly(net), frames_in(PACKED)

    @jax.jit
    def run(key):
        dropped = []

        def note(x, keys, rate):
            dropped.append((jnp.array([x.shape[-1], rate]), jax.random.key_data(keys)))
            return x

        with monkeypatch.context() as patch:
            for module in (crnn, encoder_module):
                patch.setattr(module, "lane_dropout", note)
            net.apply(params, frames, PACKED, jax.random.split(key, frames.shape[1]))
        return dropped

    dropped = run(jax.random.key(0))
    units = 3 if aggregator == AGGREGATORS[0] else 6
    expected = [[5, 0.1], [6, 0.1], [units, 0.2]]
    np.testing.assert_allclose([sizes for sizes, _ in dropped], expected)
    keys = np.concatenate([keys for _, keys in dropped])
    assert len(np.unique(keys, axis=0)) == 3 * frames.shape[1]


@pytest.mark.parametrize("name", ["sum8", "lenet"])
def test_a_config_read_back_from_json_builds_the_same_network(name, load_config):
    config = load_config(name)
    question = tasks.build(config, digits()).question
    again = ConfigDict(json.loads(config.to_json())).model
    assert crnn.build(again, question) == crnn.build(config.model, question)


def test_a_network_answers_its_configs_task_about_sequences_of_its_length():
    net = network("marginal", PRODUCT, max_length=2)
    output = jax.eval_shape(net.apply, randomly(net), frames_in(PACKED), PACKED)
    assert output.numbers == (0, 1, 2, 3, 4, 6, 9)  # of up to two digits 0..3


@pytest.mark.parametrize(
    ("head", "aggregator"),
    [("last", 0), ("cumulative", 0), ("marginal", 0), ("last", 1), ("last", 2)],
)
def test_computes_in_bfloat16_between_float32_parameters_and_answers(head, aggregator):
    net = network(head, dtype="bfloat16", **AGGREGATORS[aggregator])
    frames = frames_in(PADDED)
    output, params = jax.eval_shape(
        lambda key: net.init_with_output(key, frames, PADDED), jax.random.key(0)
    )

    def encoded(params):
        features = net.apply(params, frames, method=lambda net, frames: net.encoder(frames))
        return features, net.apply(params, frames, method="encode")

    features, encoded_TxNxD = jax.eval_shape(encoded, params)
    assert features.dtype == jnp.bfloat16
    assert encoded_TxNxD.dtype == jnp.bfloat16
    assert {x.dtype for x in jax.tree.leaves((output, params))} == {np.dtype(np.float32)}
    assert jax.eval_shape(lambda x: x.answers(), output).estimate.dtype == jnp.float32


def parameters(config):
    """Shapes of all parameters of a config's network, on digits of 28x28."""
    question = tasks.build(config, digits()).question
    return crnn.parameter_shapes(crnn.build(config.model, question), question)["params"]


def count(tree):
    return sum(x.size for x in jax.tree.leaves(tree))


def test_network_published_in_2016_has_its_number_of_parameters(load_config):
    def keras_1_gru(inputs, hidden):
        return 3 * (inputs * hidden + hidden * hidden + hidden)

    params = parameters(load_config("sum8_2016"))
    features = 10 * 10 * 8  # 28 -> 25 by 4x4, -> 12 by the pool, -> 10 by 3x3
    convs = params["encoder"].pop("convs")
    assert count([convs["conv0_kernel"], convs["conv0_bias"]]) == 136
    assert count([convs["conv1_kernel"], convs["conv1_bias"]]) == 584
    assert count(convs) == 136 + 584
    assert not params.pop("encoder")
    # A bias more a layer than in Keras 1: it is inside the product with the reset gate.
    assert count(params.pop("gru_0")) == keras_1_gru(features, 100) + 100
    assert count(params.pop("gru_1")) == keras_1_gru(100, 50) + 50
    assert count(params.pop("answer_head")) == 51
    assert not params


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("lenet", 61_706),  # C3 with all its connections
        ("depth:sigmoid1", 785 * 512 + 513 * 10),
        ("depth:relu3", 785 * 512 + 2 * 513 * 512 + 513 * 10),
    ],
)
def test_published_networks_have_their_number_of_parameters(name, published, load_config):
    assert count(parameters(load_config(name))) == published


def test_encoded_labels_are_encoded_frames_of_certain_classes():
    net = network("marginal", class_bottleneck=True)
    params = randomly(net)
    frames = frames_in(PACKED)
    inner = {"params": params["params"]["encoder"]}
    features = net.encoder.clone(classes=0).apply(inner, frames)
    classes = inner["params"]["classes"]
    classes["kernel"] *= 1e6  # so that every class is certain, and not always the same one
    classes["bias"] = -features.mean(axis=(0, 1)) @ classes["kernel"]
    labels = np.argmax(net.encoder.apply(inner, frames), axis=-1)
    assert len(np.unique(labels)) > 1
    np.testing.assert_allclose(
        net.apply(params, labels, method="encode_labels"),
        net.apply(params, frames, method="encode"),
        rtol=1e-5,
        atol=1e-5,
    )


def test_alone_the_classes_of_the_encoder_are_the_classes_of_the_head():
    net = network("marginal", LAST, class_bottleneck=True, aggregator="none", gru_units=[])
    params = randomly(net)
    assert "answer_head" not in params["params"]
    frames = frames_in(PACKED)
    log_probs = net.apply(params, frames, method="encode")
    output = net.apply(params, frames, PACKED)
    np.testing.assert_allclose(output.log_probs_TxNxK, log_probs, rtol=1e-5, atol=1e-5)
