"""Draw the pictures of docs/design.md, from digits of mnist-5k; the same at every call.

python tools/draw_batch.py OUT   # batch.svg, lanes.svg, likelihood.svg, ctc.svg

They are outlines and text, no bitmaps and no scripts, so that every page can show them.
"""

import itertools
import math
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from skimage.measure import find_contours

from crnn_jax import exit_status, user_path
from crnn_jax.data.lanes import lay_out
from crnn_jax.data.sources import mnist_5k

INK, GREY, PALE, MARK = "#1f2933", "#7b8794", "#e4e7eb", "#c2410c"
COLOURS = ("#0f766e", "#7c3aed", "#b45309", "#1d4ed8", "#be123c", "#15803d", "#a21caf", "#475569")
"""Of sequences, one each."""


class Picture:
    """An SVG that is put together shape by shape; coordinates are pixels from the top left."""

    def __init__(self, width: int, height: int, about: str) -> None:
        self.size, self.about = (width, height), about
        self.shapes: list[str] = []

    def text(
        self, x: float, y: float, text: str, *, size: int = 14, fill: str = INK, bold: bool = False
    ) -> None:
        """Words, centred on x, their baseline at y."""
        weight = ' font-weight="bold"' if bold else ""
        self.shapes.append(
            f'<text x="{x:g}" y="{y:g}" font-size="{size}" fill="{fill}"{weight}>{text}</text>'
        )

    def box(self, x: float, y: float, width: float, height: float, style: str) -> None:
        """A rectangle with round corners."""
        self.shapes.append(
            f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="3" {style}/>'
        )

    def arrow(self, x: float, y: float, dx: float, dy: float) -> None:
        """An arrow from a place, so far."""
        long = math.hypot(dx, dy)
        ux, uy = dx / long, dy / long
        ends = [(x + dx - 7 * ux + s * 4 * uy, y + dy - 7 * uy - s * 4 * ux) for s in (-1, 1)]
        head = " ".join(f"{a:.1f},{b:.1f}" for a, b in [ends[0], (x + dx, y + dy), ends[1]])
        self.shapes.append(
            f'<path d="M{x:g},{y:g}l{dx - 4 * ux:g},{dy - 4 * uy:g}" stroke="{GREY}" '
            f'stroke-width="2"/><polygon points="{head}" fill="{GREY}"/>'
        )

    def digit(self, x: float, y: float, side: float, outline: str, edge: str = "none") -> None:
        """A frame: white ink on black, with a coloured edge."""
        self.box(x, y, side, side, f'fill="black" stroke="{edge}" stroke-width="3"')
        self.shapes.append(
            f'<path transform="translate({x:g} {y:g}) scale({side / 28:g})" d="{outline}" '
            'fill="white" fill-rule="evenodd"/>'
        )

    def bars(
        self, x: float, y: float, width: float, height: float, shares: Sequence[float]
    ) -> None:
        """A distribution over 0, 1, …; the baseline is at y. The likeliest is marked."""
        step = width / len(shares)
        self.shapes.append(f'<path d="M{x:g},{y:g}h{width:g}" stroke="{GREY}"/>')
        for i, share in enumerate(shares):
            fill = MARK if share == max(shares) else GREY
            tall = share * height
            self.box(x + i * step + 1, y - tall, step - 2, tall, f'fill="{fill}"')

    def svg(self) -> str:
        """The file's text."""
        width, height = self.size
        shapes = "\n".join(self.shapes)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
            f'width="{width}" height="{height}" role="img" text-anchor="middle" '
            f'font-family="Helvetica, Arial, sans-serif">\n<title>{self.about}</title>\n'
            f'<rect width="{width}" height="{height}" rx="8" fill="white"/>\n{shapes}\n</svg>\n'
        )


def outlines() -> list[list[str]]:
    """The outlines of some images of each digit, as SVG paths in a square of 28."""
    images_IxHxWxC, labels_I = mnist_5k.read()["test"]
    return [
        [_outline(images_IxHxWxC[i, ..., 0]) for i in np.flatnonzero(labels_I == digit)[:4]]
        for digit in range(10)
    ]


def _outline(image_HxW: np.ndarray) -> str:
    rings = find_contours(np.pad(image_HxW, 1).astype(float), 127)
    loops = (
        "L".join(f"{x - 0.5:.1f} {y - 0.5:.1f}" for y, x in ring[:-1]) for ring in rings
    )  # pixel i has its middle at i + .5, and one was added before it
    return "".join(f"M{loop}Z" for loop in loops)


def batch(digits: list[list[str]]) -> Picture:
    """From the data set to the loss, with four sequences of one to four digits."""
    picture = Picture(960, 560, "How a batch gets from the data set to the loss")
    sequences, side = ((7,), (4, 2), (3, 1, 9), (5, 9, 0, 8)), 40

    def row(x: float, y: float, which: int) -> None:
        for t, label in enumerate(sequences[which]):
            image = digits[label][which]
            picture.digit(x + t * (side + 4), y, side, image, COLOURS[which])

    picture.text(110, 34, "data set", size=17, bold=True)
    picture.text(110, 54, "uint8 images, labels", size=13, fill=GREY)
    for place, label in enumerate((7, 4, 2, 0, 3, 1, 9, 6, 5, 8, 0, 9)):
        x, y = 32 + place % 4 * 40, 76 + place // 4 * 44
        picture.digit(x, y, 34, digits[label][place % 4])
    picture.text(110, 232, "drawn anew for every step", size=13, fill=GREY)

    picture.arrow(210, 140, 48, 0)
    picture.text(390, 34, "draw", size=17, bold=True)
    picture.text(390, 54, "lengths and images, from (seed, step, i)", size=13, fill=GREY)
    for which in range(4):
        row(306, 68 + which * 46, which)
        answer = f"= {sum(sequences[which])}"
        picture.text(506, 93 + which * 46, answer, fill=COLOURS[which], bold=True)

    picture.arrow(540, 160, 58, 0)
    picture.text(770, 34, "lanes", size=17, bold=True)
    picture.text(770, 54, "two sequences share a row: nothing is padded", size=13, fill=GREY)
    for lane, (first, second) in enumerate(((0, 3), (1, 2))):
        x, y = 652, 96 + lane * 60
        row(x, y, first)
        row(x + len(sequences[first]) * (side + 4), y, second)
    picture.arrow(652, 214, 216, 0)
    picture.text(760, 234, "time", size=13, fill=GREY)

    picture.shapes.append(f'<path d="M32,260h896" stroke="{PALE}" stroke-width="2"/>')
    columns = {"encoder": 190, "aggregator": 390, "head": 600, "answer so far": 820}
    notes = (
        "CNN, each frame by itself",
        "GRU, its state goes on",
        "P(digit)",
        "P(sum so far)",
    )
    for (name, x), note in zip(columns.items(), notes, strict=True):
        picture.text(x, 292, name, size=17, bold=True)
        picture.text(x, 312, note, size=13, fill=GREY)
    sums = [np.ones(1)]
    for t, label in enumerate(sequences[2]):
        y = 330 + t * 68
        picture.digit(32, y, side, digits[label][2], COLOURS[2])
        picture.arrow(80, y + 20, 40, 0)
        picture.box(126, y + 2, 128, 36, f'fill="{PALE}"')
        picture.text(190, y + 25, "features")
        picture.arrow(262, y + 20, 62, 0)
        picture.box(330, y + 2, 120, 36, f'fill="{PALE}"')
        picture.text(390, y + 25, f"state {t + 1}")
        picture.arrow(458, y + 20, 54, 0)
        picture.bars(530, y + 38, 140, 36, _posterior(label))
        picture.arrow(680, y + 20, 30, 0)
        sums.append(np.convolve(sums[-1], _posterior(label)))
        picture.bars(724, y + 38, 192, 36, sums[-1])
        if t < 2:
            picture.arrow(390, y + 40, 0, 28)
            picture.arrow(820, y + 44, 0, 24)
    total = sum(sequences[2])
    loss = -math.log(sums[-1][total])
    picture.text(820, 534, f"loss = −log P({total}) = {loss:.2f}", fill=MARK, bold=True)
    return picture


def _posterior(label: int, others: Iterable[tuple[int, float]] = ((5, 0.06), (8, 0.04))) -> list:
    """Probabilities of ten digits: mostly the label, a little of others."""
    shares = dict.fromkeys(range(10), 0.0) | dict(others)
    shares[label] = 0.0
    shares[label] = 1 - sum(shares.values())
    return list(shares.values())


def lanes() -> Picture:
    """A batch of eight sequences of 1 to 8 frames: padded, and in lanes."""
    picture = Picture(960, 330, "Eight sequences, padded and in lanes")
    side, top = 34, 70
    picture.text(190, 32, "padded to the longest", size=17, bold=True)
    picture.text(190, 52, "64 frames are computed, 36 are real", size=13, fill=GREY)
    for length, t in itertools.product(range(1, 9), range(8)):
        x, y = 56 + t * side, top + (length - 1) * 30
        style = f'fill="{COLOURS[length - 1]}"' if t < length else f'fill="none" stroke="{PALE}"'
        picture.box(x, y, side - 3, 26, style)
    layout = lay_out([[i, 7 - i] for i in range(4)], np.arange(1, 9))
    steps, number = layout.sequence_TxN.shape
    picture.text(700, 32, "in lanes", size=17, bold=True)
    picture.text(700, 52, f"{steps * number} frames are computed, all are real", size=13, fill=GREY)
    for t, n in itertools.product(range(steps), range(number)):
        x, y = 520 + t * 40, top + 16 + n * 44
        which = int(layout.sequence_TxN[t, n])
        picture.box(x, y, 37, 36, f'fill="{COLOURS[which]}"')
        if layout.starts_TxN[t, n]:
            picture.text(x + 18, y + 24, "0", fill="white", bold=True)
    picture.arrow(520, top + 208, 356, 0)
    picture.text(700, top + 232, "time: a state begins at 0 where a sequence starts", fill=GREY)
    picture.arrow(372, top + 120, 110, 0)
    return picture


def likelihood(digits: list[list[str]]) -> Picture:
    """How the posteriors of two digits become that of their sum, and what the loss is."""
    picture = Picture(960, 330, "From the posteriors of two digits to the loss")
    shares = [
        _posterior(3, ((5, 0.15), (8, 0.05))),
        _posterior(4, ((9, 0.2), (2, 0.1))),
    ]
    for i, (label, x) in enumerate(((3, 40), (4, 340))):
        picture.digit(x, 60, 80, digits[label][i], COLOURS[i])
        picture.bars(x + 100, 140, 160, 80, shares[i])
        for digit in range(10):
            picture.text(x + 108 + digit * 16, 158, str(digit), size=12, fill=GREY)
        picture.text(x + 180, 40, f"P(digit {i + 1})", bold=True)
    total = np.convolve(*shares)
    picture.text(322, 106, "+", size=26)
    picture.text(640, 106, "=", size=26)
    picture.text(800, 40, "P(sum)", bold=True)
    picture.bars(670, 140, 266, 80, total)
    for number in range(0, 19, 2):
        picture.text(677 + number * 14, 158, str(number), size=12, fill=GREY)
    ways = [
        f"{shares[0][a]:.2f} · {shares[1][7 - a]:.2f}"
        for a in range(8)
        if shares[0][a] * shares[1][7 - a]
    ]
    picture.text(480, 220, f"P(sum = 7) = {' + '.join(ways)} = {total[7]:.2f}", size=18)
    picture.text(
        480, 256, f"loss = −log P(7) = {-math.log(total[7]):.2f}", size=18, fill=MARK, bold=True
    )
    picture.text(
        480, 296, "Only the sum 7 is given. The gradient says which digits must be likelier.",
        fill=GREY,
    )  # fmt: skip
    return picture


def ctc(digits: list[list[str]]) -> Picture:
    """A line in strips, the symbol of each, and the text that they say."""
    picture = Picture(960, 300, "How CTC reads a line")
    strips, width, left = 14, 60, 60
    symbols = "–33––1–1–––88–"
    assert len(symbols) == strips
    picture.box(left, 50, strips * width, 90, 'fill="black"')
    for label, x in ((3, 1.0), (1, 4.6), (1, 6.65), (8, 11.2)):
        outline = digits[label][1]
        picture.shapes.append(
            f'<path transform="translate({left + x * width:g} 53) scale(3)" d="{outline}" '
            'fill="white" fill-rule="evenodd"/>'
        )
    for strip in range(1, strips):
        picture.shapes.append(
            f'<path d="M{left + strip * width},50v90" stroke="{GREY}" stroke-dasharray="3"/>'
        )
    picture.text(480, 34, "a line, cut into strips: the steps of the network", bold=True)
    for strip, symbol in enumerate(symbols):
        x = left + (strip + 0.5) * width
        picture.arrow(x, 146, 0, 22)
        fill = GREY if symbol == "–" else MARK
        picture.text(x, 194, symbol, size=22, fill=fill, bold=symbol != "–")
    said = [symbol for symbol, _ in itertools.groupby(symbols) if symbol != "–"]
    picture.text(480, 234, "equal neighbours become one, then the blanks – go", fill=GREY)
    picture.text(480, 274, " ".join(said), size=26, fill=MARK, bold=True)
    return picture


def main(argv: Sequence[str]) -> int:
    """Write the pictures into a folder."""
    return exit_status(_write, argv)


def _write(argv: Sequence[str]) -> None:
    out, digits = user_path(argv[0] if argv else "docs/images"), outlines()
    pictures = {
        "batch": batch(digits),
        "lanes": lanes(),
        "likelihood": likelihood(digits),
        "ctc": ctc(digits),
    }
    out.mkdir(parents=True, exist_ok=True)
    for name, picture in pictures.items():
        Path(out / f"{name}.svg").write_text(picture.svg(), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
