"""The compiled training step: devices, micro-batches, compiling once, what the loss is."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from crnn_jax.data import clips
from crnn_jax.data.draw import SCENE
from crnn_jax.data.lanes import padded_lanes
from crnn_jax.distributed import devices
from crnn_jax.train.trainer import Trainer
from tests.networks import asking, random_state


@pytest.fixture
def config(tiny_config):
    tiny_config.model.convs, tiny_config.model.dense = (), (8,)  # which compiles sooner
    tiny_config.train.steps = 40
    return tiny_config


@pytest.fixture
def one_device(monkeypatch):
    """Trains on one of the eight devices."""
    alone = jax.devices()[:1]
    monkeypatch.setattr(devices, "all_devices", lambda: alone)


def first_metrics(trainer):
    """Metrics of each step of the first dispatch, from random parameters."""
    state = devices.replicate(random_state(trainer))
    source = next(trainer.feed.sources(0))
    _, metrics = trainer.dispatch(state, devices.device_inputs(), source)
    return jax.device_get(devices.unreplicate(metrics))


def without_chance(config):
    """No dropout, no augmentation."""
    config.model.encoder_dropout = config.model.state_dropout = 0.0
    for change in config.data.augment:
        config.data.augment[change] = 0.0


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


def test_the_program_of_an_accelerator_trains_as_that_of_a_cpu(config, optdigits, monkeypatch):
    """Unrolled, with all parameters in vectors; the state has the same form in between."""
    config.train.weight_decay = config.train.clip_norm = 0.5
    config.train.steps_per_dispatch = 20
    config.train.ema = 0.8

    def trained():
        trainer = Trainer(config, optdigits)
        state = devices.replicate(random_state(trainer))
        source = next(trainer.feed.sources(0))
        state, metrics = trainer.dispatch(state, devices.device_inputs(), source)
        assert (trainer.flat is None) == (jax.default_backend() == "cpu")
        return jax.device_get(devices.unreplicate((state, metrics)))

    expected = trained()
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    found = trained()
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4), found, expected
    )


def test_the_average_weighs_later_parameters_more_and_changes_no_training(config, optdigits):
    """Of what a run without it passes through; the initial parameters count for nothing."""
    config.train.steps_per_dispatch = 1

    def run(ema, steps=3):
        config.train.ema = ema
        trainer = Trainer(config, optdigits)
        state = random_state(trainer)
        if ema:
            state = state.replace(trained=state.params, params=random_state(trainer, 9.0).params)
        state, found = devices.replicate(state), []
        source = next(trainer.feed.sources(0))
        for _ in range(steps):
            state, _ = trainer.dispatch(state, devices.device_inputs(), source)
            found.append(jax.device_get(devices.unreplicate(state)))
        return found

    plain, averaged = run(0.0), run(0.5)
    for without, state in zip(plain, averaged, strict=True):
        assert without.trained is None
        jax.tree.map(np.testing.assert_array_equal, without.params, state.trained)
    for steps, state in enumerate(averaged, 1):
        weights = 0.5 ** np.arange(steps)[::-1]
        for average, *passed in zip(
            *map(jax.tree.leaves, (state.params, *(x.params for x in plain[:steps]))), strict=True
        ):
            expected = np.average(passed, axis=0, weights=weights)
            np.testing.assert_allclose(average, expected, rtol=1e-5, atol=1e-6)


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
        return first_metrics(Trainer(config, optdigits))["loss"]

    config.train.batch_size = 8 * 4 * 4
    np.testing.assert_allclose(first_losses(4), first_losses(16), rtol=1e-5)


@pytest.mark.parametrize("every_step", [False, True])
def test_the_loss_is_the_mean_over_the_answers_that_are_asked(config, optdigits, every_step):
    """Over all real frames, or over the last ones alone; and so is its gradient."""
    config.task.every_step = every_step
    config.model.head = "cumulative"
    without_chance(config)
    trainer = Trainer(config, optdigits)
    params = random_state(trainer).params
    lengths_B = trainer.feed.draw.lengths(config.train.batch_size)
    indices_BxL = trainer.feed.draw.image_indices(0, np.arange(config.train.batch_size))
    frames_LxBxHxWxC = optdigits.train.images_IxHxWxC[indices_BxL.T]
    target_LxB = np.cumsum(optdigits.train.labels_I[indices_BxL.T], axis=0)
    lanes = padded_lanes(np.full(len(lengths_B), 4))
    if every_step:
        asked_LxB = np.arange(4)[:, None] < lengths_B[None]
    else:
        asked_LxB = np.arange(4)[:, None] == lengths_B[None] - 1

    @jax.jit
    @jax.value_and_grad
    def mean_loss(params):
        value_LxB = trainer.network.apply(params, frames_LxBxHxWxC, lanes).value_TxN
        return ((value_LxB - target_LxB) ** 2)[asked_LxB].mean()

    loss, gradient = mean_loss(params)
    found = first_metrics(trainer)
    np.testing.assert_allclose(found["loss"][0], loss, rtol=1e-5)
    np.testing.assert_allclose(found["gradient_norm"][0], optax.tree.norm(gradient), rtol=1e-4)


@pytest.mark.parametrize(("task", "length"), [("addition", 4), ("caption", 1)])
def test_the_loss_of_a_written_answer_is_the_mean_over_its_symbols(task, length, config, optdigits):
    """With the right symbols so far given; and of clips, each filmed by the key of its sequence."""
    config.task.name, config.task.min_length, config.task.max_length = task, length, length
    config.model.head, config.model.decoder_units = "decoder", 8
    without_chance(config)
    trainer = Trainer(config, optdigits)
    batch = config.train.batch_size
    indices_TxB = trainer.feed.draw.image_indices(0, np.arange(batch)).T
    images, labels = (x[indices_TxB] for x in optdigits.train)
    if task == "addition":
        frames_TxBxHxWxC = images
        total_B = labels.T @ [10, 1, 10, 1]
        targets_BxS = total_B[:, None] // [1, 10, 100] % 10
    else:
        keys_B = jax.vmap(trainer.feed.draw.key, (None, 0, None))(0, np.arange(batch), SCENE)
        each = padded_lanes(np.ones(batch, int))
        film = jax.jit(lambda *drawn: clips.Clips().render(*drawn, each, keys_B)[:2])
        frames_TxBxHxWxC, rows_B = film(images, labels)
        targets_BxS = clips.CAPTIONS[rows_B]
    lanes = padded_lanes(np.full(batch, len(frames_TxBxHxWxC)))

    @jax.jit
    def mean_loss(params):
        output = trainer.network.apply(params, frames_TxBxHxWxC, lanes, None, targets_BxS)
        log_probs = jax.nn.log_softmax(output.logits_NxSxV)
        hit_BxSxV = targets_BxS[..., None] == np.arange(log_probs.shape[-1])
        return -jnp.sum(log_probs * hit_BxSxV) / targets_BxS.size

    found = first_metrics(trainer)
    np.testing.assert_allclose(found["loss"][0], mean_loss(random_state(trainer).params), rtol=1e-5)


def test_training_on_labels_does_not_look_at_images(config, optdigits):
    config.model.class_bottleneck = config.train.on_labels = True
    blank = np.zeros_like(optdigits.train.images_IxHxWxC)
    found = []
    for images in (optdigits.train.images_IxHxWxC, blank):
        split = optdigits.train._replace(images_IxHxWxC=images)
        trainer = Trainer(config, dataclasses.replace(optdigits, train=split))
        found.append(first_metrics(trainer)["loss"].tolist())
    assert found[0] == found[1]
    assert np.isfinite(found[0]).all()


def test_a_decoder_learns_to_add(config, optdigits, one_device):
    """From true digits, as in the second of two stages; all sums of two, the carry too."""
    config = asking(config, "addition", "decoder", length=2)
    without_chance(config)
    config.model.class_bottleneck = config.train.on_labels = True
    config.model.gru_units, config.model.decoder_units = (32,), 32
    config.train.batch_size, config.train.steps_per_dispatch = 128, 200
    config.train.learning_rate, config.train.schedule = 1e-2, "constant"
    config.train.weight_decay = 0.0
    trainer = Trainer(config, optdigits)
    state = devices.replicate(trainer.initial_state())
    state, _ = trainer.dispatch(state, devices.device_inputs(), next(trainer.feed.sources(0)))
    pairs_2xB = np.stack(np.meshgrid(range(10), range(10))).reshape(2, 100)
    lanes = padded_lanes(np.full(100, 2))

    @jax.jit
    def write(params):
        encoded = trainer.network.apply(params, pairs_2xB, method="encode_labels")
        return trainer.network.apply(params, encoded, lanes, method="aggregate").answers()

    sums_B = np.asarray(write(devices.unreplicate(state.params)).answer) @ [1, 10]
    assert np.mean(sums_B == pairs_2xB.sum(axis=0)) > 0.95


def test_a_step_in_bfloat16_is_near_that_in_float32_and_leaves_float32_parameters(
    config, optdigits, one_device
):
    """Networks in bfloat16 differ by a share of about 2**-8 in what they compute."""
    without_chance(config)
    config.model.convs = ((4, 5, True),)
    config.train.schedule = "constant"
    config.train.optimizer = "sgd"  # whose step is as large as the gradient
    config.train.weight_decay, config.train.steps_per_dispatch = 0.0, 1
    changes, metrics = {}, {}
    for dtype in ("float32", "bfloat16"):
        config.model.dtype = dtype
        trainer = Trainer(config, optdigits)
        before = random_state(trainer)
        inputs = devices.device_inputs(), next(trainer.feed.sources(0))
        after, found = trainer.dispatch(devices.replicate(before), *inputs)
        after = jax.device_get(devices.unreplicate(after))
        assert {x.dtype for x in jax.tree.leaves(after.params)} == {np.dtype(np.float32)}
        changes[dtype] = jax.tree.map(np.subtract, after.params, before.params)
        metrics[dtype] = jax.device_get(devices.unreplicate(found))
    for name in ("loss", "gradient_norm"):
        exact, rounded = (metrics[dtype][name] for dtype in ("float32", "bfloat16"))
        assert np.isfinite(rounded).all()
        assert (rounded != exact).all()
        np.testing.assert_allclose(rounded, exact, rtol=0.02)
    exact, rounded = (
        np.concatenate([x.ravel() for x in jax.tree.leaves(changes[d])]) for d in changes
    )
    cosine = exact @ rounded / (np.linalg.norm(exact) * np.linalg.norm(rounded))
    assert 0.99 < cosine < 1
