"""Measures training on the GPU beside PyTorch and plain Flax; writes as it goes.

    make bench-gpu                              # everything, within eight minutes
    make bench-gpu ARGS="--limit 300 --parts rates"

Uses the JAX and the PyTorch that are installed. Each system is a process of its own on the same
GPU; all start from the same weights, and their answers must agree before they are timed, in turn,
five times. What time or memory did not suffice for is "not measured".
"""

import argparse
import contextlib
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from benchmarks.gpu import report, runs
from crnn_jax.data.dataset import load_dataset

ROOT = Path(__file__).parents[2]
SYSTEMS = (
    *("crnn_jax", "crnn_jax-deterministic", "flax", "torch-eager", "torch-packed"),
    *("torch-packed-graph", "torch-graph", "torch-compile", "torch-reduce-overhead"),
)
SLOW = ("torch-compile", "torch-reduce-overhead")  # half a minute to compile each row
MAIN = [("sum8_2016", batch, "float32") for batch in (64, 1024, 16384)]
LINES = ("rows", 256, "float32")  # see `benchmarks.lines`
GROUPS = (
    {
        **{system: MAIN[:2] if system in SLOW else MAIN for system in SYSTEMS},
        "crnn_jax": [*MAIN, ("sum8", 1024, "float32"), ("sum8", 1024, "bfloat16"), LINES],
        "torch-eager": [*MAIN, LINES],
        "crnn_jax-deterministic": [MAIN[0], ("sum8", 1024, "float32")],
        "torch-graph": [*MAIN, ("sum8", 1024, "float32"), ("sum8", 1024, "bfloat16")],
    },
    {
        system: [
            *(("sum8_2016", batch, "bfloat16") for batch in (64, 1024, 16384)),
            *(("sum8_2016", batch, "float32") for batch in (256, 4096)),
        ]
        for system in SYSTEMS
        if system not in (*SLOW, "crnn_jax-deterministic")
    },
)
REPEATS = 5
TOLERANCE = {"float32": 1e-2, "bfloat16": 6e-2}  # of sums; a GPU multiplies float32 as TF32
PARTS = ("rates", "runs", "bits", "seeds", "more")


class Worker:
    """A system in a process of its own (`worker.py`)."""

    def __init__(self, system: str, folder: Path) -> None:
        self.system = system
        self.said: queue.Queue = queue.Queue()
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
            "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "TORCHINDUCTOR_COMPILE_THREADS": "4",
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.gpu.worker", system, str(folder)],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        for line in self.process.stdout:
            if line.startswith("=> "):
                self.said.put(json.loads(line[3:]))
        self.said.put(["ended"])

    def tell(self, *words: Any) -> None:
        """Say what to do."""
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(json.dumps(words) + "\n")
            self.process.stdin.flush()

    def hear(self, seconds: float) -> Any:
        """The next answer; None where there is none in time or it failed."""
        try:
            return self.said.get(timeout=max(0.0, seconds))
        except queue.Empty:
            return None

    def close(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.wait()


class Results:
    """What was measured, written at once."""

    def __init__(self, path: Path, limit: float) -> None:
        self.path, self.end = path, time.monotonic() + limit
        self.values: dict[str, Any] = {"about": report.about(), "rates": [], "failed": []}

    def left(self) -> float:
        """Seconds left."""
        return self.end - time.monotonic()

    def write(self) -> None:
        """Write them down."""
        self.path.write_text(json.dumps(self.values, indent=1) + "\n")

    def failed(self, what: str, why: str) -> None:
        """Take down that something was not measured."""
        print(f"not measured: {what}: {why}", file=sys.stderr, flush=True)
        self.values["failed"].append([what, why])
        self.write()


def rates(group: dict[str, list], folder: Path, results: Results) -> None:
    """Time the rows of a group, system by system in turn; then counts kernels."""
    with opened(group, folder) as workers:
        ready = prepared(workers, group, results)
        rows = list(dict.fromkeys(row for rows in group.values() for row in rows))
        for row in rows:
            agreeing = agree(row, ready, results)
            found: dict[str, list[float]] = {system: [] for system in agreeing}
            for repeat in range(REPEATS):
                for system in agreeing:
                    if len(found[system]) < repeat:
                        continue  # it failed
                    workers[system].tell("rate", row)
                    rate = workers[system].hear(min(20.0, results.left()))
                    if isinstance(rate, float):
                        found[system].append(rate)
                    else:
                        results.failed(f"{system} {row}", rate[-1] if rate else "time")
            for system, values in found.items():
                entry = {"system": system, "row": row, "rates": values}
                for what in ("kernels", "bytes") if row[1] == 64 or system == "crnn_jax" else ():
                    workers[system].tell(what, row)
                    count = workers[system].hear(min(20.0, results.left()))
                    entry[what] = count if isinstance(count, float) else None
                if values:
                    results.values["rates"].append(entry)
                    median = f"{np.median(values):,.0f}"
                    print(row, system, median, entry.get("kernels"), flush=True)
                workers[system].tell("drop", row)
                workers[system].hear(5.0)
            results.write()
        if "peaks" not in results.values and "crnn_jax" in workers:
            workers["crnn_jax"].tell("peaks")
            results.values["peaks"] = workers["crnn_jax"].hear(results.left())
            results.write()


@contextlib.contextmanager
def opened(group: dict[str, list], folder: Path) -> Iterator[dict[str, Worker]]:
    """The workers of a group's systems."""
    workers = {system: Worker(system, folder) for system in group}
    try:
        yield workers
    finally:
        for worker in workers.values():
            worker.close()


def prepared(workers: dict[str, Worker], group: dict[str, list], results: Results) -> dict:
    """Has all rows built and compiled, side by side; the answers of each system and row.

    A system that is not done in time is stopped: it would slow the others.
    """
    start = time.monotonic()
    for system, worker in workers.items():
        worker.tell("prepare", *group[system])
    ready: dict[str, dict[tuple, Any]] = {system: {} for system in workers}
    for system, worker in workers.items():
        seconds = results.left() - 60 if system == "crnn_jax" else results.values["prepare"]
        while True:
            match worker.hear(start + seconds - time.monotonic()):
                case ["ready", row, took, answers]:
                    ready[system][tuple(row)] = np.array(answers)
                    print(system, row, f"ready after {took:.1f} s", flush=True)
                case ["failed", row, why]:
                    results.failed(f"{system} {row}", why)
                case ["prepared"]:
                    break
                case said:
                    results.failed(f"{system}, rows not ready", "ended" if said else "time")
                    worker.close()
                    ready[system] = {}
                    break
    return ready


def agree(row: tuple, ready: dict, results: Results) -> list[str]:
    """The systems that have a row ready, without those whose answers are not the first one's."""
    having = [system for system in ready if row in ready[system]]
    if row[0] == "sum8":
        return having  # the heads differ
    agreeing = having[:1]
    for system in having[1:]:
        expected, answers = ready[having[0]][row], ready[system][row]
        difference = np.abs(answers - expected).max() / max(1.0, np.abs(expected).max())
        if difference <= TOLERANCE[row[2]]:
            agreeing.append(system)
        else:
            results.failed(f"{system} {row}", f"its answers differ by {difference:.1e}")
    return agreeing


def main(argv: Sequence[str]) -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--limit", type=float, default=470, help="seconds in all")
    parser.add_argument("--prepare", type=float, default=110, help="seconds to compile a group")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--manual_dir", default=os.environ.get("CRNN_JAX_MANUAL_DIR", ""))
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks", help="folder of results")
    parser.add_argument("--smoke", action="store_true", help="tiny, also on a CPU")
    options = parser.parse_args(argv)
    jax.config.update("jax_platforms", "cpu")  # here; the GPU is the workers'
    options.out.mkdir(parents=True, exist_ok=True)
    results = Results(options.out / "gpu.json", options.limit)
    results.values["prepare"] = options.prepare
    groups = tuple(small(group) for group in GROUPS) if options.smoke else GROUPS
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        corpus = load_dataset(
            "optdigits" if options.smoke else "mnist",
            data_dir=str(folder / "data"),
            manual_dir=options.manual_dir,
            fallback=False,
        )
        np.save(folder / "images.npy", corpus.train.images_IxHxWxC[..., 0])
        np.save(folder / "labels.npy", corpus.train.labels_I)
        work = {
            "rates": lambda: rates(groups[0], folder, results),
            "runs": lambda: runs.starts(options, folder, results),
            "bits": lambda: runs.bits(options, folder, results),
            "seeds": lambda: runs.seeds(options, folder, results),
            "more": lambda: rates(groups[1], folder, results),
        }
        for part in (part for part in PARTS if part in options.parts):
            if results.left() < 20:
                results.failed(part, "no time left")
                continue
            start = time.monotonic()
            work[part]()
            print(f"{part}: {time.monotonic() - start:.0f} s", flush=True)
    report.write(results.values, options.out)


def small(group: dict[str, list]) -> dict[str, list]:
    """A group of one small row for two systems."""
    return {system: [("sum8_2016", 16, "float32")] for system in group if system in SYSTEMS[0:3:2]}


if __name__ == "__main__":
    main(sys.argv[1:])
