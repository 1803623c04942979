"""Whole numbers go in, so every sum is exact: all forms must agree to the last bit."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from crnn_jax.model import conv as conv_module
from crnn_jax.model import winograd
from crnn_jax.model.conv import (
    conv,
    conv_max_pool,
    largest,
    largest_of_rows,
    max_pool,
    pad_same,
    pooled_conv,
    ready,
    row_conv,
    winograd_conv,
    xla_conv,
)
from tests.jaxprs import products

pytestmark = pytest.mark.usefixtures("optimized")  # as users compile it

SHAPES = [  # frame HxWxC, kernel height x width
    ((11, 15, 1), (4, 4)),  # an even number of pools: four of them to a patch
    ((8, 9, 1), (2, 2)),
    ((9, 8, 3), (3, 3)),
    ((9, 9, 1), (4, 4)),
    ((10, 10, 2), (5, 5)),
    ((7, 6, 1), (3, 4)),
    ((6, 7, 1), (5, 2)),
]


def whole_numbers(seed, shape):
    return np.random.default_rng(seed).integers(-4, 5, shape).astype(np.float32)


def frames_and_kernel(frame_shape, size, features=2):
    kernel = whole_numbers(1, (*size, frame_shape[-1], features))
    return whole_numbers(0, (3, *frame_shape)), kernel


def over_frames(form):
    return jax.vmap(form, in_axes=(0, None))


def output_and_gradients(form, frames, kernel):
    """The output, and the gradients of its product with the numbers of seed 2."""

    @jax.jit
    def run(frames, kernel):
        output, pull = jax.vjp(over_frames(form), frames, kernel)
        return output, *pull(whole_numbers(2, output.shape))

    return run(frames, kernel)


def assert_all_equal(found, expected):
    for a, b in zip(found, expected, strict=True):
        assert np.any(a)
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(("frame_shape", "size"), SHAPES)
def test_row_conv_is_the_convolution(frame_shape, size):
    frames, kernel = frames_and_kernel(frame_shape, size)
    found = output_and_gradients(row_conv, frames, kernel)
    assert_all_equal(found, output_and_gradients(xla_conv, frames, kernel))


def winograd_form(frame, kernel):
    """`winograd_conv` with the kernel that `xla_conv` takes."""
    return winograd_conv(frame, winograd.transform(kernel))


@pytest.mark.parametrize("frame_shape", [(8, 6, 3), (7, 8, 3), (6, 5, 2), (3, 3, 1), (3, 4, 2)])
def test_winograd_conv_is_the_convolution(frame_shape):
    frames, kernel = frames_and_kernel(frame_shape, (3, 3))
    found = output_and_gradients(winograd_form, frames, kernel)
    assert_all_equal(found, output_and_gradients(xla_conv, frames, kernel))


def test_winograd_conv_is_about_as_exact_as_the_sum_in_float32():
    rng = np.random.default_rng(0)
    frames = np.maximum(rng.standard_normal((4, 12, 11, 64)), 0)
    kernel = rng.standard_normal((3, 3, 64, 8)) / 17
    sums = np.zeros((4, 10, 9, 8))
    for i, j in np.ndindex(3, 3):
        sums += frames[:, i : i + 10, j : j + 9] @ kernel[i, j]
    arguments = frames.astype(np.float32), kernel.astype(np.float32)
    errors = [
        np.abs(jax.jit(over_frames(form))(*arguments) - sums).max() / sums.std()
        for form in (winograd_form, xla_conv)
    ]
    assert errors[0] < 3e-6
    assert errors[0] < 4 * errors[1]


@pytest.mark.parametrize(
    ("frame_shape", "size", "features"),
    [(*shapes, 2) for shapes in SHAPES] + [(*SHAPES[0], features) for features in (16, 17)],
)
def test_pooled_conv_is_the_convolution_then_the_pool(frame_shape, size, features):
    frames, kernel = frames_and_kernel(frame_shape, size, features)

    def conv_then_pool(frame, kernel):
        return max_pool(xla_conv(frame, kernel))

    found = output_and_gradients(pooled_conv, frames, kernel)
    assert_all_equal(found, output_and_gradients(conv_then_pool, frames, kernel))


@pytest.mark.parametrize("form", [row_conv, pooled_conv, xla_conv])
def test_frames_may_be_bytes(form):
    numbers = np.random.default_rng(0).integers(0, 256, (3, 11, 15, 1))
    _, kernel = frames_and_kernel((11, 15, 1), (4, 4))
    run = jax.jit(over_frames(form))
    np.testing.assert_array_equal(
        run(numbers.astype(np.uint8), kernel), run(numbers.astype(np.float32), kernel)
    )


@pytest.mark.parametrize("form", [row_conv, xla_conv])
@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 8])
def test_same_padding_is_that_of_flax(size, form):
    frames, kernel = frames_and_kernel((7, 6, 3), (size, size))

    def padded(frame, kernel):
        return form(pad_same(frame, size), kernel)

    def flax(frame, kernel):
        layer = nn.Conv(2, (size, size), padding="SAME", use_bias=False)
        return layer.apply({"params": {"kernel": kernel}}, frame)

    found = output_and_gradients(padded, frames, kernel)
    assert found[0].shape == (3, 7, 6, 2)
    assert_all_equal(found, output_and_gradients(flax, frames, kernel))


@pytest.mark.parametrize("size", [2, 5])
def test_same_padding_then_a_pool_in_the_form_for_the_cpu(size):
    frames, kernel = frames_and_kernel((7, 6, 1), (size, size))

    def pooled(frame, kernel):
        return pooled_conv(pad_same(frame, size), kernel)

    def conv_then_pool(frame, kernel):
        return max_pool(xla_conv(pad_same(frame, size), kernel))

    found = output_and_gradients(pooled, frames, kernel)
    assert found[0].shape == (3, 3, 3, 2)
    assert_all_equal(found, output_and_gradients(conv_then_pool, frames, kernel))


def test_xla_conv_is_the_sum_over_the_kernel():
    (frame, *_), kernel = frames_and_kernel((5, 6, 2), (3, 2))
    expected = np.zeros((3, 5, 2), np.float32)
    for y, x in np.ndindex(3, 5):
        expected[y, x] = np.einsum("ijc,ijco->o", frame[y : y + 3, x : x + 2], kernel)
    np.testing.assert_array_equal(jax.jit(xla_conv)(frame, kernel), expected)


def test_max_pool_is_the_window_maximum_and_drops_an_odd_last_row_and_column():
    def window_maximum(frame):
        return lax.reduce_window(frame, -jnp.inf, lax.max, (2, 2, 1), (2, 2, 1), "VALID")

    @jax.jit
    def run(frame):
        outputs = []
        for form in (max_pool, window_maximum):
            pooled, pull = jax.vjp(form, frame)
            outputs.append((pooled, *pull(whole_numbers(2, pooled.shape))))
        return outputs

    found, expected = run(whole_numbers(0, (7, 5, 2)))
    assert found[0].shape == (3, 2, 2)
    assert_all_equal(found, expected)
    gradient = np.asarray(found[1])
    assert not gradient[6].any()
    assert not gradient[:, 4].any()


def largest_as_rows(*members):
    """`largest_of_rows` of the same members as `largest` takes."""
    rows = jnp.concatenate([jnp.atleast_2d(member) for member in members], axis=1)
    return largest_of_rows(rows).reshape(members[0].shape)


@pytest.mark.parametrize("form", [largest, largest_as_rows])
def test_the_first_of_equals_gets_the_whole_gradient(form):
    members = np.indices((3, 3, 3, 3)).reshape(4, -1).astype(np.float32)  # all ties there are
    gradient = np.arange(1, 82, dtype=np.float32)

    @jax.jit
    def run(members):
        most, pull = jax.vjp(form, *members)
        return most, jnp.stack(pull(gradient))

    most, shares = run(members)
    np.testing.assert_array_equal(most, members.max(axis=0))
    expected = np.zeros_like(members)
    expected[members.argmax(axis=0), np.arange(81)] = gradient
    np.testing.assert_array_equal(shares, expected)


@pytest.mark.parametrize("form", [largest, largest_as_rows])
def test_the_gradient_goes_to_what_was_returned_when_xla_fuses_it_in_bfloat16(form):
    rng = np.random.default_rng(0)
    patches = rng.standard_normal((50, 9)).astype(jnp.bfloat16)
    matrix = rng.standard_normal((9, 16)).astype(jnp.bfloat16)

    @jax.jit
    def run(patches, matrix):
        members = jnp.stack(jnp.split(jnp.tanh(patches @ matrix), 4, axis=-1))
        most, pull = jax.vjp(form, *members)
        return members, jnp.stack(pull(jnp.ones_like(most)))

    members, shares = (np.asarray(x, np.float32) for x in run(patches, matrix))
    np.testing.assert_array_equal(shares.argmax(axis=0), members.argmax(axis=0))


def test_each_backend_gets_the_form_that_is_fast_there(monkeypatch):
    used = []
    for name in ("pooled_conv", "row_conv", "xla_conv"):
        form = getattr(conv_module, name)
        noted = functools.partial(lambda name, form, *x: used.append(name) or form(*x), name, form)
        monkeypatch.setattr(conv_module, name, noted)

    def form_of(function, channels):
        used.clear()
        frame, kernel = np.ones((8, 9, channels)), np.ones((3, 3, channels, 2))
        jax.eval_shape(lambda *x: function(*x), frame, kernel)  # a new function: traced anew
        return used[0].removesuffix("_conv")

    def forms():
        return [form_of(f, channels) for f in (conv, conv_max_pool) for channels in (1, 8, 9)]

    assert forms() == ["row", "row", "row", "pooled", "row", "row"]
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert forms() == ["row", "row", "xla", "pooled", "row", "xla"]
    monkeypatch.setattr(jax, "default_backend", lambda: "tpu")
    assert forms() == ["xla"] * 6


def test_kernels_of_many_channels_and_outputs_are_made_ready_on_a_cpu(monkeypatch):
    def is_transformed(channels=48, outputs=64, size=3, dtype=np.float32):
        return isinstance(ready(jnp.ones((size, size, channels, 2), dtype), outputs), tuple)

    assert is_transformed()
    assert not is_transformed(channels=47)
    assert not is_transformed(outputs=63)
    assert not is_transformed(size=5)
    assert not is_transformed(dtype=jnp.bfloat16)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert not is_transformed()


def test_winograd_conv_multiplies_less_than_half_as_often():
    frames, kernel = frames_and_kernel((10, 10, 8), (3, 3), 8)
    rows, tiles = (
        [tuple(x.aval.shape for x in dot.invars) for dot in products(over_frames(form), *arguments)]
        for form, arguments in (
            (row_conv, (frames, kernel)),
            (winograd_conv, (frames, winograd.transform(kernel))),
        )
    )
    assert len(tiles) == 16
    counts = [sum(a[0] * a[1] * b[1] for a, b in shapes) for shapes in (rows, tiles)]
    assert counts[0] == 3 * 10 * 8 * 3 * 8 * 3 * 8  # of ten rows, for eight
    assert counts[1] == 3 * 16 * 16 * 8 * 8


@pytest.mark.parametrize("form", [row_conv, pooled_conv])
def test_conv_of_many_frames_is_one_product_of_two_matrices_there_and_back(form):
    frames, kernel = frames_and_kernel((8, 8, 1), (3, 3))
    frames = np.tile(frames, (20, 1, 1, 1))

    def loss(kernel):
        return over_frames(form)(frames, kernel).sum()

    def of_frames(function):
        """Leaves out the kernel's own rearrangement, whose size has no part in the frames."""
        dots = [tuple(x.aval.shape for x in dot.invars) for dot in products(function, kernel)]
        return [shapes for shapes in dots if max(map(max, shapes)) >= len(frames)]

    ((patches, matrix),) = of_frames(loss)
    assert patches[0] % len(frames) == 0
    assert len(patches) == len(matrix) == 2
    forward, backward = of_frames(jax.grad(loss))
    assert forward == (patches, matrix)
    assert backward == ((patches[0], matrix[1]), patches)
