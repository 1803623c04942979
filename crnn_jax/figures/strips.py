"""Sequences as strips of images, with what was answered."""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from crnn_jax.figures.reading import Numbers, Texts
from crnn_jax.runs.load import Restored
from crnn_jax.tasks import Task

STRIPS = 12

FRAMES = 12
"""Of a longer sequence, so many are shown."""

RIGHT, WRONG = "black", "tab:red"

GAP = 0.08
"""Between two frames, in widths of a frame."""

SIGN = 0.55
"""Width of the + and the = of an addition, in widths of a frame."""


class Note(NamedTuple):
    """A few words, coloured if they are wrong."""

    text: str
    wrong: bool


@dataclasses.dataclass(frozen=True)
class Strip:
    """A sequence and what was answered.

    Attributes:
      title: the right answer and the network's.
      wrong: whether that is wrong.
      frames_FxHxWxC: the images shown.
      notes: below each of them; may be none.
      symbols: a written answer as people write it, and below each symbol its probability.
    """

    title: str
    wrong: bool
    frames_FxHxWxC: np.ndarray
    notes: Sequence[Note] = ()
    symbols: Sequence[tuple[Note, str]] = ()

    @property
    def places(self) -> list[float]:
        """Where the frames begin; a + stands between the halves, where symbols follow."""
        count = len(self.frames_FxHxWxC)
        return [
            i * (1 + GAP) + (SIGN if self.symbols and i >= count / 2 else 0) for i in range(count)
        ]


def contributions(estimates_L: np.ndarray) -> np.ndarray:
    """How much each step adds to the estimate so far, which begins at 0."""
    return np.diff(estimates_L, prepend=0)


def most_severe(wrong_B: np.ndarray, severity_B: np.ndarray, count: int) -> np.ndarray:
    """Up to `count` indices of wrong answers, the most severe first."""
    (wrong,) = np.nonzero(wrong_B)
    return wrong[np.argsort(-severity_B[wrong], kind="stable")][:count]


def draw_sheet(restored: Restored, reading: Numbers | Texts) -> Figure:
    """Draws the first test sequences, as they come."""
    count = min(STRIPS, len(reading.wrong_B))
    title = f"The first {count} test sequences"
    return draw_strips(strips(restored, reading, range(count)), f"{title}{_legend(restored)}")


def draw_hardest(restored: Restored, reading: Numbers | Texts) -> Figure:
    """Draws the most confident errors; of values, the largest."""
    chosen = most_severe(reading.wrong_B, reading.severity_B, STRIPS)
    total, wrong = len(reading.wrong_B), int(reading.wrong_B.sum())
    if not wrong:
        return draw_strips([], f"None of {total:,} test sequences is answered wrongly")
    by_error = isinstance(reading, Numbers) and reading.confidence_BxL is None
    title = (
        f"{wrong:,} of {total:,} test sequences are answered wrongly: the "
        f"{'largest' if by_error else 'most confident'} errors"
    )
    return draw_strips(strips(restored, reading, chosen), f"{title}{_legend(restored)}")


def _legend(restored: Restored) -> str:
    if _adds_up(restored):
        return "\nbelow each frame: what it adds to the estimate"
    if restored.network.task.written or restored.config.task.max_length == 1:
        return ""
    return "\nbelow each frame: the answer after it"


def _adds_up(restored: Restored) -> bool:
    return restored.config.task.name == "sum"


def strips(
    restored: Restored, reading: Numbers | Texts, chosen: Sequence[int] | np.ndarray
) -> list[Strip]:
    """Strips of the chosen sequences."""
    if isinstance(reading, Texts):
        return [_text_strip(restored.network.task, reading, i) for i in chosen]
    return [_number_strip(restored, reading, i) for i in chosen]


def _number_strip(restored: Restored, numbers: Numbers, i: int) -> Strip:
    config, length = restored.config, numbers.lengths_B[i]

    def name(number: int) -> str:
        if config.task.name == "classify":
            return restored.dataset.classes[number]
        return f"{number:,}"

    target_L, answer_L = numbers.target_BxL[i, :length], numbers.answer_BxL[i, :length]
    if numbers.confidence_BxL is None:
        sure = f"{numbers.estimate_BxL[i, length - 1]:.2f}"
    else:
        sure = f"{numbers.confidence_BxL[i, length - 1]:.0%}"
    if _adds_up(restored):
        shares_L = contributions(numbers.estimate_BxL[i, :length])
        labels_L = contributions(target_L)
        notes = [
            Note(f"{share:+.1f}", bool(round(float(share)) != label))
            for share, label in zip(shares_L, labels_L, strict=True)
        ]
    elif config.task.max_length > 1:
        notes = [
            Note(name(answer), bool(answer != target))
            for answer, target in zip(answer_L, target_L, strict=True)
        ]
    else:
        notes = []
    shown = numbers.frames_BxLxHxWxC[i, :length][:FRAMES]
    more = f", first {len(shown)} of {length:,} frames" if length > len(shown) else ""
    title = f"true {name(target_L[-1])}, read {name(answer_L[-1])} ({sure}){more}"
    return Strip(title, bool(answer_L[-1] != target_L[-1]), shown, notes[:FRAMES])


def _text_strip(task: Task, texts: Texts, i: int) -> Strip:
    target_S, answer_S = texts.target_BxS[i], texts.answer_BxS[i]
    right, written = task.text(target_S), task.text(answer_S)
    wrong = bool((target_S != answer_S).any())
    sure = f"{texts.severity_B[i]:.0%}"
    if task.films:
        title = f"true: {right}\nread: {written} ({sure})"
        return Strip(title, wrong, texts.frames_BxTxHxWxC[i])
    symbols = [
        (Note(task.vocabulary[answer], bool(answer != target)), f"{probability:.0%}")
        for target, answer, probability in zip(
            target_S, answer_S, texts.confidence_BxS[i], strict=True
        )
    ]
    title = f"true {right}, read {written} ({sure})"
    # The units are written first and read last.
    return Strip(title, wrong, texts.frames_BxTxHxWxC[i], symbols=symbols[::-1])


def draw_strips(chosen: Sequence[Strip], title: str) -> Figure:
    """Draws strips, side by side where they are short; each is the Axes of its title."""
    width = max([4.0, *(_width(strip) for strip in chosen)])
    columns = 4 if width <= 5.5 else 2 if width <= 14 else 1
    rows = max(1, -(-len(chosen) // columns))
    inches = 11 / columns / (width + 0.5)  # of a frame
    lines = max([1, *(strip.title.count("\n") + 1 for strip in chosen)])
    noted = any(strip.notes or strip.symbols for strip in chosen)
    row_height = inches * 1.05 + 0.25 * noted + 0.17 * lines + 0.15
    top = 0.2 * (title.count("\n") + 1) + 0.2
    height = rows * row_height + top
    figure = Figure(figsize=(11, height), dpi=100)
    figure.text(0.02, 1 - 0.1 / height, title, fontsize=11, va="top")
    for place, strip in enumerate(chosen):
        row, column = divmod(place, columns)
        bottom = height - top - (row + 1) * row_height + 0.1 + 0.25 * noted
        box = (
            column / columns + inches * 0.25 / 11,
            bottom / height,
            inches * width / 11,
            inches / height,
        )
        axes = figure.add_axes(box)
        axes.set_axis_off()
        _draw_strip(axes, strip)
        axes.set(xlim=(0, width), ylim=(1, 0), aspect="auto")
    return figure


def _width(strip: Strip) -> float:
    signs = (2 + len(strip.symbols)) * SIGN if strip.symbols else 0
    return len(strip.frames_FxHxWxC) * (1 + GAP) + signs


def _draw_strip(axes: Axes, strip: Strip) -> None:
    colour = WRONG if strip.wrong else RIGHT
    axes.set_title(strip.title, fontsize=8.5, loc="left", pad=3, color=colour)
    for x, frame_HxWxC in zip(strip.places, strip.frames_FxHxWxC, strict=True):
        axes.imshow(frame_HxWxC, cmap="gray", vmin=0, vmax=255, extent=(x, x + 1, 1, 0))
    for x, note in zip(strip.places, strip.notes, strict=False):
        colour = WRONG if note.wrong else RIGHT
        axes.text(x + 0.5, 1.06, note.text, fontsize=8, ha="center", va="top", color=colour)
    if not strip.symbols:
        return
    half = strip.places[len(strip.places) // 2] - GAP / 2
    end = strip.places[-1] + 1
    for x, sign in ((half - SIGN / 2, "+"), (end + SIGN / 2, "=")):
        axes.text(x, 0.5, sign, fontsize=16, ha="center", va="center")
    for i, (note, probability) in enumerate(strip.symbols):
        x, colour = end + SIGN * (i + 1.5), WRONG if note.wrong else RIGHT
        axes.text(x, 0.5, note.text, fontsize=20, ha="center", va="center", color=colour)
        axes.text(x, 0.88, probability, fontsize=6.5, ha="center", va="top", color=colour)
