"""The training rate of the 2016 network beside PyTorch's, in turn and repeated.

    python benchmarks/training_rate.py --torch-python=PEERS/bin/python

PEERS is a virtual environment with torch 2.13.0 (the CPU build). Each measurement is a process of
its own; the table gives the median, the least and the most of all repeats.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def measure(python: str, script: str, batch_size: int) -> dict[str, float]:
    """Runs a benchmark in a process of its own and returns what it printed."""
    command = [python, str(HERE / script), f"--batch-size={batch_size}"]
    environment = os.environ | {"PYTHONPATH": str(HERE.parent)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--torch-python", required=True, help="a Python that has torch")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()

    ours, theirs = [], []
    for _ in range(options.repeats):
        ours.append(measure(sys.executable, "rate_crnn_jax.py", options.batch_size))
        theirs.append(measure(options.torch_python, "rate_torch.py", options.batch_size))

    def spread(values: list[float]) -> str:
        low, middle, high = min(values), statistics.median(values), max(values)
        return f"{middle:,.3g} ({low:,.3g} – {high:,.3g})"

    def column(runs: list[dict[str, float]], name: str) -> list[float]:
        return [run[name] for run in runs]

    rate = "sequences_per_second"
    ratios = [a / b for a, b in zip(column(ours, rate), column(theirs, rate), strict=True)]
    print(f"batch {options.batch_size}, {options.repeats} repeats: median (least – most)")
    print(f"crnn_jax, sequences/s:     {spread(column(ours, rate))}")
    print(f"PyTorch eager, padded:     {spread(column(theirs, rate))}")
    print(f"ratio, pair by pair:       {spread(ratios)}")
    print(f"sgemm 2048, GFLOP/s:       {spread(column(ours, 'sgemm_gflops'))}")
    print(f"share of sgemm:            {spread(column(ours, 'share_of_sgemm'))}")


if __name__ == "__main__":
    main()
