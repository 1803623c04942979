import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from ml_collections import ConfigDict

from crnn_jax.model import optimizer
from crnn_jax.model.optimizer import OPTIMIZERS, SCHEDULES

RATE = 0.1


def build(*, frozen=False, **fields):
    settings = {
        "optimizer": "adam",
        "schedule": "constant",
        "learning_rate": RATE,
        "steps": 10,
        "weight_decay": 0.0,
        "clip_norm": 0.0,
    }
    init = {"workdir": "", "part": "encoder", "frozen": frozen}
    return optimizer.build(ConfigDict({"train": settings | fields, "init": init}))


def updates(transformation, gradients):
    """The update of each step, for these gradients."""
    update = jax.jit(transformation.update)
    params = jax.tree.map(np.ones_like, gradients[0])
    state, found = transformation.init(params), []
    for gradient in gradients:
        change, state = update(gradient, state, params)
        found.append(change)
    return found


def gradients_of_norm(*norms):
    rng = np.random.default_rng(0)
    for norm in norms:
        a, b = rng.normal(size=3).astype(np.float32), rng.normal(size=2).astype(np.float32)
        size = np.sqrt(np.sum(a * a) + np.sum(b * b)) / norm
        yield {"a": a / size, "b": b / size}


def assert_close(found, expected):
    for a, b in zip(found, expected, strict=True):
        jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-9), a, b)


def test_rmsprop_is_that_of_keras_1():
    gradients = list(gradients_of_norm(1.0, 0.1, 1e-7))
    expected, accumulator = [], {"a": np.zeros(3), "b": np.zeros(2)}
    for gradient in gradients:
        change = {}
        for name, g in gradient.items():
            accumulator[name] = 0.9 * accumulator[name] + 0.1 * g.astype(np.float64) ** 2
            change[name] = -RATE * g / (np.sqrt(accumulator[name]) + 1e-8)
        expected.append(change)
    assert_close(updates(build(optimizer="rmsprop"), gradients), expected)
    # Where the gradient is about as small as epsilon, its place shows.
    (tiny,) = gradients_of_norm(1e-7)
    small = jax.tree.map(lambda g: -RATE * g / (np.sqrt(0.1) * np.abs(g) + 1e-8), tiny)
    assert_close(updates(build(optimizer="rmsprop"), [tiny]), [small])


def test_adam_is_that_of_its_paper():
    gradients = list(gradients_of_norm(1.0, 0.1, 2.0))
    expected, m, v = [], {"a": 0, "b": 0}, {"a": 0, "b": 0}
    for t, gradient in enumerate(gradients, 1):
        change = {}
        for name, g in gradient.items():
            m[name] = 0.9 * m[name] + 0.1 * g
            v[name] = 0.999 * v[name] + 0.001 * g**2
            root = np.sqrt(v[name] / (1 - 0.999**t)) + 1e-8
            change[name] = -RATE * m[name] / (1 - 0.9**t) / root
        expected.append(change)
    assert_close(updates(build(), gradients), expected)


def test_sgd_is_the_gradient_times_the_learning_rate():
    gradients = list(gradients_of_norm(1.0, 0.1, 2.0))
    expected = [jax.tree.map(lambda g: -RATE * g, gradient) for gradient in gradients]
    assert_close(updates(build(optimizer="sgd"), gradients), expected)


def test_sgd_steps_as_they_are_worked_out_by_hand():
    """Two layers of one unit without biases: right about the first point, 1 too high at the second.

    There the gradients are 1·2·2 by the first weight and 1·2 by the second.
    """

    def loss(weights, x, target):
        hidden = jax.nn.relu(weights["first"] * x)
        return jnp.square(jax.nn.relu(weights["second"] * hidden) - target) / 2

    weights, sgd = {"first": 1.0, "second": 2.0}, build(optimizer="sgd")
    state, passed = sgd.init(weights), []
    for x, target in ((1.0, 2.0), (2.0, 3.0)):
        change, state = sgd.update(jax.grad(loss)(weights, x, target), state, weights)
        weights = optax.apply_updates(weights, change)
        passed.append((float(weights["first"]), float(weights["second"])))
    np.testing.assert_allclose(passed, [(1, 2), (0.6, 1.8)], rtol=1e-6)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_clip_norm_limits_the_gradient_of_all_parameters_together(name):
    gradients = list(gradients_of_norm(5.0, 0.5, 2.0))
    clipped = list(gradients_of_norm(1.0, 0.5, 1.0))
    found = updates(build(optimizer=name, clip_norm=1.0), gradients)
    assert_close(found, updates(build(optimizer=name), clipped))
    with pytest.raises(AssertionError):
        assert_close(found, updates(build(optimizer=name), gradients))


def test_one_cycle_rises_to_its_peak_and_falls_to_zero():
    rates = np.asarray(jax.jit(jax.vmap(SCHEDULES["one_cycle"](3e-3, 100)))(np.arange(101)))
    assert rates[0] == 0
    assert rates.argmax() == 20
    np.testing.assert_allclose(rates[:21], 3e-3 * np.arange(21) / 20, rtol=1e-6)
    cosine = (1 + np.cos(np.pi * np.arange(81) / 80)) / 2
    np.testing.assert_allclose(rates[20:], 3e-3 * cosine, rtol=1e-5, atol=1e-9)
    assert rates[100] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 5])
def test_one_cycle_of_few_steps_starts_at_zero_and_keeps_to_its_peak(steps):
    rates = np.asarray(jax.jit(jax.vmap(SCHEDULES["one_cycle"](3e-3, steps)))(np.arange(steps)))
    assert rates[0] == 0
    assert np.all((rates >= 0) & (rates <= 3.0001e-3))


def test_the_schedule_drives_the_optimizer():
    gradient = next(gradients_of_norm(1.0))
    found = updates(build(schedule="one_cycle", steps=10), [gradient] * 3)
    sizes = [np.abs(change["a"]).max() for change in found]
    np.testing.assert_allclose(sizes, [0, RATE / 2, RATE], rtol=1e-3)
    constant = updates(build(), [gradient] * 3)
    sizes = [np.abs(change["a"]).max() for change in constant]
    np.testing.assert_allclose(sizes, [RATE] * 3, rtol=1e-3)


def test_weight_decay_shrinks_kernels_alone_and_by_the_learning_rate():
    shapes = {"bias": 3, "kernel": (3, 2), "reset_kernel": (2, 2), "embedding": (3, 2)}
    params = {name: np.full(shape, 2.0, np.float32) for name, shape in shapes.items()}
    no_gradient = jax.tree.map(np.zeros_like, params)
    transformation = build(weight_decay=0.5)
    change, _ = transformation.update(no_gradient, transformation.init(params), params)
    for name in ("bias", "embedding"):
        np.testing.assert_array_equal(change[name], 0)
    for name in ("kernel", "reset_kernel"):
        np.testing.assert_allclose(change[name], -RATE * 0.5 * 2.0)


def test_a_frozen_part_stays_and_counts_for_nothing_in_the_gradients_norm():
    big, small = gradients_of_norm(50.0, 5.0)
    whole = {"params": {"encoder": {"kernel": np.outer(big["a"], big["b"])}, "answer_head": small}}
    frozen = build(optimizer="sgd", clip_norm=1.0, weight_decay=0.5, frozen=True)
    (found,) = updates(frozen, [whole])
    assert not found["params"]["encoder"]["kernel"].any()
    alone = updates(build(optimizer="sgd", clip_norm=1.0), [small])
    assert_close([found["params"]["answer_head"]], alone)
