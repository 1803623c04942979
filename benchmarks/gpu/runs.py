"""Whole runs of `configs/sum8.py` on a GPU: how long, whether their bits repeat, their scores."""

import argparse
import hashlib
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
LEVELS = (1.17, 0.65)  # validation RMSE
EVALUATED = re.compile(r"step (\d+) · validation: rmse ([\d.]+)")


class Run:
    """A run in a process of its own, and when it said what."""

    def __init__(self, options: argparse.Namespace, folder: Path, name: str, *flags: str) -> None:
        self.workdir = folder / name
        self.start = time.perf_counter()
        corpus = (f"--config.data.manual_dir={options.manual_dir}",)
        config = "--config=configs/sum8.py"
        if options.smoke:
            config, corpus = config + ":smoke", ("--config.data.name=optdigits",)
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
            "XDG_CACHE_HOME": str(folder / "cache"),
            "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
        }
        command = [sys.executable, "-m", "crnn_jax.main", config, *corpus]
        command += [f"--workdir={self.workdir}", f"--config.data.data_dir={folder / 'data'}"]
        self.process = subprocess.Popen(
            [*command, *flags],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.lines: list[tuple[float, str]] = []

    def read(self, until: str | None = None) -> None:
        """Read what it says up to a line with these words, or to its end."""
        for line in self.process.stderr:
            self.lines.append((time.perf_counter() - self.start, line.rstrip()))
            if until is not None and until in line:
                return
        self.process.wait()

    def results(self) -> dict[str, Any]:
        """Its results.json."""
        path = self.workdir / "results.json"
        if not path.exists():
            said = " / ".join(line for _, line in self.lines[-5:])
            raise RuntimeError(f"a run ended with {self.process.returncode}: {said[-400:]}")
        return json.loads(path.read_text())

    def bits(self) -> str:
        """A hash of its metrics and of the arrays in its last checkpoint."""
        hashed = hashlib.sha256((self.workdir / "metrics.jsonl").read_bytes())
        for leaf in _last_state(self.workdir / "checkpoints"):
            hashed.update(leaf.tobytes())
        return hashed.hexdigest()[:16]


def _last_state(folder: Path) -> list[Any]:
    import jax
    import numpy as np
    import orbax.checkpoint as ocp

    step = max(int(path.name) for path in folder.iterdir() if path.name.isdecimal())
    handler = ocp.CompositeCheckpointHandler(state=ocp.StandardCheckpointHandler())
    only = ocp.args.Composite(state=ocp.args.StandardRestore())
    state = ocp.Checkpointer(handler).restore((folder / str(step)).resolve(), args=only).state
    return [np.asarray(leaf) for leaf in jax.tree.leaves(state)]


def starts(options: argparse.Namespace, folder: Path, results: Any) -> None:
    """Seconds from process start: to the first steps, to each of `LEVELS`, to the results."""
    for state in ("cold", "warm"):
        if results.left() < 30:
            results.failed(f"sum8.py, {state} cache", "no time left")
            continue
        often = () if options.smoke else ("--config.eval.every=200",)
        run = Run(options, folder, f"sum8-{state}", *often)
        run.read()
        found = {"results": time.perf_counter() - run.start, **run.results()}
        for seconds, line in run.lines:
            if re.match(r"step \d+/", line):
                found.setdefault("first_steps", seconds)
            if evaluated := EVALUATED.search(line):
                for level in LEVELS:
                    if float(evaluated[2]) <= level:
                        found.setdefault(f"rmse_{level}", seconds)
        found.pop("lengths", None)
        results.values.setdefault("runs", {})[state] = found
        print(state, {k: v for k, v in found.items() if isinstance(v, float)}, flush=True)
        results.write()


def bits(options: argparse.Namespace, folder: Path, results: Any) -> None:
    """Whether three runs of one command, and one stopped and resumed, end with the same bits."""
    flags = ["--config.train.deterministic=True"]
    if not options.smoke:
        flags += ["--config.train.steps=600", "--config.eval.every=300"]
        flags += ["--config.checkpoint.every=300", "--config.eval.test_sequences=8000"]
    first = Run(options, folder, "bits-0", *flags)
    first.read()
    others = [Run(options, folder, f"bits-{i}", *flags) for i in (1, 2)]
    stopped = Run(options, folder, "bits-stopped", *flags)
    stopped.read("validation")
    stopped.process.send_signal(signal.SIGTERM)
    stopped.read()
    resumed = Run(options, folder, "bits-stopped", *flags)
    for run in (*others, resumed):
        run.read()
    found = {
        "runs": [run.bits() for run in (first, *others)],
        "stopped_with": stopped.process.returncode,
        "resumed": resumed.bits(),
    }
    found["same"] = len({*found["runs"], found["resumed"]}) == 1
    results.values["bits"] = found
    print("bits", found, flush=True)
    results.write()


def seeds(options: argparse.Namespace, folder: Path, results: Any) -> None:
    """Test scores of three seeds in each dtype, all at once."""
    running = {
        (dtype, seed): Run(
            *(options, folder, f"{dtype}-{seed}"),
            *(f"--config.model.dtype={dtype}", f"--config.seed={seed}"),
        )
        for dtype in ("float32", "bfloat16")
        for seed in range(3)
    }
    found: dict[str, list] = {}
    for (dtype, _), run in running.items():
        run.read()
        scores = run.results()
        found.setdefault(dtype, []).append({name: scores[name] for name in ("rmse", "exact")})
    results.values["seeds"] = found
    for dtype, scores in found.items():
        print(dtype, statistics.mean(s["rmse"] for s in scores), scores, flush=True)
    results.write()
