"""Times the forms of a convolution on one core, forward and with gradients.

XLA_FLAGS=--xla_cpu_multi_thread_eigen=false python -m benchmarks.conv_forms
"""

import statistics
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array

from crnn_jax.model import winograd
from crnn_jax.model.conv import max_pool, pooled_conv, row_conv, winograd_conv, xla_conv
from crnn_jax.model.encoder import FRAMES_AT_ONCE

REPEATS = 100


def milliseconds(function: Callable, *arguments: Array) -> float:
    """Median time of a compiled call."""
    compiled = jax.jit(function)
    jax.block_until_ready(compiled(*arguments))
    taken = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        jax.block_until_ready(compiled(*arguments))
        taken.append(time.perf_counter() - start)
    return 1e3 * statistics.median(taken)


def report(layer: str, form: str, conv: Callable, frames: Array, kernel: Array) -> None:
    """Print one row: forward, with the kernel's gradient, with the frames' too."""

    def loss(kernel: Array, frames: Array) -> Array:
        outputs = jax.vmap(conv, in_axes=(0, None))(frames, kernel)
        return jnp.sum(jnp.square(jax.nn.relu(outputs)))

    times = [
        milliseconds(loss, kernel, frames),
        milliseconds(jax.grad(loss), kernel, frames),
        milliseconds(jax.grad(loss, argnums=(0, 1)), kernel, frames),
    ]
    print(f"| {layer} | {form} | " + " | ".join(f"{t:.2f}" for t in times) + " |")


def winograd_form(frame_HxWxC: Array, kernel: Array) -> Array:
    """Winograd's form, with what it makes of the kernel: in a network, once for many frames."""
    return winograd_conv(frame_HxWxC, winograd.transform(kernel))


def main() -> None:
    """Run the benchmark."""
    print("| layer | form | forward, ms | + kernel's gradient | + frames' gradient |")
    print("|---|---|---|---|---|")
    key = jax.random.key(0)
    frames = jax.random.uniform(key, (FRAMES_AT_ONCE, 28, 28, 1))
    kernel = jax.random.normal(key, (4, 4, 1, 8))
    first = "8@4×4 and pool on 28×28×1"
    report(first, "XLA's", lambda x, k: max_pool(xla_conv(x, k)), frames, kernel)
    report(first, "rows", lambda x, k: max_pool(row_conv(x, k)), frames, kernel)
    report(first, "pooled", pooled_conv, frames, kernel)
    layers = ((12, 12, 8, 8), (12, 12, 16, 32), (5, 5, 32, 64), (10, 70, 48, 96), (6, 70, 96, 96))
    for height, width, channels, features in layers:
        count = FRAMES_AT_ONCE if width == height else 1  # a lane of lines
        frames = jax.random.normal(key, (count, height, width, channels))
        kernel = jax.random.normal(key, (3, 3, channels, features))
        layer = f"{features}@3×3 on {height}×{width}×{channels}"
        report(layer, "XLA's", xla_conv, frames, kernel)
        report(layer, "rows", row_conv, frames, kernel)
        report(layer, "Winograd's", winograd_form, frames, kernel)


if __name__ == "__main__":
    main()
