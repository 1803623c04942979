"""The tables of the systems that read stored sequences: clips and lines."""

import statistics
from collections.abc import Sequence

from benchmarks import clips, lines


def spread(values: Sequence[float], form: str = ",.0f") -> str:
    """The median, the least and the most."""
    return f"{statistics.median(values):{form}} ({min(values):{form}} – {max(values):{form}})"


def clip_section(measured: dict) -> list[str]:
    """Rates of the systems that read clips."""
    return [
        "## Clips with a class",
        "",
        f"{clips.COUNT:,} clips of {clips.SHORTEST} to {clips.LONGEST} frames of {clips.SIZE}×"
        f"{clips.SIZE}, batches of {measured['batch']}: a small CNN, two GRUs and dropout, as in "
        "Keras's example of video classification, from clips in memory. Keras pads to the longest "
        "clip and masks; PyTorch pads, encodes all frames and packs them for its GRUs; crnn_jax "
        "packs them into lanes. Clips/s, median (least – most); ratio of crnn_jax's to each.",
        "",
        *against_ours(measured["systems"]),
    ]


def line_section(measured: dict) -> list[str]:
    """Rates of the systems that read lines, network by network."""
    return [
        "## Lines of digits",
        "",
        f"{lines.COUNT:,} lines of 1 to {lines.MOST} digits, {lines.HEIGHT} pixels high, with "
        f"{lines.GAPS[0]} to {lines.GAPS[1]} pixels between the ink of two digits, from memory in "
        f"batches of {measured['rows']['batch']}, read with CTC and trained with Adam. Lines/s, "
        "median (least – most); ratio of crnn_jax's to each. crnn_jax packs lines into lanes. "
        "Answers are the likeliest symbol of each column; crnn_jax's are texts, their confidences "
        "and the columns of each symbol.",
        "",
        "Rows: convolutions of 24@5×5, 48@3×3 and 96@3×3, a dense layer of 192 and a GRU of 96 in "
        "each direction, the same in all systems. PyTorch pads to the widest line of the batch, "
        "compiled to the widest of all, because it compiles each width anew; with lines sorted, a "
        "batch has lines of like widths. All pack the columns for the GRU.",
        "",
        *against_ours(measured["rows"]["systems"]),
        "Captcha: the layers of Keras's example of reading captchas, convolutions of 32@3×3 and "
        "64@3×3, a dense layer of 64 with dropout .2 and two layers over time, of 128 and 64 in "
        "each direction. They are GRUs here but for `keras-tensorflow`, which has LSTMs with "
        "dropout .25, as the example; that also runs over padding, `gru/keras-tensorflow` masks "
        "it and gives the same answers as crnn_jax. Both pad to the widest line of the batch.",
        "",
        *against_ours(measured["captcha"]["systems"]),
    ]


def against_ours(systems: dict) -> list[str]:
    """A table of rates, and of ratios within a round; this project comes first."""
    table = ["| | training | ratio | inference | ratio |", "|---|---|---|---|---|"]
    ours = next(iter(systems.values()))
    for name, rates in systems.items():
        cells = []
        for work in ("train", "infer"):
            pairs = zip(ours[work], rates[work], strict=True)
            ratio = statistics.median(mine / theirs for mine, theirs in pairs)
            cells += [spread(rates[work]), f"{ratio:.1f}"]
        table.append(f"| {name.partition('/')[2]} | {' | '.join(cells)} |")
    return [*table, ""]
