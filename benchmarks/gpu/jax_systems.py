"""This project and plain Flax on a GPU; the corpus and the draw are on the device in both."""

import collections
import functools
import glob
import math
import tempfile
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmarks import lines
from benchmarks.protocol import DECAY, LEARNING_RATE, LENGTH, Corpus, weights
from benchmarks.systems import crnn_jax as ours
from benchmarks.systems import lines_crnn_jax, plain_flax
from configs import sum8, sum8_2016
from crnn_jax.data.dataset import Dataset, known_info
from crnn_jax.data.lanes import padded_lanes
from crnn_jax.data.split import Split
from crnn_jax.distributed import devices
from crnn_jax.train.trainer import Trainer

CONFIGS = {"sum8": sum8.get_config, "sum8_2016": sum8_2016.get_config}


def build(name: str, corpus: Corpus, net: str, batch: int, dtype: str) -> Any:
    """A system by its name: crnn_jax, crnn_jax-deterministic or flax."""
    if net == "rows":
        return Rows(lines.compose(corpus.images, corpus.labels), lines.ROWS.weights(), batch)
    if name == "flax":
        if net != "sum8_2016":
            raise ValueError("only sum8_2016 is written in plain Flax")
        return Flax(corpus, batch, dtype)
    return Ours(corpus, net, batch, dtype, deterministic=name.endswith("deterministic"))


class Ours:
    """The trainer of this project, as `python -m crnn_jax.main` runs it."""

    def __init__(
        self, corpus: Corpus, net: str, batch: int, dtype: str, *, deterministic: bool
    ) -> None:
        config = CONFIGS[net]()
        config.train.batch_size = batch
        config.model.dtype = dtype
        self.steps = max(1, min(100, 65_536 // batch))
        config.train.steps_per_dispatch = self.steps
        split = Split(corpus.images[..., None], corpus.labels.astype(np.int32))
        self.trainer = Trainer(config, Dataset(known_info("mnist:benchmark"), split, split, split))
        state = self.trainer.initial_state()
        if net == "sum8_2016":
            state = state.replace(params=ours.parameters(weights(), "value"))
        self.inputs = devices.device_inputs()
        self.source = next(self.trainer.feed.sources(0))
        self.state = devices.replicate(state)
        lowered = self.trainer.dispatch.lower(self.state, self.inputs, self.source)
        self.dispatch = devices.compile_step(lowered, deterministic=deterministic)

    def train(self, steps: int) -> int:
        """Make so many updates or some more; returns how many."""
        dispatches = math.ceil(steps / self.steps)
        for _ in range(dispatches):
            self.state, metrics = self.dispatch(self.state, self.inputs, self.source)
        jax.block_until_ready(metrics)
        return dispatches * self.steps

    def answers(self, frames: np.ndarray) -> np.ndarray:
        """See `worker.System`."""
        frames_TxNxHxWxC = frames.swapaxes(0, 1)[..., None]
        lanes = padded_lanes(np.full(len(frames), LENGTH))
        params = devices.unreplicate(self.state.params)
        output = jax.jit(self.trainer.network.apply)(params, frames_TxNxHxWxC, lanes)
        return output.answers().estimate[-1]

    def kernels(self) -> float:
        """See `worker.System`."""
        return kernels(functools.partial(self.train, self.steps), self.steps)

    def bytes(self) -> float | None:
        """Bytes that a step reads and writes, by XLA's count, which takes a loop's body once."""
        analysis = self.dispatch.cost_analysis()
        return analysis.get("bytes accessed") if analysis else None


class Rows(lines_crnn_jax.Rows):
    """`lines.ROWS`."""

    steps = 16

    def train(self, steps: int) -> int:
        """Make so many updates or some more; returns how many."""
        steps = -(-steps // self.steps) * self.steps
        super().train(steps)
        return steps

    def answers(self, frames: np.ndarray) -> np.ndarray:
        """See `worker.System`; about the first lines."""
        return super().answers(*self.corpus.first(len(frames)))

    def kernels(self) -> float:
        """See `worker.System`."""
        return kernels(functools.partial(self.train, self.steps), self.steps)


class Flax:
    """`plain_flax.Network`, each step a call of a jitted function."""

    def __init__(self, corpus: Corpus, batch: int, dtype: str) -> None:
        self.network = plain_flax.Network(None if dtype == "float32" else jnp.dtype(dtype))
        self.params = plain_flax._params(weights())
        optimizer = optax.rmsprop(LEARNING_RATE, decay=DECAY, eps_in_sqrt=False)
        self.opt_state = optimizer.init(self.params)
        self.made = 0

        def loss(params: dict, frames: jax.Array, sums: jax.Array, key: jax.Array) -> jax.Array:
            answers = self.network.apply(params, frames, True, rngs={"dropout": key})
            return jnp.mean(jnp.square(answers - sums))

        @functools.partial(jax.jit, donate_argnums=(0, 1))
        def step(params, opt_state, images, labels, number):  # noqa: ANN001, ANN202
            keys = jax.random.split(jax.random.fold_in(jax.random.key(0), number), 3)
            lengths = jax.random.randint(keys[0], (batch, 1), 1, LENGTH + 1)
            chosen = jax.random.randint(keys[1], (batch, LENGTH), 0, len(labels))
            real = jnp.arange(LENGTH) < lengths
            frames = images[chosen] * real[..., None, None]
            sums = (labels[chosen] * real).sum(1).astype(jnp.float32)
            gradient = jax.grad(loss)(params, frames, sums, keys[2])
            updates, opt_state = optimizer.update(gradient, opt_state)
            return optax.apply_updates(params, updates), opt_state

        self.data = jnp.asarray(corpus.images), jnp.asarray(corpus.labels.astype(np.int32))
        self.step = step.lower(self.params, self.opt_state, *self.data, 0).compile()

    def train(self, steps: int) -> None:
        """See `worker.System`."""
        for _ in range(steps):
            self.params, self.opt_state = self.step(
                self.params, self.opt_state, *self.data, np.int32(self.made)
            )
            self.made += 1
        jax.block_until_ready(self.params)

    def answers(self, frames: np.ndarray) -> np.ndarray:
        """See `worker.System`."""
        apply = jax.jit(lambda params, frames: self.network.apply(params, frames, False))
        return apply(jax.tree.map(jnp.asarray, self.params), frames)

    def kernels(self) -> float:
        """See `worker.System`."""
        return kernels(functools.partial(self.train, 4), 4)


def kernels(work: Callable[[], Any], steps: int) -> float:
    """Kernels that run on the GPU in each of so many steps of work."""
    count = 0
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            work()
        (path,) = glob.glob(f"{folder}/**/*.xplane.pb", recursive=True)
        for plane in jax.profiler.ProfileData.from_file(path).planes:
            if "GPU" in plane.name:
                lines = [line for line in plane.lines if "Stream" in line.name]
                count += sum(1 for line in lines for _ in line.events)
    return count / steps


def peaks() -> dict[str, float]:
    """FLOP/s of a square matrix product as each dtype has it by default; bytes/s of a copy."""
    found = collections.defaultdict(float)

    def best(name: str, amount: float, work: Callable[[], jax.Array]) -> None:
        work().block_until_ready()
        for _ in range(3):
            start = time.perf_counter()
            for _ in range(10):
                result = work()
            result.block_until_ready()
            found[name] = max(found[name], 10 * amount / (time.perf_counter() - start))

    size = 8192 if jax.default_backend() == "gpu" else 256
    for dtype in ("float32", "bfloat16"):
        matrix = jax.random.normal(jax.random.key(0), (size, size), dtype)
        product = jax.jit(lambda a: a @ a)
        best(dtype, 2 * size**3, lambda f=product, a=matrix: f(a))
    array = jax.random.normal(jax.random.key(1), (size, 4 * size))
    copy = jax.jit(lambda a: a + 1)
    best("copy", 2 * array.nbytes, lambda: copy(array))
    return dict(found)
