"""Tasks about stored sequences: loss, answers and scores, in lanes as one by one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from crnn_jax import UserError, tasks
from crnn_jax.config import default
from crnn_jax.data.batch import Batch
from crnn_jax.data.lanes import padded_lanes
from crnn_jax.data.packing import pack
from crnn_jax.evaluate.stored import StoredEvaluation
from crnn_jax.model import crnn
from crnn_jax.model.heads import Answers
from tests.networks import random_params
from tests.sequences import TASK, asking_for, dataset, task

KINDS = [kind for kind in TASK if kind != "line"]  # see stored_line_test.py


def built(config, kind, **model):
    """Task, network and random parameters for a made data set."""
    asking_for(config, kind)
    config.model.update(model)
    asked = tasks.build(config, dataset(kind).info)
    network = crnn.build(config.model, asked.question)
    return asked, network, random_params(crnn.parameter_shapes(network, asked.question), scale=0.5)


def together(asked, part, numbers):
    """Frames, labels and lanes of some sequences, several in a lane."""
    lengths = part.lengths_B[numbers]
    lanes = pack(lengths, 1).lanes(0, lengths)
    frames = np.zeros((*lanes.sequence_TxN.shape, *part.frame_shape), np.uint8)
    for b, clip in enumerate(part.read(numbers)):
        frames[lanes.first_B[b] : lanes.first_B[b] + len(clip), lanes.lane_B[b]] = clip
    return frames, labels_of(asked, part, numbers, lanes), lanes


def labels_of(asked, part, numbers, lanes):
    if not asked.per_frame:
        return asked.encode(part.answers)[numbers]
    return part.answers[part.offsets_B[numbers][lanes.sequence_TxN] + lanes.frame_TxN]


def alone(asked, part, number):
    lanes = padded_lanes(part.lengths_B[[number]])
    labels = labels_of(asked, part, np.array([number]), lanes)
    return part.read([number])[0][:, None], labels, lanes


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("aggregator", ["gru", "bigru"])
def test_in_lanes_loss_and_gradient_are_those_of_each_sequence_alone(kind, aggregator):
    asked, network, params = built(default(), kind, aggregator=aggregator)
    part = dataset(kind).train
    numbers = np.flatnonzero(np.isin(part.lengths_B, (1, 4, 7)))  # few lengths compile quickly

    @jax.jit
    def loss(params, frames, labels, lanes):
        batch = asked.batch(frames, labels, lanes, None)
        output = network.apply(params, batch.frames_TxNxHxWxC, lanes, None, batch.targets)
        return asked.loss(output, batch)

    expected = [jax.value_and_grad(loss)(params, *alone(asked, part, number)) for number in numbers]
    expected = jax.tree.map(lambda *x: sum(x), *expected)
    found = jax.value_and_grad(loss)(params, *together(asked, part, numbers))
    assert float(found[0]) == pytest.approx(float(expected[0]), rel=1e-5)
    scale = max(float(np.abs(x).max()) for x in jax.tree.leaves(expected[1]))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5 * scale), found[1], expected[1]
    )


@pytest.mark.parametrize("kind", KINDS)
def test_the_evaluation_answers_each_sequence_as_if_alone(kind):
    asked, network, params = built(default(), kind)
    part = dataset(kind).test
    found = StoredEvaluation(network, asked, part, most=100, seed=0).answered(params)
    assert found.lengths_B.tolist() == part.lengths_B.tolist()

    @jax.jit
    def answer(frames, lanes):
        return network.apply(params, frames, lanes).answers()

    for number in range(len(part)):
        frames, labels, lanes = alone(asked, part, number)
        rows = asked.rows(jax.device_get(answer(frames, lanes)), lanes, int(lanes.length_B[0]))
        right = np.asarray(labels).reshape(-1) if asked.per_frame else labels
        expected = asked.answered(right, rows, lanes.length_B)
        width = expected.targets.shape[1]
        for name in ("targets", "answers", "estimates", "confidence"):
            a, b = getattr(found, name), getattr(expected, name)
            assert (a is None) == (b is None)
            if a is not None:
                np.testing.assert_allclose(a[number, :width], b[0], rtol=1e-4, atol=1e-5)


def test_of_more_sequences_than_asked_for_always_the_same_are_chosen():
    asked, network, params = built(default(), "class")
    part = dataset("class").train
    few = StoredEvaluation(network, asked, part, most=10, seed=0).answered(params)
    again = StoredEvaluation(network, asked, part, most=10, seed=0).answered(params)
    assert len(few.targets) == 10
    np.testing.assert_array_equal(few.targets, again.targets)
    np.testing.assert_array_equal(few.lengths_B, again.lengths_B)


def test_rare_classes_weigh_as_much_as_frequent_ones():
    config = asking_for(default())
    plain = task(config)
    config.train.class_weights = True
    weighted = task(config)
    counts = np.array(dataset().info.counts)
    labels = np.repeat(np.arange(3), counts)
    lanes = padded_lanes(np.ones(len(labels), int))

    class Output:
        def loss(self, targets):
            return jnp.ones(targets.shape)

    def total(asked, chosen):
        batch = asked.batch(None, jnp.asarray(labels), lanes, None)
        ends = jnp.asarray(lanes.ends_TxN) & (batch.targets == chosen)
        batch = Batch(None, lanes.replace(ends_TxN=ends), batch.targets)
        return float(asked.loss(Output(), batch))

    assert [total(plain, k) for k in range(3)] == counts.tolist()
    np.testing.assert_allclose([total(weighted, k) for k in range(3)], counts.sum() / 3, rtol=1e-6)


def test_scores_of_classes():
    asked = task(default())
    right, answer = np.array([0, 0, 0, 2]), np.array([[0], [0], [1], [2]])
    rows = Answers(answer, None, np.full((4, 1), 0.5))
    scores = asked.score(asked.answered(right, rows, np.ones(4, int)))
    assert scores["exact"] == 0.75
    assert scores["balanced"] == pytest.approx((2 / 3 + 1) / 2)
    assert scores["confusion"] == [[2, 1, 0], [0, 0, 0], [0, 0, 1]]
    assert [row["class"] for row in scores["per_class"]] == ["a", "c"]


def test_scores_of_numbers_for_frames_rank_each_sequence():
    asked = task(default(), "numbers")
    lengths = np.array([3, 2, 4])
    right = np.array([1, 2, 3, 5, 5, 4, 3, 2, 1], np.float32)
    estimate = np.array([[10, 20, 30, np.nan], [1, 2, np.nan, np.nan], [1, 2, 3, 4]], np.float32)
    scores = asked.score(asked.answered(right, Answers(estimate, estimate), lengths))
    assert scores["tau"] == pytest.approx(0)  # 1 and -1; the second is not ranked
    assert scores["rho"] == pytest.approx(0)
    assert scores["ranked"] == 2
    errors = [9, 18, 27, -4, -3, -3, -1, 1, 3]
    assert scores["rmse"] == pytest.approx(np.sqrt(np.mean(np.square(errors))))


def test_the_same_estimate_for_all_frames_ranks_nothing():
    asked = task(default(), "numbers")
    flat = np.full((1, 3), 2, np.float32)
    scores = asked.score(asked.answered(np.array([1, 2, 3.0]), Answers(flat, flat), np.array([3])))
    assert (scores["tau"], scores["rho"]) == (0, 0)


def test_texts_are_words_up_to_their_end():
    asked = task(default(), "text")
    encoded = asked.encode(np.array(["dog runs", "cat", "bird runs", "dog runs far away"]))
    end = 4
    assert encoded.tolist() == [[1, 2, end], [0, end, end], [-1, 2, end], [1, 2, -1]]
    assert [asked.text(row) for row in encoded] == ["dog runs", "cat", "? runs", "dog runs ?"]
    written = Answers(np.array([[1, 2, end], [0, end, 3], [0, 2, end], [1, 2, end]]), None, 0.5)
    lanes = padded_lanes(np.ones(4, int))
    written = written.replace(confidence=np.full((4, 3), 0.5))
    found = asked.answered(encoded, asked.rows(written, lanes, 1), np.ones(4, int))
    assert found.wrong_B.tolist() == [False, False, True, True]
    assert found.severity_B.tolist() == [0.125, 0.25, 0.125, 0.125]  # nothing behind END counts
    assert asked.score(found)["per_symbol"] == 9 / 11
    assert len(asked.confusions(found)[0]) == 9  # of the symbols that are known


def test_large_numbers_are_scored(recwarn):
    asked = task(default(), "number")
    right, found = np.full(1000, 1e18, np.float32), np.full((1000, 1), -1e18, np.float32)
    scores = asked.score(asked.answered(right, Answers(found, found), np.ones(1000, int)))
    np.testing.assert_allclose(scores["rmse"], 2e18, rtol=1e-6)
    assert not recwarn.list


@pytest.mark.parametrize(
    ("kind", "field", "value", "said"),
    [
        ("class", "model.head", "marginal", "expected class"),
        ("number", "model.head", "class", "expected last"),
        ("text", "model.head", "last", "expected decoder"),
        ("line", "model.head", "decoder", "expected ctc"),
    ],
)
def test_heads_that_cannot_answer_are_refused(kind, field, value, said):
    config = asking_for(default(), kind)
    config.update_from_flattened_dict({field: value})
    with pytest.raises(UserError, match=f"--config.model.head={value} .*{said}$"):
        crnn.build(config.model, tasks.build(config, dataset(kind).info).question)


@pytest.mark.parametrize("name", ["number", "number_per_frame", "text"])
def test_labelled_images_have_no_answers_of_their_own(name):
    config = default()
    config.task.name = name
    with pytest.raises(UserError, match=f"task.name={name} .* expected --config.data.path"):
        tasks.is_stored(config)
