"""What the first layer looks for, and whether another network's looks for the same."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from scipy.optimize import linear_sum_assignment

from crnn_jax import UserError
from crnn_jax.runs.load import Restored

DENSE_UNITS = 16
"""Units of a first dense layer that are drawn."""

CHANCE_DRAWS = 20

COLUMNS = 12

DRAWN = 60
"""Of more kernels or pairs, the first."""

STEP = 1.1
"""From one kernel to the next, in widths of a kernel."""


class Match(NamedTuple):
    """Two kernels, one of each network, and their correlation."""

    kernel: int
    beside: int
    correlation: float


def first_kernels(restored: Restored) -> np.ndarray | None:
    """Weights of the first layer, KxHxW; of a dense one, of its first units.

    None where the pixels go to the aggregator as they are.
    """
    encoder = restored.params["params"].get("encoder", {})
    if "convs" in encoder:
        kernel_HxWxCxD = np.asarray(encoder["convs"]["conv0_kernel"])
        return kernel_HxWxCxD.mean(axis=2).transpose(2, 0, 1)  # over the channels of colour
    if "dense0" in encoder:
        weights = np.asarray(encoder["dense0"]["kernel"])[:, :DENSE_UNITS]
        return weights.T.reshape(-1, *restored.task.question.frame_shape).mean(axis=-1)
    return None


def correlations(kernels: np.ndarray, beside: np.ndarray) -> np.ndarray:
    """Pearson's correlation of the weights of each kernel with each of the others, KxM.

    A kernel of equal weights correlates with none: 0.
    """

    def standardize(kernels: np.ndarray) -> np.ndarray:
        flat = kernels.reshape(len(kernels), -1).astype(np.float64)
        centred = flat - flat.mean(axis=1, keepdims=True)
        norm = np.linalg.norm(centred, axis=1, keepdims=True)
        equal = norm <= 1e-9 * np.abs(flat).max(axis=1, keepdims=True)
        return np.divide(centred, norm, out=np.zeros_like(centred), where=~equal)

    return standardize(kernels) @ standardize(beside).T


def match(kernels: np.ndarray, beside: np.ndarray) -> list[Match]:
    """Pairs kernels one to one, so that the sum of their absolute correlations is the largest.

    Absolute, because a kernel and its negative see the same thing, the other way round.

    Returns:
      min(K, M) matches, the best first.
    """
    table = correlations(kernels, beside)
    rows, columns = linear_sum_assignment(np.abs(table), maximize=True)
    found = [Match(int(k), int(m), float(table[k, m])) for k, m in zip(rows, columns, strict=True)]
    return sorted(found, key=lambda pair: -abs(pair.correlation))


def mean_matched(matches: list[Match]) -> float:
    """Mean of the absolute correlations."""
    return float(np.mean([abs(pair.correlation) for pair in matches]))


def white_noise(kernels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Kernels KxHxW of independent Gaussian weights."""
    return rng.normal(size=kernels.shape)


def smooth_noise(kernels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Gaussian kernels KxHxW that are as smooth as the given ones.

    That is: of their autocovariance, by which white noise is filtered.
    """
    _, height, width = kernels.shape
    size = (2 * height - 1, 2 * width - 1)  # so large that nothing wraps around
    centred = kernels - kernels.mean(axis=(1, 2), keepdims=True)
    power = np.mean(np.abs(np.fft.fft2(centred, size)) ** 2, axis=0) / (height * width)
    noise = np.fft.fft2(rng.normal(size=(len(kernels), *size)))
    return np.fft.ifft2(noise * np.sqrt(power)).real[:, :height, :width]


def chance(kernels: np.ndarray, beside: np.ndarray, noise: Callable) -> float:
    """`mean_matched` of random kernels in place of these, the mean of a few draws.

    Args:
      kernels: kernels of one network.
      beside: and of another.
      noise: `white_noise` or `smooth_noise`. Learned kernels are smooth, which alone makes them
        alike.
    """
    rng = np.random.default_rng(0)
    draws = [
        mean_matched(match(noise(kernels, rng), noise(beside, rng))) for _ in range(CHANCE_DRAWS)
    ]
    return float(np.mean(draws))


def draw_kernels(restored: Restored, beside: Restored | None) -> Figure:
    """Draw the kernels of a network; below each, if there is another network, its match there.

    Args:
      restored: of which `first_kernels` is not None.
      beside: another such, or None.

    Raises:
      UserError: kernels of both are not of the same size.
    """
    kernels = first_kernels(restored)
    assert kernels is not None, "there is a first layer to draw"
    name = f"{restored.config.task.name}, step {restored.step:,}"
    height, width = kernels.shape[1:]
    title = f"{len(kernels)} first kernels of {width}×{height} ({name})"
    if beside is None:
        cells = [((k, None), "") for k in range(len(kernels))]
        return _draw_cells([kernels], cells, title)
    others = first_kernels(beside)
    assert others is not None, "there is another to compare it with"
    if others.shape[1:] != (height, width):
        other_height, other_width = others.shape[1:]
        raise UserError(
            f"--beside: the first kernels of that run are {other_width}×{other_height}, not "
            f"{width}×{height}: expected a run with kernels of the same size"
        )
    matches = match(kernels, others)
    white, smooth = (chance(kernels, others, x) for x in (white_noise, smooth_noise))
    title += (
        f"; below: their matches among {len(others)} ({beside.config.task.name}, step "
        f"{beside.step:,})\nmean |r| of the matches {mean_matched(matches):.2f}; of random kernels "
        f"{white:.2f}, of random ones as smooth as these {smooth:.2f}"
    )
    if restored.config.seed == beside.config.seed and kernels.shape == others.shape:
        title += "\nboth runs have the same seed: they may have begun with the same kernels"
    cells = [((k, m), f"r {r:+.2f}") for k, m, r in matches]
    mine, theirs = {pair.kernel for pair in matches}, {pair.beside for pair in matches}
    cells += [((k, None), "") for k in range(len(kernels)) if k not in mine]
    cells += [((None, m), "") for m in range(len(others)) if m not in theirs]
    return _draw_cells([kernels, others], cells, title)


def _draw_cells(networks: list[np.ndarray], cells: list[tuple], title: str) -> Figure:
    """One cell after the other: an index into each network's kernels or None, and a note."""
    cells = cells[:DRAWN]
    largest = [np.abs(kernels).max() or 1.0 for kernels in networks]
    columns = min(COLUMNS, len(cells))
    rows = -(-len(cells) // columns)
    row_height = STEP * len(networks) + (0.3 if len(networks) > 1 else 0)
    kernel, margin, bar_width = 0.72, 0.15, 0.6  # inches
    top = 0.2 * (title.count("\n") + 2) + 0.2
    height = kernel * rows * row_height + top + margin
    across = kernel * columns * STEP
    width = max(across + margin + bar_width, 9)
    figure = Figure(figsize=(width, height), dpi=100)
    weights = " and ".join(f"{value:.2g}" for value in largest)
    title += f"\ncolours: weights, divided by the largest ({weights})"
    figure.text(margin / width, 1 - 0.1 / height, title, fontsize=10, va="top")
    bottom, share = margin / height, 1 - (top + margin) / height
    axes = figure.add_axes((margin / width, bottom, across / width, share))
    axes.set_axis_off()
    for place, (chosen, note) in enumerate(cells):
        row, column = divmod(place, columns)
        x, y = column * STEP, row * row_height
        for kernels, index, scale in zip(networks, chosen, largest, strict=False):
            if index is not None:
                _draw_kernel(axes, kernels[index] / scale, x, y)
            y += STEP
        axes.text(x + 0.5, y, note, fontsize=8, ha="center", va="top")
    axes.set(xlim=(0, columns * STEP), ylim=(rows * row_height, 0), aspect="auto")
    scale = ScalarMappable(Normalize(-1, 1), "RdBu_r")
    bar_axes = figure.add_axes(((margin + across + 0.1) / width, bottom, 0.12 / width, share))
    bar = figure.colorbar(scale, cax=bar_axes, ticks=(-1, 0, 1))
    bar.ax.tick_params(labelsize=8)
    return figure


def _draw_kernel(axes: Axes, kernel_HxW: np.ndarray, x: float, y: float) -> None:
    axes.imshow(kernel_HxW, cmap="RdBu_r", vmin=-1, vmax=1, extent=(x, x + 1, y + 1, y))
