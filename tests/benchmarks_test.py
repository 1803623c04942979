"""The benchmarks at a tiny size: their systems agree and answer, their tables can be written."""

import ast
import itertools
import json
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from benchmarks import bench, clips, growth, lines, parts, products, report, worker
from benchmarks.protocol import Corpus
from benchmarks.systems import lines_crnn_jax
from configs.sum8_2016 import get_config
from crnn_jax import tasks
from crnn_jax.data.lanes import padded_lanes
from crnn_jax.model import crnn
from crnn_jax.runs.checkpoint import Checkpoints
from crnn_jax.runs.load import restore
from crnn_jax.train.trainer import Trainer
from tests.networks import random_state
from tests.tiny import takes_long

BATCH = 8


@pytest.fixture(scope="module")
def folder(tmp_path_factory, optdigits):
    """Images and labels as workers read them."""
    folder = tmp_path_factory.mktemp("digits")
    for name, split in {"": optdigits.train, "test_": optdigits.test}.items():
        np.save(folder / f"{name}images.npy", split.images_IxHxWxC[..., 0])
        np.save(folder / f"{name}labels.npy", split.labels_I)
    return folder


@takes_long
def test_this_project_and_plain_flax_agree_and_are_timed(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("JAX_NUM_CPU_DEVICES", "1")
    monkeypatch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")  # compiling takes longest
    monkeypatch.delenv("XLA_FLAGS")
    found = bench.rates(["crnn_jax", "flax"], BATCH, 1, folder, tmp_path)
    assert found["batch"] == BATCH
    assert found["sgemm"][0] > 1e8
    for system in found["systems"].values():
        assert system["train"][0] > 0 < system["infer"][0]
        assert system["memory"] > 100


def test_systems_that_answer_otherwise_are_not_timed(tmp_path, monkeypatch):
    closed = []

    class Opened:
        def __init__(self, system, *_):
            self.system = system

        def ask(self, _):
            return [1.0, 2.0 if self.system == "right" else 2.1]

        def close(self):
            closed.append(self.system)

    monkeypatch.setattr(bench, "Worker", Opened)
    with pytest.raises(SystemExit, match=r"^wrong differs from right by 1\.0e-01$"):
        bench.rates(["right", "wrong"], BATCH, 1, tmp_path, tmp_path)
    assert closed == ["right", "wrong"]


def test_clips_are_padded_with_black(optdigits, tmp_path):
    bench.film(optdigits.train, tmp_path, count=6)
    corpus = clips.Corpus.read(tmp_path)
    assert len(corpus.frames) == corpus.lengths.sum()
    assert corpus.answers.max() < clips.CLASSES
    frames, lengths = corpus.first(6)
    assert frames.shape == (6, clips.LONGEST, clips.SIZE, clips.SIZE)
    np.testing.assert_array_equal(lengths, corpus.lengths)
    assert len(set(lengths)) > 1
    real = np.arange(clips.LONGEST) < lengths[:, None]
    np.testing.assert_array_equal(frames[real], corpus.frames)
    assert not frames[~real].any()
    assert corpus.frames.any(axis=(1, 2)).all()


def test_lines_have_the_gaps_that_were_drawn():
    images = np.zeros((4, 28, 28), np.uint8)
    for image, (left, width) in zip(images, [(3, 6), (10, 12), (0, 3), (20, 5)], strict=True):
        image[:, left : left + width] = 100 + width
    found = lines.line(images, np.array([3, -4, -8]))
    # The third digit, 103, is within the second. The fourth would begin to the left of it.
    ink = [(0, 2), (106, 6), (0, 3), (112, 12), (0, 4), (105, 5), (0, 2 + 2)]
    expected = np.zeros((lines.HEIGHT, 36), np.uint8)
    expected[2:30] = np.repeat(*np.transpose(ink))
    np.testing.assert_array_equal(found, expected)


def test_lines_are_long_enough_for_their_texts_and_lie_on_their_side(optdigits, tmp_path):
    images, labels = optdigits.train.images_IxHxWxC[..., 0], optdigits.train.labels_I
    lines.compose(images, labels, count=60).write(tmp_path)
    corpus = lines.Corpus.read(tmp_path)
    texts = [text[text >= 0].tolist() for text in corpus.answers]
    assert {len(text) for text in texts} == set(range(1, lines.MOST + 1))
    for length, text in zip(corpus.lengths, texts, strict=True):
        assert length >= len(text) + sum(a == b for a, b in itertools.pairwise(text))
    strips, lengths = corpus.first(3)
    assert len(strips) == 3
    assert len(set(lengths)) == 1
    (one,) = np.flatnonzero(corpus.lengths == lengths[0])[1:2]
    picture = np.concatenate(corpus.clips(np.array([one]))[0], axis=1)
    np.testing.assert_array_equal(lines.on_side(strips)[1].T, picture)


@pytest.mark.parametrize("network", [lines.ROWS, lines.CAPTCHA])
def test_weights_of_lines_are_those_of_the_network(network):
    images = np.ones((10, 28, 28), np.uint8)
    corpus = lines.compose(images, np.arange(10, dtype=np.int32), count=4)
    config = lines_crnn_jax.config(network, 64, 2)
    question = tasks.build(config, lines_crnn_jax.dataset(corpus).info).question
    expected = crnn.parameter_shapes(crnn.build(config.model, question), question)
    given = lines_crnn_jax.parameters(network.weights(), network)
    assert jax.tree.map(np.shape, given) == jax.tree.map(np.shape, expected)


def test_every_system_is_there(project):
    systems = worker.SYSTEMS | worker.CLIPS | worker.ROWS | worker.CAPTCHA
    for module, _, name in (system.partition(":") for system in systems.values()):
        written = ast.parse((project / "benchmarks" / "systems" / f"{module}.py").read_text())
        assert name in {getattr(part, "name", "") for part in written.body}


def test_learning_ends_at_the_aim_and_leaves_the_tests_out(folder, monkeypatch):
    test = Corpus(*(np.load(folder / f"test_{name}.npy") for name in ("images", "labels")))
    monkeypatch.setattr(worker, "TESTED", 16)

    class System:
        trained = 0

        def train(self, steps):
            self.trained += steps

        def answers(self, frames, lengths):
            return frames.max(axis=(2, 3)).sum(axis=1) * (self.trained < 3000)

    system = System()
    monkeypatch.setattr(worker, "AIM", 40.0)  # all zeros are nearer than the brightest pixels
    found = worker.learned(system, test, BATCH)
    assert found["sequences"] == system.trained * BATCH
    assert found["sequences"] >= 3000 * BATCH
    assert found["rmse"] <= 40


@pytest.mark.parametrize(
    ("what", "value", "expected"),
    [
        ("length", 2, {"task.min_length": 2, "task.max_length": 2}),
        ("images", 700, {}),
        ("devices", 1, {"train.batch_size": 256}),
        ("tested", 16, {"eval.validation_sequences": 16}),
    ],
)
def test_growth_is_measured_of_what_is_asked(what, value, expected, folder, monkeypatch, capsys):
    measured = []
    for name in ("training", "testing"):
        monkeypatch.setattr(
            growth, name, lambda config, corpus: measured.append((config, corpus)) or [2.0]
        )
    monkeypatch.setattr(sys, "argv", ["growth.py", what, str(value), str(folder)])
    growth.main()
    ((config, corpus),) = measured
    assert len(corpus.train.labels_I) == (700 if what == "images" else 60_000)
    for field, setting in expected.items():
        section, name = field.split(".")
        assert config[section][name] == setting
    factor = {"length": 2 * 32, "tested": 1, "devices": 256}.get(what, 32)
    assert bench.heard(capsys.readouterr().out.splitlines(), what) == [2.0 * factor]


def test_growth_trains_and_tests(folder, monkeypatch):
    monkeypatch.setattr(growth, "STRETCH", 0.01)
    monkeypatch.setattr(growth, "REPEATS", 1)
    config = get_config()
    config.task.max_length, config.train.batch_size, config.train.steps_per_dispatch = 2, 16, 1
    config.model.convs, config.model.gru_units = (), (8,)
    config.eval.validation_sequences = 16
    corpus = growth.repeated(folder, 500)
    for measure in (growth.training, growth.testing):
        (rate,) = measure(config, corpus)
        assert rate > 0


@pytest.fixture
def a_run(tiny_config, optdigits, data_dir, tmp_path):
    """Folder of a run on products of two digits, of random parameters."""
    tiny_config.task.name, tiny_config.task.min_length, tiny_config.task.max_length = (
        "product",
        2,
        2,
    )
    tiny_config.model.convs, tiny_config.model.head = (), "last"
    tiny_config.data.data_dir = data_dir
    state = random_state(Trainer(tiny_config, optdigits), scale=0.3)
    metadata = {
        "config": json.loads(tiny_config.to_json()),
        "dataset": optdigits.info.to_json(),
        "clock": {},
    }
    with Checkpoints(tmp_path / "run" / "checkpoints", keep_latest=1, keep_best=0) as checkpoints:
        checkpoints.save(4, {"params": jax.device_get(state.params)}, metadata, None)
    return str(tmp_path / "run")


def test_a_run_is_read_on_each_part_of_the_images(a_run, capsys):
    parts.main([a_run])
    lines = capsys.readouterr().out
    for part in ("training", "validation", "test, first half", "test, second half"):
        assert f"│ {part}" in lines


def test_a_run_is_read_pair_by_pair(a_run, optdigits, capsys, monkeypatch):
    monkeypatch.setattr(products, "PAIRS", 5)
    products.main([a_run])
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("│")]
    assert len(rows) == 10
    shares = np.array([[float(share) for share in row.split("│")[2:-1]] for row in rows])
    restored, test = restore(Path(a_run)), optdigits.test
    rng, right = np.random.default_rng(0), []
    answer = jax.jit(restored.network.apply)
    for pair in np.ndindex(10, 10):
        chosen_2xB = [rng.permutation(np.flatnonzero(test.labels_I == x))[:5] for x in pair]
        frames, lanes = test.images_IxHxWxC[np.stack(chosen_2xB)], padded_lanes(np.full(5, 2))
        found = answer(restored.params, frames, lanes).answers().answer[1]
        right.append(np.mean(found == pair[0] * pair[1]))
    np.testing.assert_allclose(shares.ravel(), right, atol=1e-3)
    assert len(np.unique(shares)) > 2


def test_results_are_what_was_measured(project, tmp_path):
    measured = json.loads((project / "benchmarks" / "results.json").read_text())
    (tmp_path / "figures").mkdir()
    report.write(measured, tmp_path)
    written = (tmp_path / "RESULTS.md").read_text()
    assert written == (project / "benchmarks" / "RESULTS.md").read_text()
    assert (tmp_path / "figures" / "rates.png").read_bytes().startswith(b"\x89PNG")
    measured["quick"]["found"]["rmse"] = [0.1234]
    report.write(measured, tmp_path)
    assert "0.123" in (tmp_path / "RESULTS.md").read_text()
