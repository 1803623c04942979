"""The training loop: devices, resuming, compiling once, learning, stopping on NaN."""

import dataclasses
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
from crnn_jax.runs.stop import Stop
from crnn_jax.train.loop import train
from crnn_jax.train.trainer import Trainer


@pytest.fixture
def config(tiny_config):
    tiny_config.train.steps = 40
    tiny_config.eval.every = 20
    tiny_config.checkpoint.every = 20
    return tiny_config


def losses(workdir):
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    return [line["loss"] for line in lines if "loss" in line]


@pytest.mark.usefixtures("optimized")
def test_eight_devices_train_as_one_does(config, optdigits, monkeypatch):
    def twenty_losses():
        trainer = Trainer(config, optdigits)
        state = devices.replicate(trainer.initial_state())
        sources = trainer.feed.sources(0)
        found = []
        for _ in range(20 // config.train.steps_per_dispatch):
            state, metrics = trainer.dispatch(state, devices.device_inputs(), next(sources))
            found += np.asarray(devices.unreplicate(metrics)["loss"]).tolist()
        return found

    eight = twenty_losses()
    assert devices.device_count() == 8
    one_device = jax.devices()[:1]
    monkeypatch.setattr(devices, "all_devices", lambda: one_device)
    assert devices.device_count() == 1
    np.testing.assert_allclose(twenty_losses(), eight, rtol=1e-5)


@pytest.mark.usefixtures("optimized")
def test_resumed_run_is_the_straight_run_bit_for_bit(config, optdigits, tmp_path):
    straight, _ = train(config, optdigits, tmp_path / "straight", profile=False)

    class Interrupted(Exception):
        pass

    original = Checkpoints.save

    def save_then_stop(self, step, *args, **kwargs):
        original(self, step, *args, **kwargs)
        if step == 20:
            raise Interrupted

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Checkpoints, "save", save_then_stop)
        with pytest.raises(Interrupted):
            train(config, optdigits, tmp_path / "resumed", profile=False)
    resumed, clock = train(config, optdigits, tmp_path / "resumed", profile=False)

    assert clock.steps == 40
    seconds = clock.seconds
    time.sleep(0.01)
    assert clock.seconds == seconds  # what comes after the training does not count
    jax.tree.map(np.testing.assert_array_equal, straight, resumed)
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
        params[feed], _ = train(config, optdigits, tmp_path / feed, profile=False)
    jax.tree.map(np.testing.assert_array_equal, params["resident"], params["streamed"])


def test_compiles_once(config, optdigits):
    trainer = Trainer(config, optdigits)
    state = devices.replicate(trainer.initial_state())
    sources = trainer.feed.sources(0)
    traces = []
    update = trainer._update
    trainer._update = lambda *args: traces.append(1) or update(*args)
    state, _ = trainer.dispatch(state, devices.device_inputs(), next(sources))
    # lax.scan itself may trace its body more than once, but only during the one compilation.
    at_first = len(traces)
    assert at_first > 0
    for _ in range(4):
        state, _ = trainer.dispatch(state, devices.device_inputs(), next(sources))
    assert len(traces) == at_first


def test_micro_batches_change_only_the_order_of_sums(config, optdigits):
    def first_losses(micro_batch_size):
        config.train.micro_batch_size = micro_batch_size
        trainer = Trainer(config, optdigits)
        state = devices.replicate(trainer.initial_state())
        source = next(trainer.feed.sources(0))
        _, metrics = trainer.dispatch(state, devices.device_inputs(), source)
        return np.asarray(devices.unreplicate(metrics)["loss"])

    config.train.batch_size = 8 * 4 * 4
    np.testing.assert_allclose(first_losses(4), first_losses(16), rtol=1e-5)


@pytest.mark.parametrize("every_step", [False, True])
def test_the_loss_is_the_mean_over_the_answers_that_are_asked(config, optdigits, every_step):
    """Over all real frames, or over the last ones alone; and so is its gradient."""
    config.task.every_step = every_step
    config.model.head, config.model.convs = "cumulative", ()  # which compiles sooner
    config.model.encoder_dropout = config.model.state_dropout = 0.0
    for change in config.data.augment:
        config.data.augment[change] = 0.0
    trainer = Trainer(config, optdigits)
    state = trainer.initial_state()
    lengths_B = trainer.draw.lengths(config.train.batch_size)
    indices_BxL = trainer.draw.image_indices(0, np.arange(config.train.batch_size))
    frames_LxBxHxWxC = optdigits.train.images_NxHxWxC[indices_BxL.T]
    target_LxB = np.cumsum(optdigits.train.labels_N[indices_BxL.T], axis=0)
    starts_LxB = np.arange(4)[:, None] == np.zeros_like(lengths_B)[None]
    if every_step:
        asked_LxB = np.arange(4)[:, None] < lengths_B[None]
    else:
        asked_LxB = np.arange(4)[:, None] == lengths_B[None] - 1

    @jax.jit
    @jax.value_and_grad
    def mean_loss(params):
        value_LxB = trainer.network.apply(params, frames_LxBxHxWxC, starts_LxB).value_TxN
        return ((value_LxB - target_LxB) ** 2)[asked_LxB].mean()

    loss, gradient = mean_loss(state.params)
    norm = np.sqrt(sum(np.sum(np.square(x)) for x in jax.tree.leaves(gradient)))
    state = devices.replicate(state)
    source = next(trainer.feed.sources(0))
    _, metrics = trainer.dispatch(state, devices.device_inputs(), source)
    found = jax.device_get(devices.unreplicate(metrics))
    np.testing.assert_allclose(found["loss"][0], loss, rtol=1e-5)
    np.testing.assert_allclose(found["gradient_norm"][0], norm, rtol=1e-4)


@pytest.mark.usefixtures("optimized")
def test_learns_to_read_digits_from_sums_alone(config, optdigits, tmp_path):
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
    def poisoned_loss(self, *args):
        step = args[3]
        return poisoned(loss_of(self, *args), step == 30)

    loss_of = Trainer._loss
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "_loss", poisoned_loss)
        with pytest.raises(Diverged, match=f"^the {name} is nan at step 31"):
            train(config, optdigits, tmp_path, profile=False)
    with Checkpoints.open_to_read(tmp_path / "checkpoints") as checkpoints:
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


def test_training_on_labels_does_not_look_at_images(config, optdigits):
    config.model.class_bottleneck = config.train.on_labels = True
    blank = np.zeros_like(optdigits.train.images_NxHxWxC)
    found = []
    for images in (optdigits.train.images_NxHxWxC, blank):
        split = optdigits.train._replace(images_NxHxWxC=images)
        trainer = Trainer(config, dataclasses.replace(optdigits, train=split))
        state = devices.replicate(trainer.initial_state())
        _, metrics = trainer.dispatch(state, devices.device_inputs(), next(trainer.feed.sources(0)))
        found.append(np.asarray(devices.unreplicate(metrics)["loss"]).tolist())
    assert found[0] == found[1]
    assert np.isfinite(found[0]).all()
