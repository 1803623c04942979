"""The training loop: resuming, feeds, learning, stopping on NaN and by a signal."""

import json
import shutil
import signal
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from crnn_jax.distributed import devices
from crnn_jax.runs.checkpoint import Checkpoints
from crnn_jax.runs.recorder import Diverged
from crnn_jax.runs.steps import StoredSteps
from crnn_jax.runs.stop import Stop
from crnn_jax.tasks.number import Sum
from crnn_jax.train.loop import train
from crnn_jax.train.trainer import Trainer
from tests.interrupting import interrupted_at
from tests.tiny import takes_long


@pytest.fixture
def config(tiny_config):
    tiny_config.model.convs = ()  # which compiles sooner
    tiny_config.train.steps = 40
    tiny_config.eval.every = 20
    tiny_config.checkpoint.every = 20
    return tiny_config


def losses(workdir):
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    return [line["loss"] for line in lines if "loss" in line]


@pytest.mark.usefixtures("optimized")
@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_resumed_run_is_the_straight_run_bit_for_bit(config, optdigits, tmp_path, ema):
    config.train.ema = ema
    straight = train(config, optdigits, tmp_path / "straight", profile=False)

    with interrupted_at(20):
        train(config, optdigits, tmp_path / "resumed", profile=False)
    resumed = train(config, optdigits, tmp_path / "resumed", profile=False)
    clock = resumed.clock

    assert clock.steps == 40
    seconds = clock.seconds
    time.sleep(0.01)
    assert clock.seconds == seconds  # what comes after the training does not count
    jax.tree.map(np.testing.assert_array_equal, straight.params, resumed.params)
    same = [(tmp_path / name / "metrics.jsonl").read_text() for name in ("straight", "resumed")]
    assert same[0] == same[1]


def test_a_run_without_a_better_score_stops_and_gives_the_best(config, optdigits, tmp_path):
    """Interrupted in its patience, resumed, and then resumed where it is over."""
    config.train.patience, config.eval.every, config.checkpoint.every = 2, 4, 100

    def run(name):
        return train(config, optdigits, tmp_path / name, profile=False)

    with pytest.MonkeyPatch.context() as patch:
        scores = iter([5.0, 3.0, 3.5, 4.0] * 2)
        patch.setattr(Sum, "goal", lambda *_: next(scores))
        straight = run("straight")
        with interrupted_at(12):
            run("resumed")
        resumed, again = run("resumed"), run("resumed")
    with StoredSteps(tmp_path / "straight" / "checkpoints") as checkpoints:
        assert checkpoints.steps == [8, 12, 16]
        expected = checkpoints.restore(8, part="params")[1]["params"]
    for found in (straight, resumed, again):
        assert (found.step, found.steps, found.waited) == (8, 16, 2)
        jax.tree.map(np.testing.assert_array_equal, found.params, expected)
    same = [(tmp_path / name / "metrics.jsonl").read_text() for name in ("straight", "resumed")]
    assert same[0] == same[1]


def test_a_run_of_eight_devices_continues_on_one(config, optdigits, tmp_path, monkeypatch):
    train(config, optdigits, tmp_path / "eight", profile=False)
    shutil.rmtree(tmp_path / "eight" / "checkpoints" / "40")
    straight = losses(tmp_path / "eight")
    one_device = jax.devices()[:1]
    monkeypatch.setattr(devices, "all_devices", lambda: one_device)
    train(config, optdigits, tmp_path / "eight", profile=False)
    continued = losses(tmp_path / "eight")
    assert continued[:10] == straight[:10]
    np.testing.assert_allclose(continued, straight, rtol=1e-5)


def test_feeds_train_the_same(config, optdigits, tmp_path):
    params = {}
    for feed in ("resident", "streamed"):
        config.data.feed = feed
        params[feed] = train(config, optdigits, tmp_path / feed, profile=False).params
    jax.tree.map(np.testing.assert_array_equal, params["resident"], params["streamed"])


@takes_long
@pytest.mark.usefixtures("optimized")
def test_learns_to_read_digits_from_sums_alone(config, optdigits, tmp_path):
    config.model.convs = ((4, 5, True), (8, 3, True))
    config.train.batch_size = 64
    config.train.steps = 300
    config.train.learning_rate = 1e-2
    config.eval.every = 300
    config.checkpoint.every = 300
    train(config, optdigits, tmp_path, profile=False)
    last = json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[-1])
    assert last["validation_exact"] > 0.6  # 0.14 at best without looking at the images


@pytest.mark.parametrize(
    ("poisoned", "name"),
    [
        (lambda loss, bad: loss * jnp.where(bad, jnp.nan, 1.0), "loss"),
        # The root of 0 is 0, and its gradient is infinite.
        (lambda loss, bad: loss + jnp.sqrt(jnp.where(bad, 0 * loss, 1.0)), "gradient norm"),
    ],
)
def test_what_is_not_finite_stops_the_run_and_keeps_the_checkpoint(
    config, optdigits, tmp_path, poisoned, name
):
    def update(self, state, *given):
        self._loss = lambda *of: poisoned(loss(self, *of), state.step == 30)
        return whole(self, state, *given)

    loss, whole = Trainer._loss, Trainer._update
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "_update", update)
        with pytest.raises(Diverged, match=f"^the {name} is nan at step 31"):
            train(config, optdigits, tmp_path, profile=False)
    with StoredSteps(tmp_path / "checkpoints") as checkpoints:
        step, state, _ = checkpoints.restore("latest", like=None)
    assert step == 20
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state))


def test_signals_are_noted_until_the_last_checkpoint_is_written(
    config, optdigits, tmp_path, monkeypatch
):
    handlers = []
    original = Checkpoints.close

    def close(self):
        handlers.append(signal.getsignal(signal.SIGTERM))
        original(self)

    monkeypatch.setattr(Checkpoints, "close", close)
    train(config, optdigits, tmp_path, profile=False)
    assert isinstance(handlers[0].__self__, Stop)
    assert handlers[-1] == signal.SIG_DFL
