"""How a run learned: what its metrics.jsonl says, over the steps."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from crnn_jax import UserError
from crnn_jax.runs.metrics import read_lines
from crnn_jax.tasks.scores import SCORES

PANELS = {
    "loss": "training loss",
    **{f"validation_{name}": score.panel for name, score in SCORES.items() if score.panel},
}
"""What is drawn, where a run measured it, and what it is called."""

WINDOWS = 40
"""The smoothed loss is a running mean over one of so many parts of the run."""


def read_metrics(path: Path) -> list[dict[str, float]]:
    """The lines of a run's metrics.jsonl; not a last one that is cut short.

    Raises:
      UserError: the file is missing, or a line is no JSON object with a step and numbers, or
        none says the loss.
    """
    try:
        lines = read_lines(path)
    except OSError as error:
        reason = error.strerror or error
        raise UserError(
            f"{path} cannot be read ({reason}): expected the --workdir of a run"
        ) from error
    names = ("step", *PANELS)
    lines = [{name: float(line[name]) for name in names if name in line} for line in lines]
    if not any("loss" in line for line in lines):
        raise UserError(f"{path} says no loss yet: expected a run that has trained for a while")
    return lines


def running_mean(values_N: np.ndarray, window: int) -> np.ndarray:
    """Mean of the values up to window // 2 places away, of those there are."""
    ones_W = np.ones(2 * (window // 2) + 1)
    middle = slice(window // 2, window // 2 + len(values_N))
    counts_N = np.convolve(np.ones(len(values_N)), ones_W)[middle]
    return np.convolve(values_N, ones_W)[middle] / counts_N


def draw_curves(lines: Sequence[dict[str, float]]) -> Figure:
    """Draw the loss, raw and smoothed, and the validation scores there are.

    Args:
      lines: see `read_metrics`.
    """
    names = [name for name in PANELS if any(name in line for line in lines)]
    figure = Figure(figsize=(4 * len(names), 3.2), dpi=100, layout="constrained")
    panels = figure.subplots(1, len(names), squeeze=False)[0]
    for axes, name in zip(panels, names, strict=True):
        steps, values = np.array([(x["step"], x[name]) for x in lines if name in x]).T
        if name == "loss":
            axes.plot(steps, values, color="tab:blue", alpha=0.3, linewidth=0.8, label="raw")
            smooth = running_mean(values, len(values) // WINDOWS)
            axes.plot(steps, smooth, color="tab:blue", label="smoothed")
            axes.set_yscale("log")
            axes.legend(frameon=False)
        else:
            axes.plot(steps, values, color="tab:orange", marker="o", markersize=3)
        last = "" if name == "loss" else f": {values[-1]:.4g}"
        axes.set_title(f"{PANELS[name]}{last}", fontsize=10)
        axes.set_xlabel("step")
        axes.grid(alpha=0.3)
    return figure
