"""What is taken for what."""

from collections.abc import Sequence

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from crnn_jax.tasks.task import Answered, Task

OTHER = "other"


def confusion_counts(target_N: np.ndarray, answer_N: np.ndarray, classes: int) -> np.ndarray:
    """How often each class was answered by each.

    Args:
      target_N: right classes, 0 … classes - 1.
      answer_N: answers; any whole numbers.
      classes: their number K.

    Returns:
      Kx(K + 1): rows are right classes, columns answers, the last one all that are no class.
    """
    known_N = (answer_N >= 0) & (answer_N < classes)
    counts = np.zeros((classes, classes + 1), np.int64)
    np.add.at(counts, (target_N, np.where(known_N, answer_N, classes)), 1)
    return counts


def draw_confusion(task: Task, answered: Answered) -> Figure | None:
    """Draw which class is taken for which; of written answers, which symbol; None of numbers."""
    confusions = task.confusions(answered)
    if confusions is None:
        return None
    targets, answers, names = confusions
    counts = confusion_counts(targets, answers, len(names))
    return draw_counts(counts, names, task.confusions_of.format(len(answered.targets)))


def draw_counts(counts_KxK1: np.ndarray, names: Sequence[str], subject: str) -> Figure:
    """Draw `confusion_counts`: errors coloured, by their logarithm.

    Args:
      counts_KxK1: the counts; answers that are no class get a column if there are any.
      names: of the classes.
      subject: begins the title, which goes on with the share that is right.
    """
    classes, answers = len(names), list(names)
    if counts_KxK1[:, -1].any():
        answers.append(OTHER)
    counts = counts_KxK1[:, : len(answers)]
    diagonal = np.eye(*counts.shape, dtype=bool)
    right, total = counts[diagonal].sum(), counts.sum()
    errors = np.ma.masked_where(diagonal | (counts == 0), counts)
    side = 2 + max(4.2, 0.3 * classes)
    figure = Figure(figsize=(side, side), dpi=100, layout="constrained")
    axes = figure.subplots()
    most = max(2, int(errors.max())) if errors.count() else 2
    axes.imshow(errors, cmap="YlOrRd", norm=LogNorm(1, most), interpolation="nearest")
    size = 8 if classes <= 12 else 6
    for row, column in np.argwhere(counts > 0):
        count = counts[row, column]
        hit = row == column
        dark = not hit and np.log(count) > 0.6 * np.log(most) and most > 2
        colour = "tab:gray" if hit else "white" if dark else "black"
        axes.text(column, row, f"{count}", fontsize=size, color=colour, ha="center", va="center")
    long = max(map(len, names)) > 2
    axes.set_xticks(range(len(answers)), answers, rotation=90 if long else 0, parse_math=False)
    axes.set_yticks(range(classes), names, parse_math=False)
    axes.set(xlabel="answer", ylabel="right")
    axes.set_title(f"{subject}: {right / max(total, 1):.2%} right", fontsize=10)
    return figure
