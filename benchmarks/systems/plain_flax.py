"""Flax as one would write it: `nn.Conv`, `nn.max_pool`, `nn.RNN`; padded sequences."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from benchmarks.protocol import DECAY, DROPOUT, LEARNING_RATE, Corpus


class Network(nn.Module):
    """The network of 2016."""

    dtype: jnp.dtype | None = None

    @nn.compact
    def __call__(self, frames_BxTxHxW: Array, training: bool) -> Array:
        """Sums B of uint8 frames."""
        batch, steps, height, width = frames_BxTxHxW.shape
        x = frames_BxTxHxW.reshape(batch * steps, height, width, 1) / 255
        conv = functools.partial(nn.Conv, padding="VALID", dtype=self.dtype)
        x = nn.relu(nn.max_pool(conv(8, (4, 4), name="Conv_0")(x), (2, 2), (2, 2)))
        x = nn.relu(conv(8, (3, 3), name="Conv_1")(x))
        x = nn.RNN(nn.GRUCell(100, dtype=self.dtype))(x.reshape(batch, steps, -1))
        x = nn.RNN(nn.GRUCell(50, dtype=self.dtype))(x)[:, -1]
        return nn.Dense(1)(nn.Dropout(DROPOUT, deterministic=not training)(x))[:, 0]


class System:
    """Training and inference compiled with `jax.jit`; the corpus is on the device."""

    def __init__(self, corpus: Corpus, weights: dict[str, np.ndarray], batch: int) -> None:
        self.corpus, self.batch, self.rng = corpus, batch, np.random.default_rng(0)
        self.network = Network()
        self.params = _params(weights)
        optimizer = optax.rmsprop(LEARNING_RATE, decay=DECAY, eps_in_sqrt=False)
        self.opt_state = optimizer.init(self.params)
        self.images = jnp.asarray(corpus.images)
        self.steps_made = 0

        def show(images: Array, chosen: Array, lengths: Array) -> Array:
            real = jnp.arange(8) < lengths[:, None]
            return images[chosen] * real[..., None, None]

        def loss(params: dict, frames: Array, sums: Array, key: Array) -> Array:
            answers = self.network.apply(params, frames, True, rngs={"dropout": key})
            return jnp.mean(jnp.square(answers - sums))

        @jax.jit
        def step(params, opt_state, images, chosen, lengths, sums, number):  # noqa: ANN001, ANN202
            key = jax.random.fold_in(jax.random.key(0), number)
            frames = show(images, chosen, lengths)
            gradient = jax.grad(loss)(params, frames, sums, key)
            updates, opt_state = optimizer.update(gradient, opt_state)
            return optax.apply_updates(params, updates), opt_state

        @jax.jit
        def answer(params: dict, images: Array, chosen: Array, lengths: Array) -> Array:
            return self.network.apply(params, show(images, chosen, lengths), False)

        self.step, self.answer = step, answer
        self.apply = jax.jit(lambda params, frames: self.network.apply(params, frames, False))

    def train(self, steps: int) -> None:
        """Make so many updates."""
        for _ in range(steps):
            drawn = self.corpus.draw(self.rng, self.batch)
            self.params, self.opt_state = self.step(
                self.params, self.opt_state, self.images, *drawn, self.steps_made
            )
            self.steps_made += 1
        jax.block_until_ready(self.params)

    def infer(self, batches: int) -> None:
        """Answer so many drawn batches."""
        for _ in range(batches):
            chosen, lengths, _ = self.corpus.draw(self.rng, self.batch)
            self.answer(self.params, self.images, chosen, lengths).block_until_ready()

    def answers(self, frames: np.ndarray, _: np.ndarray) -> np.ndarray:
        """Sums (B,) of frames (B, 8, 28, 28), black ones behind the end."""
        return self.apply(self.params, frames)


def _params(weights: dict[str, np.ndarray]) -> dict:
    def dense(kernel: np.ndarray, bias: np.ndarray | None = None) -> dict:
        return {"kernel": kernel} if bias is None else {"kernel": kernel, "bias": bias}

    params = {
        f"Conv_{i}": dense(weights[f"conv{i}_kernel"], weights[f"conv{i}_bias"]) for i in range(2)
    }
    for i in range(2):
        kernels = np.split(weights[f"gru{i}_input"], 3, axis=1)
        biases = np.split(weights[f"gru{i}_bias"], 3)
        recurrent = np.split(weights[f"gru{i}_recurrent"], 3, axis=1)
        cell = {}
        for gate, kernel, bias, state in zip("rzn", kernels, biases, recurrent, strict=True):
            cell[f"i{gate}"] = dense(kernel, bias)
            own = weights[f"gru{i}_candidate_bias"] if gate == "n" else None
            cell[f"h{gate}"] = dense(state, own)
        params[f"GRUCell_{i}"] = cell
    params["Dense_0"] = dense(weights["value_kernel"], weights["value_bias"])
    return {"params": params}
