"""One system in a process of its own, doing what it is told on standard input.

    python -m benchmarks.worker SYSTEM BATCH FOLDER

FOLDER holds images.npy and labels.npy. For each word read, it answers with a line `=> ` and JSON:

* `step`: makes the first training steps;
* `answers`: the sums of a batch of sequences of eight frames, with the weights of `protocol.py`;
* `train`, `infer`: sequences/s of a stretch of about `STRETCH` seconds;
* `memory`: the largest resident memory so far, in MB;
* `sgemm`: FLOP/s of a float32 matrix product in this system, where it has one.
"""

import importlib
import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.protocol import LENGTH, Corpus, least_steps, weights

SYSTEMS = {
    "crnn_jax": "crnn_jax:System",
    "flax": "plain_flax:System",
    "torch": "pytorch:System",
    "torch-compile": "pytorch:Compiled",
    "torch-packed": "pytorch:Packed",
    "keras-tensorflow": "keras3:System",
    "keras-jax": "keras3:System",
    "keras-torch": "keras3:System",
}
STRETCH = 1.0


def main() -> None:
    """Runs the worker."""
    name, batch, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    module, _, form = SYSTEMS[name].partition(":")
    system_class = getattr(importlib.import_module(f"benchmarks.systems.{module}"), form)
    corpus = Corpus(np.load(folder / "images.npy"), np.load(folder / "labels.npy"))
    system = system_class(corpus, weights(), batch)
    for line in sys.stdin:
        match line.strip():
            case "step":
                system.train(least_steps(batch))
                say(None)
            case "answers":
                say(answers(system, corpus, batch))
            case "train":
                say(rate(system.train, batch))
            case "infer":
                say(rate(system.infer, batch))
            case "memory":
                say(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3)
            case "sgemm":
                say(sgemm())


def say(value: object) -> None:
    """One line for the one who asked."""
    print("=>", json.dumps(value), flush=True)


def answers(system: object, corpus: Corpus, batch: int) -> list[float]:
    """Sums of as many sequences of eight frames as a batch has."""
    chosen = np.arange(batch * LENGTH).reshape(batch, LENGTH)
    return np.asarray(system.answers(corpus.images[chosen]), float).tolist()


def rate(work: Callable[[int], None], batch: int) -> float:
    """Sequences/s of steps that together take about `STRETCH` seconds, after some to warm up."""
    start = time.perf_counter()
    work(least_steps(batch))
    steps = least_steps(batch) * max(1, round(STRETCH / (time.perf_counter() - start)))
    start = time.perf_counter()
    work(steps)
    return steps * batch / (time.perf_counter() - start)


def sgemm(size: int = 2048) -> float:
    """FLOP/s of a square float32 matrix product in XLA, the best of some."""
    import jax

    matrix = jax.random.normal(jax.random.key(0), (size, size))
    product = jax.jit(lambda a: a @ a)
    seconds = []
    for _ in range(8):
        start = time.perf_counter()
        product(matrix).block_until_ready()
        seconds.append(time.perf_counter() - start)
    return 2 * size**3 / min(seconds)


if __name__ == "__main__":
    main()
