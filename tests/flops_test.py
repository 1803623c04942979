import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from crnn_jax import tasks
from crnn_jax.data.lanes import padded_lanes
from crnn_jax.model import crnn
from crnn_jax.model.flops import conv_sizes, frame_flops
from tests.networks import digits

CONVS = ((2, 3, True), (3, 2, False))


def test_sizes_before_and_after_each_layer():
    assert conv_sizes(CONVS, 9, 7) == [(9, 7), (3, 2), (2, 1)]
    assert conv_sizes((), 8, 7) == [(8, 7)]
    same = ((2, 3, True, "same"), (3, 2, False, "same"), (3, 2, False))
    assert conv_sizes(same, 9, 7) == [(9, 7), (4, 3), (4, 3), (3, 2)]


@pytest.mark.parametrize(
    ("dense", "dense_multiply_adds", "recurrent_multiply_adds"),
    [
        ((5,), 6 * 5, 3 * 4 * (5 + 4) + 3 * 3 * (4 + 3)),
        ((8, 5), 6 * 8 + 8 * 5, 3 * 4 * (5 + 4) + 3 * 3 * (4 + 3)),
        ((), 0, 3 * 4 * (6 + 4) + 3 * 3 * (4 + 3)),
    ],
)
def test_counted_by_hand(dense, dense_multiply_adds, recurrent_multiply_adds):
    model = ConfigDict({"convs": CONVS, "dense": dense, "gru_units": (4, 3), "aggregator": "gru"})
    first_conv = (7 * 5) * (3 * 3 * 1) * 2
    second_conv = (2 * 1) * (2 * 2 * 2) * 3
    multiply_adds = first_conv + second_conv + dense_multiply_adds + recurrent_multiply_adds
    assert frame_flops(model, (9, 7, 1)) == 2 * multiply_adds


def test_same_layers_counted_by_hand():
    convs = ((2, 3, True, "same"), (3, 2, False, "same"))
    model = ConfigDict({"convs": convs, "dense": (5,), "gru_units": (), "aggregator": "none"})
    first_conv = (9 * 7) * (3 * 3 * 1) * 2
    second_conv = (4 * 3) * (2 * 2 * 2) * 3
    assert frame_flops(model, (9, 7, 1)) == 2 * (first_conv + second_conv + 4 * 3 * 3 * 5)


@pytest.mark.parametrize("name", ["sum8", "sum8_2016", "lenet", "letters", "depth:relu2"])
def test_agrees_with_what_xla_counts_in_the_plain_form(name, load_config, monkeypatch):
    config = load_config(name)
    config.task.max_length = 1
    question = tasks.build(config, digits()).question
    network = crnn.build(config.model, question)
    monkeypatch.setattr(jax, "default_backend", lambda: "tpu")  # the form without extra arithmetic
    frames = jax.ShapeDtypeStruct((1, 16, 28, 28, 1), jnp.uint8)
    lanes = padded_lanes(np.ones(16, int))
    params = crnn.parameter_shapes(network, question)
    counted = jax.jit(network.apply).lower(params, frames, lanes).cost_analysis()["flops"] / 16
    ours = frame_flops(config.model, (28, 28, 1))
    assert ours <= counted <= 1.03 * ours  # XLA counts what is elementwise too


def test_channels_of_a_frame_count_in_its_first_layer():
    model = ConfigDict({"convs": ((2, 3, False),), "dense": (), "gru_units": (), "aggregator": ""})
    assert frame_flops(model, (9, 7, 3)) == 3 * frame_flops(model, (9, 7, 1))
    model = ConfigDict({"convs": (), "dense": (5,), "gru_units": (), "aggregator": ""})
    assert frame_flops(model, (9, 7, 3)) == 2 * 9 * 7 * 3 * 5


def test_both_directions_of_a_layer_count():
    model = ConfigDict({"convs": (), "dense": (), "gru_units": (4, 3), "aggregator": "bigru"})
    assert frame_flops(model, (1, 5, 1)) == 2 * 2 * (3 * 4 * (5 + 4) + 3 * 3 * (2 * 4 + 3))
