"""Sequences as strips of images, with what was answered."""

import dataclasses
from collections.abc import Callable, Iterable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from crnn_jax.data.draw import SCENE, Draw
from crnn_jax.data.form import evenly
from crnn_jax.data.lanes import padded_lanes
from crnn_jax.data.split import Split
from crnn_jax.tasks.composed import Composed
from crnn_jax.tasks.task import Account, Answered, Task

STRIPS = 12

FRAMES = 12
"""Of a longer sequence, so many are shown."""

RIGHT, WRONG = "black", "tab:red"

GAP = 0.08
"""Between two frames, in widths of a frame."""

SIGN = 0.55
"""Width of the + and the = of an addition, in widths of a frame."""


@dataclasses.dataclass(frozen=True)
class Strip:
    """A sequence and what was answered.

    Attributes:
      account: of the answer.
      frames_FxHxWxC: the images shown.
      line: whether they are strips of one picture, to be shown as such.
    """

    account: Account
    frames_FxHxWxC: np.ndarray
    line: bool = False

    @property
    def width(self) -> float:
        """In widths of a frame; of a line in its heights."""
        if self.line:
            return len(self.frames_FxHxWxC) * self._step
        symbols = self.account.symbols
        signs = (2 + len(symbols)) * SIGN if symbols else 0
        return len(self.frames_FxHxWxC) * (1 + GAP) + signs

    @property
    def places(self) -> list[float]:
        """Where the frames begin; a + stands between the halves, where symbols follow."""
        if self.line:
            return [i * self._step for i in range(len(self.frames_FxHxWxC))]
        count, symbols = len(self.frames_FxHxWxC), self.account.symbols
        return [i * (1 + GAP) + (SIGN if symbols and i >= count / 2 else 0) for i in range(count)]

    @property
    def _step(self) -> float:
        """Width of a strip of a line."""
        _, height, width, _ = self.frames_FxHxWxC.shape
        return width / height


@dataclasses.dataclass(frozen=True)
class Gallery:
    """Answered sequences of which some are to be drawn.

    Attributes:
      task: what was asked.
      answered: what was answered about them.
      frames_of: gives the frames LxHxWxC of one of them.
      evenly: whether of many sequences, and of the frames of a long one, some are shown that are
        evenly spread, or the first ones.
    """

    task: Task
    answered: Answered
    frames_of: Callable[[int], np.ndarray]
    evenly: bool = False

    def strips(self, chosen: Iterable[int]) -> list[Strip]:
        """Strips of some sequences."""
        return [self._strip(int(i)) for i in chosen]

    def _strip(self, i: int) -> Strip:
        length, account = int(self.answered.lengths_B[i]), self.task.account(self.answered, i)
        if self.task.question.kind == "line":
            return Strip(account, self.frames_of(i), line=True)
        frames, shown = self.frames_of(i)[:length], np.arange(min(length, FRAMES))
        if length > FRAMES:
            which = "" if self.evenly else "first "
            more = f", {which}{FRAMES} of {length:,} frames"
            account = dataclasses.replace(account, title=account.title + more)
            if self.evenly:
                shown = evenly(length, FRAMES)
        notes = [account.notes[t] for t in shown.tolist()] if account.notes else ()
        return Strip(dataclasses.replace(account, notes=notes), frames[shown])


def drawn_frames(task: Composed, split: Split, draw: Draw, i: int) -> np.ndarray:
    """The frames of drawn sequence i, of images of a split."""
    length = draw.lengths(i + 1)[i]
    indices_L = np.asarray(draw.image_indices(0, jnp.array([i])))[0, :length]
    images, labels = (jnp.asarray(x[indices_L][:, None]) for x in task.images(split))
    keys_1 = jax.vmap(lambda i: draw.key(0, i, SCENE))(jnp.array([i]))
    lanes = padded_lanes(np.array([length]))
    frames, _, lanes = task.composition.render(images, labels, lanes, keys_1)
    return np.asarray(frames)[: int(lanes.length_B[0]), 0]


def most_severe(wrong_B: np.ndarray, severity_B: np.ndarray, count: int) -> np.ndarray:
    """Up to `count` indices of wrong answers, the most severe first."""
    (wrong,) = np.nonzero(wrong_B)
    return wrong[np.argsort(-severity_B[wrong], kind="stable")][:count]


def draw_sheet(gallery: Gallery) -> Figure:
    """Draw the first test sequences, as they come."""
    total = len(gallery.answered.lengths_B)
    count = min(STRIPS, total)
    chosen, title = range(count), f"The first {count} test sequences"
    if gallery.evenly:  # sequences of one class stand together
        chosen = evenly(total, count).tolist()
        title = f"{count} of {total:,} test sequences"
    return draw_strips(gallery.strips(chosen), f"{title}{gallery.task.legend}")


def draw_hardest(gallery: Gallery) -> Figure:
    """Draw the most confident errors; of values, the largest."""
    answered = gallery.answered
    total = len(answered.lengths_B)
    if answered.wrong_B is None:
        chosen = most_severe(np.ones(total, bool), answered.severity_B, STRIPS)
        title = f"The largest errors of {total:,} test sequences"
        return draw_strips(gallery.strips(chosen), f"{title}{gallery.task.legend}")
    chosen, wrong = (
        most_severe(answered.wrong_B, answered.severity_B, STRIPS),
        answered.wrong_B.sum(),
    )
    if not wrong:
        return draw_strips([], f"None of {total:,} test sequences is answered wrongly")
    which = "largest" if answered.confidence is None else "most confident"
    title = f"{wrong:,} of {total:,} test sequences are answered wrongly: the {which} errors"
    return draw_strips(gallery.strips(chosen), f"{title}{gallery.task.legend}")


def draw_strips(chosen: Sequence[Strip], title: str) -> Figure:
    """Draw strips, side by side where they are short; each is the Axes of its title."""
    width = max([4.0, *(strip.width for strip in chosen)])
    columns = 4 if width <= 5.5 else 2 if width <= 14 else 1
    rows = max(1, -(-len(chosen) // columns))
    inches = 11 / columns / (width + 0.5)  # of a frame
    lines = max([1, *(strip.account.title.count("\n") + 1 for strip in chosen)])
    noted = any(strip.account.notes or strip.account.symbols for strip in chosen)
    row_height = inches * 1.05 + 0.25 * noted + 0.17 * lines + 0.15
    top = 0.2 * (title.count("\n") + 1) + 0.2
    height = rows * row_height + top
    figure = Figure(figsize=(11, height), dpi=100)
    figure.text(0.02, 1 - 0.1 / height, title, fontsize=11, va="top", parse_math=False)
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


def _draw_strip(axes: Axes, strip: Strip) -> None:
    account = strip.account
    colour = WRONG if account.wrong else RIGHT
    axes.set_title(account.title, fontsize=8.5, loc="left", pad=3, color=colour, parse_math=False)
    if strip.line:
        _show(axes, np.concatenate(list(strip.frames_FxHxWxC), axis=1), (0, strip.width, 1, 0))
    else:
        for x, frame_HxWxC in zip(strip.places, strip.frames_FxHxWxC, strict=True):
            shape = frame_HxWxC.shape[:2]
            down, right = (0.5 - np.divide(shape, max(shape)) / 2).tolist()
            _show(axes, frame_HxWxC, (x + right, x + 1 - right, 1 - down, down))
    middle = (strip.width / len(strip.places) if strip.line else 1) / 2
    for x, note in zip(strip.places, account.notes, strict=False):
        colour = WRONG if note.wrong else RIGHT
        place = {"ha": "center", "va": "top", "parse_math": False}
        if note.text:
            axes.text(x + middle, 1.06, note.text, fontsize=8, color=colour, **place)
    if not account.symbols:
        return
    half = strip.places[len(strip.places) // 2] - GAP / 2
    end = strip.places[-1] + 1
    for x, sign in ((half - SIGN / 2, "+"), (end + SIGN / 2, "=")):
        axes.text(x, 0.5, sign, fontsize=16, ha="center", va="center")
    for i, (mark, probability) in enumerate(account.symbols):
        x, colour = end + SIGN * (i + 1.5), WRONG if mark.wrong else RIGHT
        axes.text(x, 0.5, mark.text, fontsize=20, ha="center", va="center", color=colour)
        axes.text(x, 0.88, probability, fontsize=6.5, ha="center", va="top", color=colour)


def _show(axes: Axes, image_HxWxC: np.ndarray, extent: tuple[float, float, float, float]) -> None:
    image = image_HxWxC[..., 0] if image_HxWxC.shape[-1] == 1 else image_HxWxC
    axes.imshow(image, cmap="gray", vmin=0, vmax=255, extent=extent)
