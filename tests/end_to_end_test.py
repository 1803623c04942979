"""From a data set to figures: sums over coloured patches of odd size, and classes of digits."""

import json

import numpy as np
import pytest

from crnn_jax import config, evaluate
from crnn_jax.data.dataset import Dataset, DatasetInfo
from crnn_jax.data.split import Split, identity
from crnn_jax.figures import draw_figures
from crnn_jax.predict import Predictor
from crnn_jax.runs.load import restore
from crnn_jax.train.loop import train

COLOURS = {"black": (0, 0, 0), "red": (1, 0, 0), "cyan": (0, 1, 1), "white": (1, 1, 1)}
SHAPE = (17, 23, 3)


def patches(count, seed):
    """Images that are noise in one colour, which is their class."""
    rng = np.random.default_rng(seed)
    labels_I = rng.integers(0, len(COLOURS), count).astype(np.int32)
    tints_Ix3 = np.array(list(COLOURS.values()))[labels_I]
    brightness = 60 + 120 * tints_Ix3[:, None, None] + rng.normal(0, 40, (count, *SHAPE))
    return Split(np.clip(brightness, 0, 255).astype(np.uint8), labels_I)


@pytest.fixture(scope="module")
def coloured():
    """A data set of coloured patches of 17x23 pixels."""
    sizes = {"train": 300, "validation": 60, "test": 90}
    splits = {name: patches(count, seed) for seed, (name, count) in enumerate(sizes.items())}
    info = DatasetInfo("patches", identity("patches", splits), SHAPE, tuple(COLOURS), glyphs=False)
    return Dataset(info, **splits)


@pytest.fixture
def quick():
    """A config of a network that learns within seconds."""
    c = config.default()
    c.task.max_length = 3
    c.model.convs, c.model.gru_units = ((6, 5, True),), (16,)
    c.train.batch_size, c.train.steps, c.train.steps_per_dispatch = 48, 60, 20
    c.train.learning_rate = 1e-2
    c.eval.every = c.checkpoint.every = c.train.steps
    c.eval.validation_sequences = c.eval.test_sequences = 300
    return c


def run(c, dataset, workdir):
    """Trains, and reads the run back; also the last validation."""
    workdir.mkdir()
    train(c, dataset, workdir, profile=False)
    last = json.loads((workdir / "metrics.jsonl").read_text().splitlines()[-1])
    restored = restore(workdir)
    assert restored.dataset == dataset.info
    return restored, last


def test_sums_over_coloured_images_of_odd_size_are_learned(quick, coloured, tmp_path):
    quick.data.augment.shift = 1.0
    restored, last = run(quick, coloured, tmp_path / "run")
    assert last["validation_exact"] > 0.9
    predict = Predictor(restored)
    triples = zip(*(x.reshape(30, 3, *x.shape[1:]) for x in coloured.test), strict=True)
    right = [predict(images)["answer"] == str(labels.sum()) for images, labels in triples]
    assert np.mean(right) > 0.8
    report = evaluate.evaluate_test(restored.config, coloured, restored.params)
    assert report["exact"] > 0.9
    assert report["rmse"] < 0.5 < report["baseline_rmse"]
    draw_figures(restored, coloured, tmp_path / "run", beside=None)
    assert len(list((tmp_path / "run" / "figures").iterdir())) == 5


def test_the_class_head_learns_digits(quick, optdigits, tmp_path):
    quick.task.name, quick.task.max_length = "class", 1
    quick.model.head, quick.model.aggregator, quick.model.gru_units = "class", "none", ()
    quick.train.steps = quick.eval.every = quick.checkpoint.every = 100
    restored, last = run(quick, optdigits, tmp_path / "run")
    assert last["validation_exact"] > 0.85
    report = evaluate.evaluate_test(restored.config, optdigits, restored.params)
    assert report["exact"] > 0.85
    assert "rmse" not in report
    image, label = optdigits.test.images_IxHxWxC[0, ..., 0], optdigits.test.labels_I[0]
    found = Predictor(restored)([image])
    assert found.keys() == {"answer", "classes", "confidence", "steps"}
    assert found["answer"] == optdigits.info.classes[label]
    draw_figures(restored, optdigits, tmp_path / "run", beside=None)
    assert len(list((tmp_path / "run" / "figures").iterdir())) == 5
