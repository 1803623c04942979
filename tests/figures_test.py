"""Figures: what is computed for them is exact, and what they say is reachable in them."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.text import Text
from PIL import Image

from crnn_jax import UserError
from crnn_jax.data.draw import SCENE, Draw
from crnn_jax.evaluate import Evaluation
from crnn_jax.figures import confusion, curves, draw_figures, kernels, reading, saving, strips
from crnn_jax.model import crnn
from crnn_jax.runs.load import Restored
from tests.files import tensorboard_events

LINES = [
    {"step": 2, "gradient_norm": 1.0, "loss": 3.0},
    {"step": 2, "validation_rmse": 5.0, "validation_exact": 0.25},
    {"step": 4, "gradient_norm": "nan", "loss": 2.0},
    {"step": 4, "validation_rmse": 4.5, "validation_exact": 0.5},
]


def write_metrics(workdir, text=None):
    """A run's metrics.jsonl."""
    workdir.mkdir(exist_ok=True)
    path = workdir / "metrics.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in LINES) if text is None else text)
    return path


def randomly(config, corpus, seed=3):
    """A network of random parameters, as if it had been restored."""
    network = crnn.build(config, digits=len(corpus.info.classes))
    shapes = crnn.parameter_shapes(network, config, corpus.info.frame_shape)
    rng = np.random.default_rng(seed)
    params = jax.tree.map(lambda x: rng.normal(0, 0.3, x.shape).astype(x.dtype), shapes)
    return Restored(config, corpus.identity, 4, network, params)


@pytest.fixture(autouse=True)
def few_sequences(monkeypatch):
    # No part of them is left over, which would be compiled apart.
    monkeypatch.setattr(reading, "SEQUENCES", 75)
    monkeypatch.setattr(reading, "IMAGES_AT_ONCE", 75)


@pytest.fixture
def configure(tiny_config):
    """Makes the tiny config one of another task."""

    def change(task="sum", head="marginal", length=4):
        tiny_config.task.name, tiny_config.model.head = task, head
        tiny_config.task.max_length = length
        if head == "decoder":
            tiny_config.model.decoder_units = 8
            tiny_config.task.min_length = length
        return tiny_config

    return change


class TestCurves:
    def test_a_running_mean_takes_what_there_is_on_both_sides(self):
        values = np.array([1.0, 2.0, 6.0, 0.0])
        assert curves.running_mean(values, 0).tolist() == values.tolist()
        assert curves.running_mean(values, 1).tolist() == values.tolist()
        assert curves.running_mean(values, 2) == pytest.approx([1.5, 3, 8 / 3, 3])
        assert curves.running_mean(values, 9) == pytest.approx([2.25] * 4)

    def test_reads_what_a_run_writes(self, tmp_path):
        lines = curves.read_metrics(write_metrics(tmp_path))
        assert lines[0] == {"step": 2, "loss": 3}
        assert lines[3] == {"step": 4, "validation_rmse": 4.5, "validation_exact": 0.5}

    def test_a_last_line_that_is_cut_short_is_left_out(self, tmp_path):
        path = write_metrics(tmp_path)
        whole = curves.read_metrics(path)
        path.write_text(path.read_text() + '{"step": 6, "lo')
        assert curves.read_metrics(path) == whole

    @pytest.mark.parametrize("line", ["oops", "[1]", "3", '{"loss": 1}', '{"step": 1, "loss": {}}'])
    def test_a_damaged_line_is_named(self, line, tmp_path):
        path = write_metrics(tmp_path, f'{{"step": 1, "loss": 1}}\n{line}\n{{"step": 2}}\n')
        with pytest.raises(UserError, match=r"metrics\.jsonl line 2 is no JSON object"):
            curves.read_metrics(path)

    def test_no_metrics_are_a_clear_error(self, tmp_path):
        with pytest.raises(UserError, match=r"metrics\.jsonl cannot be read \(No such file"):
            curves.read_metrics(tmp_path / "metrics.jsonl")
        with pytest.raises(UserError, match="says no loss yet"):
            curves.read_metrics(write_metrics(tmp_path, ""))

    def test_draws_what_was_measured(self, tmp_path):
        lines = curves.read_metrics(write_metrics(tmp_path))
        loss, rmse, exact = curves.draw_curves(lines).axes
        assert loss.get_yscale() == "log"
        raw, smooth = (line.get_xydata().tolist() for line in loss.get_lines())
        assert raw == smooth == [[2, 3], [4, 2]]
        assert rmse.get_lines()[0].get_xydata().tolist() == [[2, 5], [4, 4.5]]
        assert rmse.get_title() == "validation rmse: 4.5"
        assert exact.get_title() == "validation, share exact: 0.5"
        only_exact = [{k: v for k, v in x.items() if k != "validation_rmse"} for x in lines]
        assert [len(curves.draw_curves(x).axes) for x in (only_exact, lines[:1])] == [2, 1]


class TestKernels:
    EDGE = np.array([[1.0, 0, -1]] * 3)

    def test_correlations_are_those_of_numpy_and_0_with_what_is_flat(self):
        rng = np.random.default_rng(0)
        mine, others = rng.normal(size=(3, 4, 4)), rng.normal(size=(2, 4, 4))
        found = kernels.correlations(mine, others)
        expected = np.corrcoef(mine.reshape(3, -1), others.reshape(2, -1))[:3, 3:]
        np.testing.assert_allclose(found, expected, atol=1e-12)
        flat = np.full((1, 3, 3), 0.1)
        assert kernels.correlations(flat, np.stack([self.EDGE, flat[0]])).tolist() == [[0, 0]]

    def test_matches_are_one_to_one_whatever_order_sign_and_scale(self):
        rng = np.random.default_rng(0)
        mine = rng.normal(size=(5, 4, 4))
        others = np.stack([-3 * mine[4], *rng.normal(size=(2, 4, 4)), 0.5 * mine[1] + 7])
        matches = kernels.match(mine, others)
        assert len(matches) == 4
        assert {(k, m): round(r, 9) for k, m, r in matches[:2]} == {(4, 0): -1, (1, 3): 1}
        assert len({k for k, _, _ in matches}) == len({m for _, m, _ in matches}) == 4
        sizes = [abs(r) for _, _, r in matches]
        assert sizes == sorted(sizes, reverse=True)
        assert kernels.mean_matched(matches) == pytest.approx(sum(sizes) / 4)

    def test_the_sum_counts_and_not_the_best_single_match(self):
        x, y, z = np.linalg.qr(np.diff(np.eye(9)[:, ::2]))[0].T[:3].reshape(3, 3, 3)
        mine = np.stack([0.6 * x + 0.5 * y, 0.6 * x + z])
        assert kernels.correlations(mine, np.stack([x, y])).argmax(axis=1).tolist() == [0, 0]
        matches = kernels.match(mine, np.stack([x, y]))
        assert {(k, m) for k, m, _ in matches} == {(0, 1), (1, 0)}

    def test_chance_is_the_same_every_time_and_what_random_kernels_reach(self):
        mine, others = np.zeros((6, 5, 5)), np.zeros((24, 5, 5))
        found = kernels.chance(mine, others, kernels.white_noise)
        assert found == kernels.chance(mine, others, kernels.white_noise)
        rng = np.random.default_rng(8)
        drawn = [
            kernels.mean_matched(
                kernels.match(rng.normal(size=mine.shape), rng.normal(size=others.shape))
            )
            for _ in range(200)
        ]
        assert found == pytest.approx(np.mean(drawn), abs=0.02)
        assert kernels.chance(mine[:1], others[:1], kernels.white_noise) < found / 2

    def test_smooth_noise_is_as_smooth_as_the_kernels(self):
        rng = np.random.default_rng(0)
        stripes = np.cos(np.arange(6) + rng.uniform(0, 7, size=(40, 1)))[:, None] * np.ones((6, 1))

        def covariances(found):
            """At the lags (0, 0), (0, 1), (1, 0): sums over a kernel."""
            pairs = (
                (found, found),
                (found[:, :, 1:], found[:, :, :-1]),
                (found[:, 1:], found[:, :-1]),
            )
            return np.array([np.mean(np.sum(a * b, axis=(1, 2))) for a, b in pairs])

        noise = np.concatenate([kernels.smooth_noise(stripes, rng) for _ in range(200)])
        expected = covariances(stripes - stripes.mean(axis=(1, 2), keepdims=True))
        # Fewer pairs of pixels lie a pixel apart, and in the noise all are equally alike.
        np.testing.assert_allclose(covariances(noise), expected * [1, 5 / 6, 5 / 6], rtol=0.05)
        white = covariances(rng.normal(size=noise.shape))
        assert abs(white[2] / white[0]) < 0.1 < 0.7 < expected[2] / expected[0]
        assert kernels.chance(stripes, stripes, kernels.smooth_noise) > 1.3 * kernels.chance(
            stripes, stripes, kernels.white_noise
        )

    def test_the_first_layer_that_sees_pixels_is_taken(self, configure, optdigits):
        convs = randomly(configure(), optdigits)
        found = kernels.first_kernels(convs)
        kernel = convs.params["params"]["encoder"]["convs"]["conv0_kernel"]
        assert found.shape == (4, 5, 5)
        assert found[3, 1, 2] == kernel[1, 2, 0, 3]
        config = configure()
        config.model.convs, config.model.dense = (), (20,)
        dense = randomly(config, optdigits)
        found = kernels.first_kernels(dense)
        weights = dense.params["params"]["encoder"]["dense0"]["kernel"]
        assert found.shape == (16, 28, 28)
        assert found[15, 3, 4] == weights[3 * 28 + 4, 15]
        config.model.dense = ()
        assert kernels.first_kernels(randomly(config, optdigits)) is None

    def test_the_title_says_how_alike_the_kernels_are(self, configure, optdigits):
        config = configure()
        mine = randomly(config, optdigits)
        alone = kernels.draw_kernels(mine, None)
        assert alone.texts[0].get_text().startswith("4 first kernels of 5×5 (sum, step 4)\n")
        assert len(alone.axes[0].images) == 4
        itself = kernels.draw_kernels(mine, mine)
        assert "mean |r| of the matches 1.00; of random kernels 0." in itself.texts[0].get_text()
        assert "the same seed" in itself.texts[0].get_text()
        assert [text.get_text() for text in itself.axes[0].texts] == ["r +1.00"] * 4
        other = config.copy_and_resolve_references()
        other.model.convs = ((7, 5, True),)
        wider = kernels.draw_kernels(mine, randomly(other, optdigits))
        assert len(wider.axes[0].images) == 4 + 7
        assert "the same seed" not in wider.texts[0].get_text()
        drawn = sorted(image.get_array().max() for image in wider.axes[0].images)
        assert drawn[-1] <= 1

    def test_kernels_of_another_size_are_refused(self, configure, optdigits):
        config = configure()
        mine = randomly(config, optdigits)
        other = config.copy_and_resolve_references()
        other.model.convs = ((4, 3, True),)
        with pytest.raises(UserError, match=r"kernels of that run are 3×3, not 5×5: expected"):
            kernels.draw_kernels(mine, randomly(other, optdigits))


class TestReading:
    @pytest.mark.parametrize(
        ("task", "head", "at_once"),
        [("sum", "last", 40), ("sum", "marginal", 75), ("product", "marginal", 75)],
    )
    def test_agrees_with_reading_the_sequences_one_by_one(
        self, task, head, at_once, configure, optdigits, monkeypatch
    ):
        monkeypatch.setattr(reading, "IMAGES_AT_ONCE", at_once)
        restored = randomly(configure(task, head), optdigits)
        found = reading.SplitReader(restored, optdigits.test).sequences()
        draw = Draw(restored.config.eval.seed, 1, 4, 300)
        indices = np.asarray(draw.image_indices(0, jnp.arange(75)))
        assert (found.frames_BxLxHxWxC == optdigits.test.images_NxHxWxC[indices]).all()
        assert found.lengths_B.tolist() == [1 + i % 4 for i in range(75)]
        labels = optdigits.test.labels_N[indices]
        right = np.cumsum(labels, 1) if task == "sum" else np.cumprod(labels, 1)
        assert (found.target_BxL == right).all()
        starts = np.broadcast_to((np.arange(4) == 0)[:, None], (4, 75))
        frames = optdigits.test.images_NxHxWxC[indices].swapaxes(0, 1)
        output = jax.jit(restored.network.apply)(restored.params, frames, starts)
        np.testing.assert_allclose(found.estimate_BxL, output.estimate().T, rtol=1e-4, atol=1e-4)
        assert np.mean(found.answer_BxL == np.asarray(output.answer()).T) > 0.98
        if head == "last":
            assert found.confidence_BxL is None
            error = np.abs(found.estimate_BxL - right)[np.arange(75), found.lengths_B - 1]
            assert found.severity_B == pytest.approx(error)
        else:
            probability = np.exp(np.asarray(output.log_probs_TxNxK)).max(-1).T
            np.testing.assert_allclose(found.confidence_BxL, probability, rtol=1e-4)
            assert found.severity_B == pytest.approx(found.last(found.confidence_BxL))

    def test_the_sequences_are_those_of_the_evaluation(self, configure, optdigits):
        restored = randomly(configure(), optdigits)
        wrong = reading.SplitReader(restored, optdigits.test).sequences().wrong_B
        draw = Draw(restored.config.eval.seed, 1, 4, 300)
        evaluation = Evaluation(restored.network, optdigits.test, draw, 75, training_mean=1.0)
        assert evaluation(restored.params)["exact"] == pytest.approx(1 - wrong.mean())

    def test_images_alone_are_sequences_of_length_1(self, configure, optdigits):
        restored = randomly(configure("product"), optdigits)
        found = reading.SplitReader(restored, optdigits.test).images_alone()
        assert found.lengths_B.tolist() == [1] * 300
        assert (found.target_BxL[:, 0] == optdigits.test.labels_N).all()
        frames = optdigits.test.images_NxHxWxC[None]
        output = jax.jit(restored.network.apply)(restored.params, frames, np.ones((1, 300), bool))
        assert np.mean(found.answer_BxL[:, 0] == output.answer()[0]) > 0.98

    def test_where_all_sequences_are_of_one_image_each_is_read_once(self, configure, optdigits):
        restored = randomly(configure("classify", length=1), optdigits)
        found = reading.SplitReader(restored, optdigits.test).sequences()
        assert (found.frames_BxLxHxWxC[:, 0] == optdigits.test.images_NxHxWxC).all()

    def test_written_answers_agree_with_writing_them_at_once(self, configure, optdigits):
        restored = randomly(configure("addition", "decoder", 4), optdigits)
        found = reading.SplitReader(restored, optdigits.test).sequences()
        draw = Draw(restored.config.eval.seed, 4, 4, 300)
        indices = np.asarray(draw.image_indices(0, jnp.arange(75)))
        tens = optdigits.test.labels_N[indices] @ [10, 1, 10, 1]
        assert (found.target_BxS @ [1, 10, 100] == tens).all()
        starts = np.broadcast_to((np.arange(4) == 0)[:, None], (4, 75))
        frames = optdigits.test.images_NxHxWxC[indices].swapaxes(0, 1)
        output = jax.jit(restored.network.apply)(restored.params, frames, starts)
        assert np.mean(found.answer_BxS == output.answer()) > 0.98
        product = np.prod(found.confidence_BxS.astype(np.float64), axis=1)
        assert found.severity_B == pytest.approx(product)
        assert (found.wrong_B == (found.answer_BxS != found.target_BxS).any(1)).all()

    def test_clips_are_those_of_the_evaluation(self, configure, optdigits):
        restored = randomly(configure("caption", "decoder", 1), optdigits)
        found = reading.SplitReader(restored, optdigits.test).sequences()
        draw = Draw(restored.config.eval.seed, 1, 1, 300)
        index = int(draw.image_indices(0, jnp.arange(75))[74, 0])
        frames, _, symbols = jax.jit(restored.network.task.show)(
            optdigits.test.images_NxHxWxC[None, [index]],
            optdigits.test.labels_N[None, [index]],
            np.ones((1, 1), bool),
            draw.key(0, 74, SCENE)[None],
        )
        assert np.abs(found.frames_BxTxHxWxC[74] - np.asarray(frames[:, 0], float)).max() <= 1
        assert (found.target_BxS[74] == symbols[0]).all()


def numbers(target, answer, estimate, confidence=None):
    """What is answered about sequences of two frames."""
    frames = np.zeros((len(target), 2, 28, 28), np.uint8)
    lengths = np.full(len(target), 2)
    confidence = None if confidence is None else np.array(confidence)
    return reading.Numbers(frames, lengths, *map(np.array, (target, answer, estimate)), confidence)


def written_below(axes):
    return [(text.get_text(), text.get_color()) for text in axes.texts]


class TestStrips:
    def test_contributions_add_up_to_the_estimate(self):
        assert strips.contributions(np.array([3.0, 3.5, 12.0])).tolist() == [3, 0.5, 8.5]

    def test_the_most_severe_errors_come_first(self):
        wrong = np.array([True, False, True, True, True])
        severity = np.array([0.2, 0.9, 0.7, 0.2, 0.8])
        assert strips.most_severe(wrong, severity, 3).tolist() == [4, 2, 0]
        assert strips.most_severe(wrong, severity, 9).tolist() == [4, 2, 0, 3]
        assert strips.most_severe(np.zeros(5, bool), severity, 9).tolist() == []

    def test_of_a_sum_each_frame_tells_what_it_adds(self, configure, optdigits):
        restored = randomly(configure(length=2), optdigits)
        found = numbers(
            target=[[3, 7], [5, 14]],
            answer=[[3, 7], [5, 9]],
            estimate=[[3.1, 7.0], [5.2, 9.3]],
            confidence=[[0.9, 0.8], [0.9, 0.876]],
        )
        figure = strips.draw_sheet(restored, found)
        right, wrong = figure.axes
        assert right.get_title("left") == "true 7, read 7 (80%)"
        assert wrong.get_title("left") == "true 14, read 9 (88%)"
        colours = {text.get_text(): text.get_color() for text in figure.findobj(Text)}
        assert colours["true 7, read 7 (80%)"] == strips.RIGHT
        assert colours["true 14, read 9 (88%)"] == strips.WRONG
        assert written_below(right) == [("+3.1", strips.RIGHT), ("+3.9", strips.RIGHT)]
        assert written_below(wrong) == [("+5.2", strips.RIGHT), ("+4.1", strips.WRONG)]
        assert [len(axes.images) for axes in figure.axes] == [2, 2]
        assert "adds to the estimate" in figure.texts[0].get_text()

    def test_of_other_numbers_each_frame_tells_the_answer_after_it(self, configure, optdigits):
        restored = randomly(configure("product", "last", 2), optdigits)
        found = numbers([[3, 12]], [[2, 1200]], [[2.2, 1200.25]])
        (axes,) = strips.draw_sheet(restored, found).axes
        assert axes.get_title("left") == "true 12, read 1,200 (1200.25)"
        assert written_below(axes) == [("2", strips.WRONG), ("1,200", strips.WRONG)]

    def test_the_hardest_are_the_most_confident_errors(self, configure, optdigits):
        restored = randomly(configure(length=2), optdigits)
        target = [[1, 1], [1, 2], [1, 3], [1, 4]]
        answer = [[1, 9], [1, 9], [1, 3], [1, 9]]
        confidence = [[0.9, 0.2], [0.9, 0.6], [0.9, 0.9], [0.1, 0.4]]
        figure = strips.draw_hardest(restored, numbers(target, answer, answer, confidence))
        titles = [axes.get_title("left") for axes in figure.axes]
        assert titles == [f"true {n}, read 9 ({p}%)" for n, p in ((2, 60), (4, 40), (1, 20))]
        assert figure.texts[0].get_text().startswith("3 of 4 test sequences are answered wrongly: ")
        figure = strips.draw_hardest(restored, numbers(target, answer, answer))
        assert "the largest errors" in figure.texts[0].get_text()
        titles = [axes.get_title("left") for axes in figure.axes]
        assert titles == [f"true {n}, read 9 (9.00)" for n in (1, 2, 4)]
        figure = strips.draw_hardest(restored, numbers(target, target, target))
        assert figure.texts[0].get_text() == "None of 4 test sequences is answered wrongly"
        assert figure.axes == []

    def test_a_written_sum_is_read_from_left_to_right(self, configure, optdigits):
        restored = randomly(configure("addition", "decoder", 4), optdigits)
        frames = np.zeros((1, 4, 28, 28), np.uint8)
        target, answer = np.array([[3, 2, 1]]), np.array([[4, 2, 1]])
        found = reading.Texts(frames, target, answer, np.array([[0.5, 0.9, 1.0]]))
        (axes,) = strips.draw_sheet(restored, found).axes
        assert axes.get_title("left") == "true 123, read 124 (45%)"
        assert written_below(axes) == [
            ("+", strips.RIGHT),
            ("=", strips.RIGHT),
            ("1", strips.RIGHT),
            ("100%", strips.RIGHT),
            ("2", strips.RIGHT),
            ("90%", strips.RIGHT),
            ("4", strips.WRONG),
            ("50%", strips.WRONG),
        ]
        places = [image.get_extent()[0] for image in axes.images]
        first, middle, last = np.diff(places)
        assert first == pytest.approx(last)
        assert middle > first

    def test_a_caption_stands_above_its_clip(self, configure, optdigits):
        restored = randomly(configure("caption", "decoder", 1), optdigits)
        task = restored.network.task
        words = ["the", "digit", "one", "grows", "slowly", *["END"] * 5]
        target = np.array([[task.vocabulary.index(word) for word in words]])
        answer = target.copy()
        answer[0, 4] = task.vocabulary.index("quickly")
        frames = np.zeros((1, 8, 40, 40), np.uint8)
        found = reading.Texts(frames, target, answer, np.array([[1.0] * 9 + [0.5]]))
        (axes,) = strips.draw_sheet(restored, found).axes
        assert axes.get_title("left") == (
            "true: the digit one grows slowly\nread: the digit one grows quickly (50%)"
        )
        assert len(axes.images) == 8

    def test_of_a_long_sequence_the_first_frames_are_shown(self, configure, optdigits):
        restored = randomly(configure(length=20), optdigits)
        ones = np.arange(1, 21)[None]
        frames = np.zeros((1, 20, 28, 28), np.uint8)
        found = reading.Numbers(frames, np.array([20]), ones, ones, ones, None)
        (axes,) = strips.draw_sheet(restored, found).axes
        assert (len(axes.images), len(axes.texts)) == (12, 12)
        assert len(strips.strips(restored, found, [0])[0].notes) == 12
        assert axes.get_title("left").endswith(", first 12 of 20 frames")


class TestConfusion:
    def test_counts(self):
        counts = confusion.confusion_counts(
            np.array([0, 0, 1, 2, 2, 2]), np.array([0, 2, 1, -2, 3, 2]), 3
        )
        assert counts.tolist() == [[1, 0, 1, 0], [0, 1, 0, 0], [0, 0, 1, 2]]

    def test_draws_the_counts_and_masks_what_is_right(self):
        counts = np.array([[90, 0, 3, 0], [0, 5, 0, 0], [1, 0, 1, 0]])
        axes = confusion.draw_counts(counts, "abc", "Letters").axes[0]
        assert axes.get_title() == "Letters: 96.00% right"
        shown = axes.images[0].get_array()
        assert shown.shape == (3, 3)
        assert shown.filled(-1).tolist() == [[-1, -1, 3], [-1, -1, -1], [1, -1, -1]]
        assert sorted(text.get_text() for text in axes.texts) == ["1", "1", "3", "5", "90"]
        assert [label.get_text() for label in axes.get_xticklabels()] == ["a", "b", "c"]

    def test_answers_that_are_no_class_have_a_column_of_their_own(self):
        axes = confusion.draw_counts(np.array([[1, 0, 0], [0, 0, 1]]), "ab", "Letters").axes[0]
        assert axes.images[0].get_array().shape == (2, 3)
        assert [label.get_text() for label in axes.get_xticklabels()] == ["a", "b", "other"]

    def test_nothing_wrong_can_be_drawn(self):
        axes = confusion.draw_counts(np.array([[2, 0, 0], [0, 1, 0]]), "ab", "Letters").axes[0]
        assert axes.get_title() == "Letters: 100.00% right"

    def test_counts_digits_read_alone_and_symbols_written(self, configure, optdigits):
        restored = randomly(configure(), optdigits)
        alone = reading.SplitReader(restored, optdigits.test).images_alone()
        right = np.mean(alone.answer_BxL[:, 0] == optdigits.test.labels_N)
        title = confusion.draw_confusion(restored, alone).axes[0].get_title()
        assert title == f"Each of 300 test images read alone: {right:.2%} right"
        restored = randomly(configure("addition", "decoder", 4), optdigits)
        texts = reading.SplitReader(restored, optdigits.test).sequences()
        right = np.mean(texts.target_BxS == texts.answer_BxS)
        title = confusion.draw_confusion(restored, texts).axes[0].get_title()
        assert title == f"Symbols of 75 test answers: {right:.2%} right"


def images_of(workdir):
    """Step, tag and bytes of all images that TensorBoard shows."""
    return [
        (event.step, value.tag, value.image.encoded_image_string)
        for event in tensorboard_events(workdir)
        for value in event.summary.value
    ]


NAMES = ["curves", "kernels", "sheet", "hardest", "confusion"]


@pytest.mark.parametrize(
    ("task", "head", "length"),
    [
        ("sum", "marginal", 8),
        ("product", "last", 3),
        ("classify", "marginal", 1),
        ("addition", "decoder", 6),
        ("caption", "decoder", 1),
    ],
)
def test_draws_every_figure_of_every_task(task, head, length, configure, optdigits, tmp_path):
    restored = randomly(configure(task, head, length), optdigits)
    write_metrics(tmp_path)
    paths = draw_figures(restored, optdigits, tmp_path, beside=None)
    assert paths == [tmp_path / "figures" / f"{name}.png" for name in NAMES]
    assert sorted(paths) == sorted((tmp_path / "figures").iterdir())  # no draft is left
    for path in paths:
        assert path.stat().st_size < 200_000
        with Image.open(path) as image:
            assert image.format == "PNG"
            assert 300 < image.width < 1400
            assert 150 < image.height < 1400
    shown = images_of(tmp_path)
    assert [(step, tag) for step, tag, _ in shown] == [(4, f"figures/{name}") for name in NAMES]
    assert all(image.startswith(b"\x89PNG") for _, _, image in shown)


def test_a_large_file_gets_a_palette(tmp_path, monkeypatch):
    figure = confusion.draw_counts(np.eye(3, 4) + 4 * np.eye(3, 4, 1), "abc", "Letters")
    sizes = {}
    for most_bytes, mode in ((200_000, "RGB"), (5000, "P")):
        monkeypatch.setattr(saving, "MOST_BYTES", most_bytes)
        (path,) = saving.save({"letters": figure}, tmp_path, 4)
        with Image.open(path) as image:
            assert image.mode == mode
        sizes[mode] = path.stat().st_size
    assert sizes["P"] < 0.6 * sizes["RGB"]


def test_a_network_without_a_layer_of_its_own_for_pixels_has_no_kernels(
    configure, optdigits, tmp_path
):
    config = configure(length=1)
    write_metrics(tmp_path)
    with_kernels = randomly(config, optdigits)
    config = config.copy_and_resolve_references()
    config.model.convs = ()
    without = randomly(config, optdigits)
    paths = draw_figures(without, optdigits, tmp_path, beside=None)
    assert [path.stem for path in paths] == [name for name in NAMES if name != "kernels"]
    for mine, beside in ((with_kernels, without), (without, with_kernels)):
        with pytest.raises(UserError, match="--beside: expected two runs with"):
            draw_figures(mine, optdigits, tmp_path, beside=beside)


def test_nothing_is_written_where_a_figure_cannot_be_drawn(configure, optdigits, tmp_path):
    config = configure()
    mine = randomly(config, optdigits)
    with pytest.raises(UserError, match=r"metrics\.jsonl cannot be read"):
        draw_figures(mine, optdigits, tmp_path, beside=None)
    write_metrics(tmp_path)
    other = config.copy_and_resolve_references()
    other.model.convs = ((4, 3, True),)
    with pytest.raises(UserError, match="kernels of that run are 3×3"):
        draw_figures(mine, optdigits, tmp_path, beside=randomly(other, optdigits))
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.jsonl"]


def test_a_folder_that_cannot_be_written_is_a_clear_error(configure, optdigits, tmp_path):
    restored = randomly(configure(length=1), optdigits)
    write_metrics(tmp_path)
    (tmp_path / "figures").write_text("in the way")
    with pytest.raises(UserError, match=r"no figures can be written to .* \(File exists\)"):
        draw_figures(restored, optdigits, tmp_path, beside=None)
    assert (tmp_path / "figures").read_text() == "in the way"
