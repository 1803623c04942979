"""What a data set holds, for people and as JSON: before training, and beside its results."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from crnn_jax.data.dataset import Dataset, DatasetInfo, Split
from crnn_jax.data.form import Form
from crnn_jax.data.sequences import Sequences
from crnn_jax.data.sources.listing import PARTS

Rows = list[tuple[str, str]]

_CLASSES, _WORDS = 50, 10
"""So many are named in tables; JSON has all."""

RARE = 5
"""Characters of lines that occur less often in training are hardly learned, and named."""

_BINS, _BAR = 10, 30
"""Rows of a histogram, and letters of its longest bar."""

_FITS = {"": "", "stretch": ", stretched", "pad": ", scaled and padded", "crop": ", scaled and cut"}


def parts_of(dataset: Dataset) -> dict[str, Sequences]:
    """The parts of a data set; labelled images as sequences of one frame each."""
    parts: dict[str, Any] = {part: getattr(dataset, part) for part in PARTS}
    return {part: _stored(x) if isinstance(x, Split) else x for part, x in parts.items()}


def _stored(split: Split) -> Sequences:
    count = len(split.labels_I)
    return Sequences(
        np.ones(count, np.int32),
        split.labels_I,
        split.images_IxHxWxC.shape[1:],
        tuple(f"image {i}" for i in range(count)),
        lambda indices: [split.images_IxHxWxC[i][None] for i in indices],
    )


def facts_of(info: DatasetInfo, parts: Mapping[str, Sequences], unit: str) -> dict[str, Any]:
    """Say what a data set holds.

    Args:
      info: what is known of it.
      parts: train, validation and test; may be empty.
      unit: "words" or "characters", what texts are made of; those of lines of characters alone.

    Returns:
      What JSON can hold: name, answer, identity, frames (their form), splits (clips and frames of
      each part), classes (clips of each in each part), numbers (of each part) or texts, lengths
      (with a histogram), and bytes of all frames. The frames of lines are strips.
    """
    height, width, channels = info.frame_shape
    form = info.form or Form(height, width, channels)
    lengths_B = np.concatenate([part.lengths_B for part in parts.values()])
    facts: dict[str, Any] = {
        "name": info.name,
        "answer": info.answer,
        "identity": info.identity,
        "frames": form.to_json(),
        "splits": {
            name: {"clips": len(part), "frames": int(part.lengths_B.sum())}
            for name, part in parts.items()
        },
        "lengths": {
            "min": int(lengths_B.min()),
            "median": float(np.median(lengths_B)),
            "max": int(lengths_B.max()),
            "histogram": _histogram(lengths_B),
        },
        "bytes": int(lengths_B.sum(dtype=np.int64)) * height * width * channels,
    }
    answers = {name: part.answers for name, part in parts.items()}
    if info.answer in ("class", "label"):
        counts = {x: np.bincount(y, minlength=len(info.classes)) for x, y in answers.items()}
        facts["classes"] = {
            name: {part: int(count[i]) for part, count in counts.items()}
            for i, name in enumerate(info.classes)
        }
    elif info.answer == "text":
        unit, end = ("characters", 0) if form.strip else (unit, 1)
        facts["texts"] = {"unit": unit, "known": len(info.vocabulary) - end}
        facts["texts"]["longest"] = info.symbols - end
        facts["texts"]["unknown"] = {
            part: _unknown(answers[part], info.vocabulary, unit) for part in PARTS[1:]
        }
        if form.strip:
            counts = _counts(answers["train"], unit)
            facts["texts"]["rare"] = {x: n for x, n in counts.items() if n < RARE}
    else:
        facts["numbers"] = {
            part: {"min": float(x.min()), "mean": float(x.mean()), "max": float(x.max())}
            for part, x in answers.items()
            if len(x)
        }
    return facts


def _histogram(lengths_B: np.ndarray) -> list[dict[str, int]]:
    """Clips in ranges of whole lengths, `from` and `to` included."""
    first, last = int(lengths_B.min()), int(lengths_B.max())
    width = -(-(last - first + 1) // _BINS)
    starts = range(first, last + 1, width)
    counts = np.bincount((lengths_B - first) // width, minlength=len(starts))
    return [
        {"from": start, "to": min(start + width - 1, last), "clips": int(count)}
        for start, count in zip(starts, counts, strict=True)
    ]


def _unknown(texts: np.ndarray, vocabulary: Sequence[str], unit: str) -> dict[str, int]:
    """How often each word or character occurs that no training answer has."""
    known = set(vocabulary)
    return {x: n for x, n in _counts(texts, unit).items() if x not in known}


def _counts(texts: np.ndarray, unit: str) -> dict[str, int]:
    """How often each word or character occurs, the most frequent first."""
    symbols = (x for text in texts for x in (text.split() if unit == "words" else text))
    return dict(Counter(symbols).most_common())


def summary(facts: Mapping[str, Any]) -> Rows:
    """The short form, which training prints."""
    (things, frames), lengths = _things(facts), facts["lengths"]
    parts = (f"{part['clips']:,} {name}" for name, part in facts["splits"].items())
    rows = [
        ("data", facts["name"]),
        (things, " · ".join(parts)),
        ("answers", _answers(facts)),
        ("frames", _frames(facts["frames"], facts["lengths"]["max"])),
    ]
    if lengths["max"] > 1:
        spread = f"{lengths['min']:,} to {lengths['max']:,} {frames}, median {lengths['median']:g}"
        if strip := facts["frames"]["strip"]:
            spread += f"; {lengths['min'] * strip:,} to {lengths['max'] * strip:,} pixels"
        rows.append(("lengths", spread))
    if rare := facts.get("texts", {}).get("rare"):
        few = f"{len(rare):,} of {facts['texts']['known']:,} characters"
        rows.append(("rare", f"{few} fewer than {RARE} times in training: {_named(rare)}"))
    return rows


def short_form(dataset: Dataset, unit: str) -> Rows:
    """The same of a data set that is loaded."""
    return summary(facts_of(dataset.info, parts_of(dataset), unit))


def tables(facts: Mapping[str, Any]) -> Iterator[tuple[str, Rows]]:
    """All that is known as tables: their titles and rows.

    Args:
      facts: of `facts_of`, and besides origin and training, names and values in words, and
        problems.
    """
    things, frames = _things(facts)
    name, *rows = summary(facts)
    identity = ("identity", facts["identity"])
    yield "data", [name, *facts["origin"].items(), *rows, *facts["training"].items(), identity]
    if "classes" in facts:
        rows = [
            (name, " · ".join(f"{count:,} {part}" for part, count in counts.items()))
            for name, counts in facts["classes"].items()
        ]
        more = [("…", f"{len(rows) - _CLASSES:,} more classes")] if len(rows) > _CLASSES else []
        yield "classes", rows[:_CLASSES] + more
    if "numbers" in facts:
        numbers = facts["numbers"].items()
        words = "{min:.4g} to {max:.4g}, mean {mean:.4g}"
        yield "answers", [(part, words.format_map(x)) for part, x in numbers]
    if unknown := {x: y for x, y in facts.get("texts", {}).get("unknown", {}).items() if y}:
        unit = facts["texts"]["unit"]
        rows = [(x, f"{sum(y.values()):,} {unit}: {_named(y)}") for x, y in unknown.items()]
        yield f"{unit} that no training answer has", rows
    if facts["lengths"]["max"] > facts["lengths"]["min"]:
        yield f"{things} by length", _bars(facts["lengths"]["histogram"], frames)
    if facts["problems"]:
        yield (
            "problems; those with ! must be mended",
            [(f"{'!' if x['fatal'] else ' '} {x['name']}", x["what"]) for x in facts["problems"]],
        )


def _things(facts: Mapping[str, Any]) -> tuple[str, str]:
    """What people call the sequences, and their frames."""
    if facts["frames"]["strip"]:
        return "lines", "strips"
    return "images" if facts["lengths"]["max"] == 1 else "clips", "frames"


def _answers(facts: Mapping[str, Any]) -> str:
    if "classes" in facts:
        return f"{len(facts['classes']):,} classes"
    if "texts" in facts:
        texts = facts["texts"]
        return f"texts of up to {texts['longest']:,} of {texts['known']:,} {texts['unit']}"
    least = min(numbers["min"] for numbers in facts["numbers"].values())
    most = max(numbers["max"] for numbers in facts["numbers"].values())
    what = "a number for every frame" if facts["answer"] == "numbers" else "numbers"
    return f"{what}, {least:.4g} to {most:.4g}"


def _frames(form: Mapping[str, Any], longest: int) -> str:
    colour = "RGB" if form["channels"] == 3 else "grey"
    if form["strip"]:
        return (
            f"lines scaled to {form['height']} pixels of height, {colour}, in strips of "
            f"{form['strip']}; at most {form['max_frames']:,}"
        )
    words = f"{form['width']} × {form['height']} pixels (width × height), {colour}"
    words += _FITS[form["fit"]]
    if longest == 1 and not form["frames"]:
        return words
    if form["frames"]:
        return f"{words}; {form['frames']} of a clip at most, evenly spread"
    every = f"1 frame of {form['stride']}" if form["stride"] > 1 else "all frames"
    return f"{words}; {every}, at most {form['max_frames']:,}"


def _bars(histogram: Sequence[Mapping[str, int]], frames: str) -> Rows:
    most = max(one["clips"] for one in histogram)
    rows = []
    for first, last, count in (one.values() for one in histogram):
        span = f"{first:,}" if first == last else f"{first:,} to {last:,}"
        rows.append((f"{span} {frames}", f"{'█' * -(-count * _BAR // most)} {count:,}".strip()))
    return rows


def _named(words: Mapping[str, int]) -> str:
    return ", ".join(list(words)[:_WORDS]) + (", …" if len(words) > _WORDS else "")
