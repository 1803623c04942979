"""Estimates beside the right numbers."""

import numpy as np
from matplotlib.figure import Figure

from crnn_jax.tasks.task import Answered

POINTS = 5000
"""Of more, so many are drawn."""


def draw_numbers(answered: Answered) -> Figure:
    """Draw estimates over right numbers, one point each, and where they would be the same."""
    there = ~np.isnan(answered.targets)
    right_N, found_N = answered.targets[there], answered.estimates[there]
    error = np.sqrt(np.mean(np.square(found_N - right_N)))
    chosen = np.random.default_rng(0).permutation(len(right_N))[:POINTS]
    figure = Figure(figsize=(6, 6), dpi=100, layout="constrained")
    axes = figure.subplots()
    ends = [min(right_N.min(), found_N.min()), max(right_N.max(), found_N.max())]
    axes.plot(ends, ends, color="tab:gray", linewidth=1)
    axes.scatter(right_N[chosen], found_N[chosen], s=6, alpha=0.4, linewidths=0)
    axes.set(xlabel="right", ylabel="estimate", aspect="equal")
    axes.set_title(f"{len(right_N):,} numbers: rmse {error:.4g}", fontsize=10)
    return figure
