"""Trains all variants of a config that its `sweep()` names, one run after another.

python launch/sweep.py configs/depth.py --seeds=3
"""

import argparse
import json
import signal
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from matplotlib.figure import Figure

from crnn_jax import UserError, exit_status, user_path
from crnn_jax.command_line import Parser
from crnn_jax.config.files import load_sweep
from crnn_jax.runs.progress import print_table

DESCRIPTION = """\
Train all variants of a config, one run after another.

Prints a table of all results and draws their validation curves. A complete run is not trained
again, and one that was interrupted goes on: start the same command again.
"""


def main(argv: Sequence[str]) -> int:
    """Does what the command line asks.

    Args:
      argv: the arguments, without the program's name.

    Returns:
      The exit status: 0, or 2 after one line on stderr about a mistake of the user.

    Raises:
      SystemExit: with the status of the first run that failed.
    """
    return exit_status(_run, argv)


def _run(argv: Sequence[str]) -> None:
    arguments, overrides = _parse(argv)
    runs, stem = user_path(arguments.runs), Path(arguments.config).stem
    folders: dict[str, list[Path]] = {}
    for variant in load_sweep(arguments.config):
        name = f"{stem}-{variant}" if variant else stem
        folders[name] = [runs / f"{name}-seed{seed}" for seed in range(arguments.seeds)]
        for seed, folder in enumerate(folders[name]):
            config = f"{arguments.config}:{variant}" if variant else arguments.config
            command = [sys.executable, "-m", "crnn_jax.main", f"--config={config}", *overrides]
            command += [f"--config.seed={seed}", f"--workdir={folder}"]
            print(" ".join(command[1:]), file=sys.stderr, flush=True)
            if status := _status(command):
                sys.exit(status)
    results = {
        name: [json.loads((folder / "results.json").read_text()) for folder in of_seeds]
        for name, of_seeds in folders.items()
    }
    print_table(f"{stem}, {arguments.seeds} seed(s)", [(n, row(r)) for n, r in results.items()])
    picture = runs / f"{stem}-sweep.png"
    draw_curves({name: curve(of_seeds[0]) for name, of_seeds in folders.items()}, picture)
    print(f"curves: {picture}")


def _status(command: Sequence[str]) -> int:
    """Runs a command to its end, also where a signal has it stop early, and returns its status."""
    run = subprocess.Popen(command, stdout=subprocess.DEVNULL)

    def pass_on(number: int, _: FrameType | None) -> None:
        if number != signal.SIGINT:  # Ctrl-C has reached the run already
            run.send_signal(number)

    before = {n: signal.signal(n, pass_on) for n in (signal.SIGINT, signal.SIGTERM)}
    status = run.wait()
    for number, handler in before.items():
        signal.signal(number, handler)
    return status


def _parse(argv: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    parser = Parser(
        prog="python launch/sweep.py",
        usage="%(prog)s FILE [--seeds=N] [--runs=DIR] [--config.FIELD=VALUE ...]",
        description=DESCRIPTION,
    )
    add = parser.add_argument_group("arguments").add_argument
    add("config", metavar="FILE", help="a config file")
    add("--seeds", metavar="N", type=int, default=1, help="runs of each variant (default: 1)")
    add("--runs", metavar="DIR", default="runs", help="folder of the runs")
    add("--help", action="help", help="print this")
    arguments, overrides = parser.parse_known_args(argv)
    if arguments.seeds < 1:
        raise UserError(f"--seeds={arguments.seeds}: expected 1 or more")
    for override in overrides:
        if not override.startswith("--config."):
            raise UserError(f"{override} is no flag: see --help")
        if override.startswith("--config.seed="):
            raise UserError(f"{override}: the seeds are 0, 1, …; expected --seeds=N, how many")
    return arguments, overrides


def row(results: Sequence[dict[str, Any]]) -> str:
    """Scores of the runs of one variant: their mean, ± the standard deviation of several."""

    def spread(name: str, digits: int) -> str:
        values = [result[name] for result in results]
        mean = f"{statistics.mean(values):.{digits}f}"
        return f"{mean} ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else mean

    parts = [f"exact {spread('exact', 4)}"]
    parts += [f"{name} {spread(name, 3)}" for name in ("rmse", "per_symbol") if name in results[0]]
    return " · ".join([*parts, f"{spread('training_seconds', 0)} s"])


def curve(folder: Path) -> tuple[list[int], list[float]]:
    """Steps and exactness on the validation images, as the run in `folder` logged them."""
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    points = [point for point in map(json.loads, lines) if "validation_exact" in point]
    return [p["step"] for p in points], [p["validation_exact"] for p in points]


def draw_curves(curves: dict[str, tuple[list[int], list[float]]], path: Path) -> None:
    """Draws exactness over steps, a line for each variant, into a PNG file."""
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.add_subplot()
    for name, (steps, exact) in curves.items():
        axes.plot(steps, exact, marker="o", label=name)
    axes.set(xlabel="step", ylabel="exact, validation images")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
