"""A contact sheet: examples of a data set with their right answers."""

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from crnn_jax.data.dataset import DatasetInfo
from crnn_jax.data.form import evenly
from crnn_jax.data.sequences import Sequences
from crnn_jax.figures.strips import Strip, draw_strips
from crnn_jax.tasks.task import Account, Mark

EXAMPLES = 24
FRAMES = 8
"""Of a longer clip, so many are shown, evenly spread."""

_TITLE = 60  # characters of a long answer


def draw_contact(info: DatasetInfo, parts: Mapping[str, Sequences]) -> Figure:
    """Draw some clips of the first part that has any: of each class, or over the range of numbers.

    Single images of a class share a strip.

    Raises:
      UserError: a clip cannot be read.
    """
    name, part = next((name, part) for name, part in parts.items() if len(part))
    if info.longest == 1 and info.classes:
        chosen = examples(info, part, FRAMES * min(EXAMPLES, len(info.classes)))
        strips = []
        for label, members in itertools.groupby(chosen, key=lambda i: int(part.answers[i])):
            images_IxHxWxC = np.concatenate(part.read(list(members))[:FRAMES])
            strips.append(Strip(_account(info.classes[label]), images_IxHxWxC))
        shown, things = sum(len(strip.frames_FxHxWxC) for strip in strips), "images"
    else:
        chosen = examples(info, part, EXAMPLES)
        clips = zip(chosen, part.read(chosen), strict=True)
        strips = [_strip(info, part, i, frames_LxHxWxC) for i, frames_LxHxWxC in clips]
        shown, things = len(strips), "images" if info.longest == 1 else "clips"
        if info.form is not None and info.form.strip:
            things = "lines"
    which = "training" if name == "train" else name
    return draw_strips(strips, f"{info.name}: {shown:,} of {len(part):,} {which} {things}")


def examples(info: DatasetInfo, part: Sequences, count: int) -> list[int]:
    """Which clips to show: as many of each class, or evenly over the answers in order."""
    count, answers = min(count, len(part)), part.answers
    if info.classes:
        members = [np.flatnonzero(answers == i).tolist() for i in range(len(info.classes))]
        turns = itertools.chain.from_iterable(itertools.zip_longest(*members))
        chosen = itertools.islice((i for i in turns if i is not None), count)
        return sorted(chosen, key=lambda i: (answers[i], i))
    order = np.argsort(answers, kind="stable") if info.answer == "number" else np.arange(len(part))
    return order[evenly(len(part), count)].tolist()


def _strip(info: DatasetInfo, part: Sequences, i: int, frames: np.ndarray) -> Strip:
    if info.form is not None and info.form.strip:
        return Strip(_account(part.answers[i]), frames, line=True)
    length = len(frames)
    shown = evenly(length, FRAMES)
    title, notes = part.names[i], []
    if info.answer == "numbers":
        first = part.offsets_B[i]
        notes = [Mark(f"{part.answers[first + j]:.3g}", wrong=False) for j in shown]
    elif info.classes:
        title = info.classes[part.answers[i]]
    else:
        answer = part.answers[i]
        title = answer if isinstance(answer, str) else f"{answer:.4g}"
    of = f"{len(shown)} of {length:,}" if length > FRAMES else f"{length}"
    return Strip(_account(title, "" if length == 1 else f" ({of} frames)", notes), frames[shown])


def _account(title: str, more: str = "", notes: Sequence[Mark] = ()) -> Account:
    title = title if len(title) <= _TITLE else f"{title[:_TITLE]}…"
    return Account(title + more, wrong=False, notes=notes)
