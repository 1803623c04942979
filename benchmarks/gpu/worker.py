"""One system on the GPU, in a process of its own.

    python -m benchmarks.gpu.worker SYSTEM FOLDER

FOLDER holds images.npy and labels.npy. Reads lines of JSON, each a list of a word and its
arguments, and answers with lines `=> ` and JSON:

* `prepare ROW …`: builds and compiles each row, a list of network, batch and dtype; answers
  `["ready", ROW, seconds, answers]` or `["failed", ROW, reason]` for each, then `["prepared"]`;
* `rate ROW`: sequences/s of a stretch of `STRETCH` seconds;
* `kernels ROW`: kernels of a training step;
* `bytes ROW`: bytes that a step moves by XLA's own count, where there is one;
* `drop ROW`: frees it.
"""

import json
import math
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from benchmarks.protocol import LENGTH, Corpus

STRETCH = 0.12
ANSWERED = 64  # sequences whose sums all systems are asked for


class System(Protocol):
    """A network with its data on the GPU."""

    def train(self, steps: int) -> int | None:
        """Make so many updates, and wait for them; return how many, where they are more."""
        ...

    def answers(self, frames: np.ndarray) -> np.ndarray:
        """Sums (B,) of frames (B, 8, 28, 28)."""
        ...

    def kernels(self) -> float:
        """Kernels of a step."""
        ...


def main() -> None:
    """Run the worker."""
    name, folder = sys.argv[1], Path(sys.argv[2])
    corpus = Corpus(np.load(folder / "images.npy"), np.load(folder / "labels.npy"))
    if name.startswith("torch"):
        from benchmarks.gpu.torch_systems import build

        threads = 1  # its graphs belong to the thread that made them
    else:
        from benchmarks.gpu.jax_systems import build

        threads = 8
    Worker(name, corpus, build, threads).run()


class Worker:
    """Holds the systems that were prepared, by row."""

    def __init__(
        self, name: str, corpus: Corpus, build: Callable[..., System], threads: int
    ) -> None:
        self.name, self.corpus, self.build, self.threads = name, corpus, build, threads
        self.systems: dict[tuple, System] = {}
        self.steps: dict[tuple, int] = {}

    def run(self) -> None:
        """Do what standard input says until it ends."""
        for line in sys.stdin:
            word, *rows = json.loads(line)
            rows = [tuple(row) for row in rows]
            if word == "prepare":
                self.prepare(rows)
                continue
            try:
                say(getattr(self, word)(*rows))
            except Exception as error:  # one row must not cost the others
                say(["failed", rows, f"{type(error).__name__}: {error}"[:300]])

    def prepare(self, rows: list[tuple]) -> None:
        """Build the systems of some rows, and have each answer before it learns anything."""
        images = self.corpus.images[: ANSWERED * LENGTH].reshape(ANSWERED, LENGTH, 28, 28)

        def one(row: tuple) -> None:
            start = time.perf_counter()
            try:
                system = self.build(self.name, self.corpus, *row)
                answers = np.asarray(system.answers(images), float).tolist()
                system.train(1)
                self.systems[row] = system
                say(["ready", row, time.perf_counter() - start, answers])
            except Exception as error:  # as above
                say(["failed", row, f"{type(error).__name__}: {error}"[:300]])

        if self.threads == 1:
            for row in rows:
                one(row)
        else:
            with ThreadPoolExecutor(self.threads) as pool:
                list(pool.map(one, rows))
        say(["prepared"])

    def rate(self, row: tuple) -> float:
        """Sequences/s; the first time, after some steps that say how many make a stretch."""
        system, batch = self.systems[row], row[1]
        if row not in self.steps:
            steps, seconds = 1, 0.0
            while seconds < STRETCH / 4:
                start = time.perf_counter()
                system.train(steps)
                seconds = time.perf_counter() - start
                steps *= 4
            self.steps[row] = max(1, math.ceil(steps / 4 * STRETCH / seconds))
        steps = self.steps[row]
        start = time.perf_counter()
        made = system.train(steps)
        return (made or steps) * batch / (time.perf_counter() - start)

    def kernels(self, row: tuple) -> float:
        """Kernels of a step."""
        return self.systems[row].kernels()

    def bytes(self, row: tuple) -> float | None:
        """Bytes of a step, by the compiler's count."""
        count = getattr(self.systems[row], "bytes", None)
        return count() if count else None

    def peaks(self) -> dict[str, float]:
        """FLOP/s of matrix products and bytes/s of a copy."""
        from benchmarks.gpu.jax_systems import peaks

        return peaks()

    def drop(self, row: tuple) -> None:
        """Frees a row's memory."""
        self.systems.pop(row, None)


def say(value: Any) -> None:
    """One line for the one who asked."""
    print("=>", json.dumps(value), flush=True)


if __name__ == "__main__":
    main()
