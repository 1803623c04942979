"""Training and inference rates beside what people would use instead; writes RESULTS.md.

    make bench          # everything, into benchmarks/RESULTS.md and benchmarks/figures/rates.png
    make bench ARGS="--parts rates quick"   # these parts anew; the others stay
    make bench-smoke    # only the ratio to plain Flax at a batch of 64, in under a minute

All systems are given the same weights, and their answers must agree before anything is timed; one
of those that read lines has layers that the others have not, and is not compared.
They stay open side by side, and each is timed for a second in turn, round after round, so that a
machine that grows slower does so for all.
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import clips, growth, lines, report
from benchmarks.worker import CAPTCHA, CLIPS, ROWS, SYSTEMS
from configs.sum8_2016 import get_config
from crnn_jax import exit_status
from crnn_jax.data.clips import SCENES
from crnn_jax.data.dataset import load_dataset
from crnn_jax.data.split import Split
from tools.make_clips import clips_of

ROOT = Path(__file__).parents[1]
BATCHES = (32, 64, 256, 1024)
PARTS = tuple(report.PARTS)
TOLERANCE = 1e-4  # of answers to sums of eight digits, relative to their size


class Worker:
    """A system in a process of its own (`worker.py`)."""

    def __init__(self, system: str, batch: int, folder: Path, cache: Path) -> None:
        self.system = system
        self.start = time.perf_counter()
        environment = os.environ | {
            "PYTHONPATH": str(ROOT),
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "JAX_COMPILATION_CACHE_DIR": str(cache / "jax"),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "TORCHINDUCTOR_CACHE_DIR": str(cache / "torch"),
            "KERAS_BACKEND": system.partition("keras-")[2],
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker", system, str(batch), str(folder)],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, what: str) -> Any:
        """What the worker says to a word of `worker.py`."""
        self.process.stdin.write(f"{what}\n")
        self.process.stdin.flush()
        return heard(self.process.stdout, self.system)

    def close(self) -> None:
        """End the process."""
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()


def heard(lines: Iterable[str], who: str) -> Any:
    """What `worker.say` has said first in these lines."""
    for line in lines:
        if line.startswith("=> "):
            return json.loads(line[3:])
    raise SystemExit(f"the worker of {who} ended: see above")


@contextlib.contextmanager
def workers(systems: list[str], batch: int, folder: Path, cache: Path) -> Iterator[list[Worker]]:
    """Open the systems and check that they give the same answers."""
    opened = [Worker(system, batch, folder, cache) for system in systems]
    try:
        expected = np.array(opened[0].ask("answers"))
        for worker in opened[1:]:
            answers = worker.ask("answers")
            if answers is None:
                continue  # of other weights
            difference = np.abs(answers - expected).max()
            if not difference <= TOLERANCE * max(1, np.abs(expected).max()):  # it may be NaN
                raise SystemExit(
                    f"{worker.system} differs from {opened[0].system} by {difference:.1e}"
                )
        yield opened
    finally:
        for worker in opened:
            worker.close()


def rates(
    systems: list[str],
    batch: int,
    repeats: int,
    folder: Path,
    cache: Path,
    works: Sequence[str] = ("train", "infer"),
) -> dict:
    """Sequences/s of training and inference: for each system, one number a round."""
    found: dict = {system: {work: [] for work in works} for system in systems}
    sgemm = []
    with workers(systems, batch, folder, cache) as opened:
        for _ in range(repeats):
            for worker in opened:
                for work in works:
                    found[worker.system][work].append(worker.ask(work))
            if "flax" in systems:
                sgemm.append(opened[systems.index("flax")].ask("sgemm"))  # on all threads
        for worker in opened:
            found[worker.system]["memory"] = worker.ask("memory")
    return {"batch": batch, "systems": found, "sgemm": sgemm}


def first_steps(systems: list[str], repeats: int, folder: Path) -> dict:
    """Seconds from process start to the end of ten steps, with an empty and a filled cache."""
    found: dict = {system: {"cold": [], "warm": []} for system in systems}
    for _ in range(repeats):
        for system in systems:
            with tempfile.TemporaryDirectory() as cache:
                for state in ("cold", "warm"):
                    worker = Worker(system, 64, folder, Path(cache))
                    worker.ask("step")
                    found[system][state].append(time.perf_counter() - worker.start)
                    worker.close()
    return found


def learned(systems: list[str], folder: Path) -> dict:
    """Seconds from process start to the RMSE of 2016, without the tests, and what was trained."""
    found = {}
    for system in systems:
        with tempfile.TemporaryDirectory() as cache:
            worker = Worker(system, 64, folder, Path(cache))
            found[system] = worker.ask("learn")
            seconds = time.perf_counter() - worker.start - found[system].pop("testing")
            found[system]["seconds"] = seconds
            worker.close()
    return found


def grown(folder: Path) -> dict:
    """Rates of this project for each quantity and value of `growth.py`."""
    return {
        what: {str(value): _growth(what, value, folder) for value in values}
        for what, values in growth.VALUES.items()
    }


def _growth(what: str, value: int, folder: Path) -> list[float]:
    command = [sys.executable, "-m", "benchmarks.growth", what, str(value), str(folder)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return heard(done.stdout.splitlines(), what)


def film(split: Split, folder: Path, count: int = clips.COUNT) -> None:
    """Film clips of some digits, for `clips.Corpus.read`."""
    lengths = range(clips.SHORTEST, clips.LONGEST + 1)
    made = list(clips_of(*split, seed=1, count=count, lengths=lengths))
    classes = np.array([SCENES.index(scene) for _, _, scene in made])
    frames = [frames[..., 0] for frames, _, _ in made]
    filmed = clips.Corpus(np.concatenate(frames), np.array(list(map(len, frames))), classes)
    filmed.write(folder)


def clip_rates(split: Split, repeats: int, folder: Path, cache: Path) -> dict:
    """See `rates`: of the systems that read clips, at one size of batches."""
    film(split, folder)
    return rates(list(CLIPS), clips.BATCH, repeats, folder, cache)


def line_rates(split: Split, repeats: int, folder: Path, cache: Path) -> dict:
    """See `rates`: of the systems that read lines, for each of two networks."""
    lines.compose(split.images_IxHxWxC[..., 0], split.labels_I).write(folder)
    networks = {"rows": ROWS, "captcha": CAPTCHA}
    return {
        name: rates(list(systems), lines.BATCH, repeats, folder, cache)
        for name, systems in networks.items()
    }


def quick_runs(seeds: int) -> dict:
    """Seconds and test RMSE of whole runs of `sum8.py:quick`, their cache empty and then filled."""
    found: dict = {"cold": [], "warm": [], "rmse": []}
    for seed in range(seeds):
        with tempfile.TemporaryDirectory() as cache:
            for state in ("cold", "warm"):
                workdir = Path(cache) / state
                command = [
                    *(sys.executable, "-m", "crnn_jax.main", "--config=configs/sum8.py:quick"),
                    *(f"--config.seed={seed}", f"--workdir={workdir}"),
                ]
                environment = os.environ | {"XDG_CACHE_HOME": cache}
                start = time.perf_counter()
                subprocess.run(
                    command, env=environment, cwd=ROOT, stdout=subprocess.DEVNULL, check=True
                )
                found[state].append(time.perf_counter() - start)
            found["rmse"].append(json.loads((workdir / "results.json").read_text())["rmse"])
    return found


def main(argv: Sequence[str]) -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.bench",
        usage=argparse.SUPPRESS,  # a mistake is one line then
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--smoke", action="store_true", help="the ratio to plain Flax alone")
    parser.add_argument("--repeats", type=int, default=5, help="rounds of rates")
    parser.add_argument("--starts", type=int, default=3, help="starts of each system")
    parser.add_argument("--batches", type=int, nargs="+", default=BATCHES)
    parser.add_argument(
        "--parts",
        nargs="+",
        choices=PARTS,
        default=PARTS,
        help="what to measure; of the others results.json keeps what it has, with its revision",
    )
    options = parser.parse_args(argv)
    results = ROOT / "benchmarks" / "results.json"
    measured = json.loads(results.read_text()) if results.exists() else {}
    missing = set(PARTS) - set(options.parts) - set(measured)
    if missing and not options.smoke:
        parser.error(f"{results} has no {', '.join(sorted(missing))}: name it in --parts too")

    data = get_config().data
    corpus = load_dataset(
        data.name,
        data_dir=data.data_dir,
        manual_dir=data.manual_dir,
        fallback=options.smoke,
    )
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for name, split in {"": corpus.train, "test_": corpus.test}.items():
            np.save(folder / f"{name}images.npy", split.images_IxHxWxC[..., 0])
            np.save(folder / f"{name}labels.npy", split.labels_I)
        cache = folder / "cache"
        if options.smoke:
            systems = ["crnn_jax", "flax"]
            measured = rates(systems, 64, 3, folder, cache, works=("train",))["systems"]
            pairs = zip(measured["crnn_jax"]["train"], measured["flax"]["train"], strict=True)
            ratio = statistics.median(ours / theirs for ours, theirs in pairs)
            print(f"{ratio:.1f} times as fast as plain Flax, training at a batch of 64")
            return
        systems = list(SYSTEMS)
        measures = {
            "rates": lambda: [
                rates(systems, batch, options.repeats, folder, cache) for batch in options.batches
            ],
            "first_steps": lambda: first_steps(systems, options.starts, folder),
            "growth": lambda: grown(folder),
            "quick": lambda: quick_runs(options.starts),
            "learned": lambda: learned(systems, folder),
            "clips": lambda: clip_rates(corpus.train, options.repeats, folder, cache),
            "lines": lambda: line_rates(corpus.train, options.repeats, folder, cache),
        }
        about = report.machine(corpus.identity)
        for part in options.parts:
            measured[part] = {"about": about, "found": measures[part]()}
            text = json.dumps(measured, indent=1) + "\n"  # of what is there, should the next fail
            results.write_text(text)
    report.write(measured, ROOT / "benchmarks")


if __name__ == "__main__":
    sys.exit(exit_status(main, sys.argv[1:]))
