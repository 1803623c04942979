"""Evaluation: exact, the same for every device count, each image encoded once."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from crnn_jax.data.draw import Draw, padded_lanes
from crnn_jax.evaluate import Evaluation, training_mean
from crnn_jax.model import crnn


@pytest.fixture(params=["last", "marginal"])
def evaluation(request, tiny_config, optdigits):
    tiny_config.model.head = request.param
    network = crnn.build(tiny_config.model, digits=10, max_length=4)
    return Evaluation(
        network,
        tiny_config,
        optdigits.test,
        sequences=90,
        training_mean=training_mean(tiny_config, optdigits),
    )


@pytest.fixture
def params(evaluation):
    frames = jnp.zeros((1, 1, 28, 28, 1), jnp.uint8)
    return evaluation.network.init(jax.random.key(3), frames, jnp.ones((1, 1), bool))


def test_agrees_with_reading_the_sequences_one_by_one(evaluation, params, optdigits):
    report = evaluation(params)
    draw = Draw(1, 1, 4, len(optdigits.test.labels_N))
    lengths = draw.lengths(90)
    indices = np.asarray(draw.image_indices(0, jnp.arange(90)))
    lanes = padded_lanes(lengths)
    frames = optdigits.test.images_NxHxW[indices.T][..., None]
    output = evaluation.network.apply(params, frames, lanes.starts_TxN)
    ends = lanes.last_frames
    target = np.array(
        [optdigits.test.labels_N[i[:n]].sum() for i, n in zip(indices, lengths, strict=True)]
    )
    error = np.asarray(output.estimate())[ends] - target
    right = np.asarray(output.answer())[ends] == target

    assert report["n"] == 90
    np.testing.assert_allclose(report["rmse"], np.sqrt(np.mean(error**2)), rtol=1e-5)
    np.testing.assert_allclose(report["mae"], np.mean(abs(error)), rtol=1e-5)
    assert report["exact"] == np.mean(right)
    mean = 2.5 * optdigits.train.labels_N.mean()
    np.testing.assert_allclose(report["baseline_rmse"], np.sqrt(np.mean((target - mean) ** 2)))
    for row in report["per_length"]:
        chosen = lengths == row["length"]
        assert row["n"] == chosen.sum()
        assert row["exact"] == np.mean(right[chosen])
        np.testing.assert_allclose(row["rmse"], np.sqrt(np.mean(error[chosen] ** 2)), rtol=1e-5)


def test_encodes_every_image_once(evaluation, params, monkeypatch):
    frames_encoded = []
    encode = type(evaluation.network).encode

    def counted(self, frames):
        frames_encoded.append(frames.shape[0])
        return encode(self, frames)

    monkeypatch.setattr(type(evaluation.network), "encode", counted)
    images = evaluation.split.images_NxHxW
    text = str(jax.make_jaxpr(evaluation._answer_all)(params, images, evaluation.split.labels_N))
    assert frames_encoded  # traced frame by frame, under a map over the images alone
    assert set(frames_encoded) == {1}
    assert "90,28,28" not in text


def test_is_the_same_every_time_and_compiles_once(evaluation, params):
    first, compiled = evaluation(params), evaluation.compiled
    second = evaluation(params)
    assert evaluation.compiled is compiled
    assert {**first, "seconds": 0} == {**second, "seconds": 0}


def test_the_number_of_sequences_need_not_fill_the_chunks(evaluation, params, tiny_config):
    more = Evaluation(
        evaluation.network,
        tiny_config,
        evaluation.split,
        sequences=701,
        training_mean=evaluation.training_mean,
    )
    assert more(params)["n"] == 701
    assert [row["n"] for row in more(params)["per_length"]] == [176, 175, 175, 175]
