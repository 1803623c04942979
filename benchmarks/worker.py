"""One system in a process of its own, doing what it is told on standard input.

    python -m benchmarks.worker SYSTEM BATCH FOLDER

FOLDER holds images.npy and labels.npy, and test_images.npy and test_labels.npy; for a system of
`CLIPS`, `ROWS` or `CAPTCHA`, a corpus that wrote itself there. For each word read, it
answers with a line `=> ` and JSON:

* `step`: makes the first training steps;
* `answers`: those to the first sequences, with the weights that all systems are given; null from
  one that has others;
* `train`, `infer`: sequences/s of a stretch of about `STRETCH` seconds;
* `learn`: trains until a test RMSE of `protocol.AIM` (`learned`);
* `memory`: the largest resident memory so far, in MB;
* `sgemm`: FLOP/s of a float32 matrix product in this system, where it has one.
"""

import gc
import importlib
import json
import math
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks import clips, lines
from benchmarks.protocol import AIM, Corpus, least_steps, weights

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
CLIPS = {
    "clips/crnn_jax": "clips_crnn_jax:System",
    "clips/torch": "clips_pytorch:System",
    "clips/keras-tensorflow": "clips_keras3:System",
}
ROWS = {
    "rows/crnn_jax": "lines_crnn_jax:Rows",
    "rows/torch": "lines_pytorch:System",
    "rows/torch-compile": "lines_pytorch:Compiled",
    "rows/torch-sorted": "lines_pytorch:Sorted",
}
CAPTCHA = {
    "captcha/crnn_jax": "lines_crnn_jax:Captcha",
    "captcha/keras-tensorflow": "lines_keras3:Example",
    "captcha/gru/keras-tensorflow": "lines_keras3:System",
}
STRETCH = 1.0
BETWEEN_TESTS = 15_000  # sequences trained, about
TESTED = 6_000  # sequences, about
MOST_TRAINED = 1_500_000  # sequences: 25 epochs


def main() -> None:
    """Run the worker."""
    gc.set_threshold(10_000)  # as `crnn_jax/main.py` has it; the others start no slower by it
    name, batch, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    module, _, form = {**SYSTEMS, **CLIPS, **ROWS, **CAPTCHA}[name].partition(":")
    system_class = getattr(importlib.import_module(f"benchmarks.systems.{module}"), form)
    if name in CLIPS:
        corpus, given, least = clips.Corpus.read(folder), clips.weights(), clips.LEAST_STEPS
    elif name in ROWS or name in CAPTCHA:
        network = lines.ROWS if name in ROWS else lines.CAPTCHA
        corpus, given, least = lines.Corpus.read(folder), network.weights(), lines.LEAST_STEPS
    else:
        corpus, given, least = read(folder), weights(), least_steps(batch)
    system = system_class(corpus, given, batch)
    for line in sys.stdin:
        match line.strip():
            case "step":
                system.train(least)
                say(None)
            case "answers":
                answers = system.answers(*corpus.first(batch))
                say(answers if answers is None else np.asarray(answers, float).tolist())
            case "train":
                say(rate(system.train, batch, least))
            case "infer":
                say(rate(system.infer, batch, least))
            case "learn":
                say(learned(system, read(folder, "test_"), batch))
            case "memory":
                say(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3)
            case "sgemm":
                say(sgemm())


def say(value: object) -> None:
    """One line for the one who asked."""
    print("=>", json.dumps(value), flush=True)


def read(folder: Path, split: str = "") -> Corpus:
    """The images and labels for training, or those of "test_"."""
    return Corpus(np.load(folder / f"{split}images.npy"), np.load(folder / f"{split}labels.npy"))


def learned(system: object, test: Corpus, batch: int) -> dict[str, float]:
    """Train until the test RMSE is `AIM` or less, or `MOST_TRAINED` sequences.

    Returns:
      The sequences trained, the last test RMSE and the seconds that testing took, which are no
      part of learning. All systems are tested on the same sequences.
    """
    drawn = test.draw(np.random.default_rng(1), TESTED // batch * batch)
    stretch = least_steps(batch) * round(BETWEEN_TESTS / batch / least_steps(batch))
    trained, seconds, rmse = 0, 0.0, np.inf
    while not rmse <= AIM and trained < MOST_TRAINED:  # it may be NaN
        system.train(stretch)
        trained += stretch * batch
        start = time.perf_counter()
        rmse = test_rmse(system, test, drawn, batch)
        seconds += time.perf_counter() - start
    return {"sequences": trained, "rmse": rmse, "testing": seconds}


def test_rmse(system: object, test: Corpus, drawn: tuple[np.ndarray, ...], batch: int) -> float:
    """Root mean squared error of the raw answers to drawn sequences."""
    chosen, lengths, sums = (part.reshape(-1, batch, *part.shape[1:]) for part in drawn)
    answers = [
        np.asarray(system.answers(test.padded(images, ends), ends))
        for images, ends in zip(chosen, lengths, strict=True)
    ]
    return float(np.sqrt(np.mean(np.square(np.stack(answers) - sums))))


def rate(work: Callable[[int], None], batch: int, least: int) -> float:
    """Sequences/s of steps that together take about `STRETCH` seconds, after some to warm up.

    Args:
      work: makes so many steps.
      batch: sequences of a step.
      least: steps that are made at once.
    """
    work(least)
    start = time.perf_counter()
    work(least)
    steps = least * math.ceil(STRETCH / (time.perf_counter() - start))
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
