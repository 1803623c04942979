"""Train all variants of a config that its `sweep()` names, one run after another.

python launch/sweep.py FILE [--seeds=N] [--runs=DIR] [--config.FIELD=VALUE ...]
python launch/sweep.py configs/depth.py --seeds=3

Prints a table of all results and draws their validation curves. Start the same command again to
go on: a complete run is not trained again, and one that was interrupted resumes.

  --seeds  runs of each variant (default: 1)
  --runs   folder of the runs (default: runs)
"""

import json
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from absl import flags
from matplotlib.figure import Figure

from crnn_jax import UserError, exit_status, user_path
from crnn_jax.config import load_config, load_sweep
from crnn_jax.runs.folder import RunFolder
from crnn_jax.runs.metrics import read_lines
from crnn_jax.runs.progress import print_table
from crnn_jax.runs.stop import status_of


def main(argv: Sequence[str]) -> int:
    """Do what the command line asks.

    Args:
      argv: the arguments, without the program's name.

    Returns:
      The exit status: 0, or 2 after one line on stderr about a mistake of the user.

    Raises:
      SystemExit: with the status of the first run that failed.
    """
    return exit_status(_run, argv)


def _run(argv: Sequence[str]) -> None:
    given = flags.FlagValues()
    flags.DEFINE_integer("seeds", 1, "", lower_bound=1, flag_values=given)
    flags.DEFINE_string("runs", "runs", "", flag_values=given)
    flags.DEFINE_boolean("help", False, "", flag_values=given)
    try:
        _, *rest = given(["", *argv], known_only=True)
    except (flags.Error, ValueError) as error:
        raise UserError(f"{str(error).removeprefix('flag ')} (see --help)") from error
    if given.help:
        print(__doc__)
        return
    if not rest or rest[0].startswith("-"):
        raise UserError("no config is given: expected FILE first, for example configs/depth.py")
    file, *overrides = rest
    if any(override.startswith("--config.seed") for override in overrides):
        raise UserError("--config.seed: the seeds are 0, 1, …; expected --seeds=N, how many")
    configs = [f"{file}:{variant}" if variant else file for variant in load_sweep(file)]
    for config in configs:  # a mistake shows before the first run
        load_config(config, overrides)
    _train_all(Path(file).stem, configs, overrides, user_path(given.runs), given.seeds)


def _train_all(
    stem: str, configs: Sequence[str], overrides: Sequence[str], runs: Path, seeds: int
) -> None:
    """Train every seed of every config, then print and draw what came of it."""
    folders: dict[str, list[Path]] = {}
    for config in configs:
        name = "-".join(filter(None, (stem, config.partition(":")[2])))
        folders[name] = [runs / f"{name}-seed{seed}" for seed in range(seeds)]
        for seed, folder in enumerate(folders[name]):
            command = [sys.executable, "-m", "crnn_jax.main", f"--config={config}", *overrides]
            command += [f"--config.seed={seed}", f"--workdir={folder}"]
            print(" ".join(command[1:]), file=sys.stderr, flush=True)
            if status := status_of(command):
                sys.exit(status)
    results = {
        name: [json.loads(RunFolder(folder).results.read_text()) for folder in of_seeds]
        for name, of_seeds in folders.items()
    }
    print_table(f"{stem}, {seeds} seed(s)", [(n, row(r)) for n, r in results.items()])
    picture = runs / f"{stem}-sweep.png"
    draw_curves({name: curve(of_seeds[0]) for name, of_seeds in folders.items()}, picture)
    print(f"curves: {picture}")


def row(results: Sequence[dict[str, Any]]) -> str:
    """Scores of the runs of one variant: their mean, ± the standard deviation of several."""

    def spread(name: str, digits: int) -> str:
        values = [result[name] for result in results]
        mean = f"{statistics.mean(values):.{digits}f}"
        return f"{mean} ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else mean

    parts = [f"exact {spread('exact', 4)}"]
    parts += [f"{name} {spread(name, 3)}" for name in ("rmse", "per_symbol") if name in results[0]]
    return " · ".join([*parts, f"{spread('training_seconds', 0)} s"])


def curve(folder: Path) -> tuple[list[float], list[float]]:
    """Steps and exactness on the validation images, as the run in `folder` logged them."""
    lines = read_lines(RunFolder(folder).metrics)
    points = [line for line in lines if "validation_exact" in line]
    return [p["step"] for p in points], [p["validation_exact"] for p in points]


def draw_curves(curves: dict[str, tuple[list[float], list[float]]], path: Path) -> None:
    """Draw exactness over steps, a line for each variant, into a PNG file."""
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
