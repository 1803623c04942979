"""How many of MNIST's test digits a trained network reads in pictures like those that people take.

python -m benchmarks.pictures --workdir=runs/sum8 --mnist=FOLDER [--count=60] [--only=WORD]

Each situation composes pictures from test digits at random. The table says how many of them were
read right, refused with a reason, and read wrong.
"""

import argparse
import collections
import gzip
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

from crnn_jax import UserError, load

Rng = np.random.Generator
Situation = Callable[[np.ndarray, Rng], np.ndarray]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workdir", required=True, help="a run that reads one digit or more")
    parser.add_argument("--mnist", type=Path, required=True, help="folder of MNIST's files")
    parser.add_argument("--count", type=int, default=60, help="pictures of each situation")
    parser.add_argument("--only", default="", help="situations whose name holds this")
    arguments = parser.parse_args()
    reader = load(arguments.workdir)
    digits, labels = read_digits(arguments.mnist)
    print(f"{'situation':34}{'right':>7}{'refused':>9}{'wrong':>7}")
    for name, situation in SITUATIONS.items():
        if arguments.only not in name:
            continue
        results = collections.Counter()
        for i in range(arguments.count):
            rng = np.random.default_rng([i, len(name)])
            pick = int(rng.integers(len(digits)))
            try:
                answer = reader([situation(digits[pick], rng)])["answer"]
                results["right" if answer == str(labels[pick]) else "wrong"] += 1
            except UserError:
                results["refused"] += 1
        print(
            f"{name:34}{results['right']:7}{results['refused']:9}{results['wrong']:7}", flush=True
        )


def read_digits(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """MNIST's test images, uint8 (N, 28, 28), and their labels."""
    images = gzip.decompress((folder / "t10k-images-idx3-ubyte.gz").read_bytes())
    labels = gzip.decompress((folder / "t10k-labels-idx1-ubyte.gz").read_bytes())
    pixels = np.frombuffer(images, np.uint8, offset=16)
    return pixels.reshape(-1, 28, 28), np.frombuffer(labels, np.uint8, offset=8)


def cropped(ink: np.ndarray) -> np.ndarray:
    """The rectangle that holds the ink."""
    rows, columns = np.flatnonzero(ink.any(1)), np.flatnonzero(ink.any(0))
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def enlarged(digit: np.ndarray, height: int) -> np.ndarray:
    """The digit alone as ink in 0..1, its longer side of so many pixels."""
    image = Image.fromarray(cropped(digit))
    scale = height / max(image.size)
    size = tuple(max(1, round(scale * side)) for side in image.size)
    return np.asarray(image.resize(size, Image.Resampling.BICUBIC), float) / 255


def placed(glyph: np.ndarray, shape: tuple[int, int], top: int, left: int) -> np.ndarray:
    """Ink of a picture of that shape with the glyph in it."""
    ink = np.zeros(shape)
    ink[top : top + glyph.shape[0], left : left + glyph.shape[1]] = glyph
    return ink


def on_sheet(digit: np.ndarray, rng: Rng) -> np.ndarray:
    """Ink of the digit, 20 to 240 pixels high, on a sheet of random margins."""
    height = int(rng.choice([20, 40, 80, 120, 240]))
    around = rng.integers(height // 4, height, 4)
    return np.pad(enlarged(digit, height), (tuple(around[:2]), tuple(around[2:])))


def scan(ink: np.ndarray) -> np.ndarray:
    """Dark ink on white."""
    return np.uint8(np.round(255 * (1 - np.clip(ink, 0, 1))))


def photo(ink: np.ndarray, rng: Rng, *, light: float = 0.4, shadow: float = 0.0) -> np.ndarray:
    """Ink on paper as a camera sees it: unevenly lit, with noise, as JPEG; 1 + x is darker yet."""
    y, x = np.meshgrid(*(np.linspace(-1, 1, side) for side in ink.shape), indexing="ij")
    turn = rng.uniform(0, 2 * np.pi)
    x, y = np.cos(turn) * x + np.sin(turn) * y, np.cos(turn) * y - np.sin(turn) * x
    lit = 1 + light * (0.3 * x - 0.4 * y) - 0.3 * light * (x * x + y * y)
    lit = lit * (1 - shadow / (1 + np.exp(20 * (x + 0.3 * y + rng.uniform(-0.5, 0.7)))))
    seen = lit * (0.85 - rng.uniform(0.45, 0.65) * ink) + 0.03 * rng.standard_normal(ink.shape)
    return jpeg(seen)


def jpeg(seen: np.ndarray) -> np.ndarray:
    """Brightness in 0..1 after a round trip through a JPEG file."""
    file = io.BytesIO()
    Image.fromarray(np.uint8(255 * np.clip(seen, 0, 1))).save(file, "JPEG", quality=60)
    return np.asarray(Image.open(file))


def turned(picture: np.ndarray, rng: Rng) -> tuple[np.ndarray, Callable]:
    """The picture with a random side up, and what turns it back."""
    quarter = int(rng.integers(4))
    return np.rot90(picture, quarter), lambda other: np.rot90(other, -quarter)


def in_a_corner(digit: np.ndarray, rng: Rng) -> np.ndarray:
    """The digit as it is in a corner of 28×28."""
    glyph, gap = cropped(digit), rng.integers(0, 3, 2)
    high, wide = 28 - np.array(glyph.shape) - gap
    top, left = rng.choice([gap[0], high]), rng.choice([gap[1], wide])
    return scan(placed(glyph / 255, (28, 28), top, left))


def off_centre(digit: np.ndarray, rng: Rng) -> np.ndarray:
    """The frame moved by up to 4 pixels."""
    moved = ndimage.shift(digit / 255, rng.choice([-4, -3, 0, 3, 4], 2), order=0)
    return moved if rng.random() < 0.5 else 1 - moved


def small(digit: np.ndarray, rng: Rng) -> np.ndarray:
    """A digit of 9 to 14 pixels somewhere on 28×28."""
    glyph = np.clip(enlarged(digit, int(rng.integers(9, 15))), 0, 1)
    top, left = (rng.integers(1, 28 - side) for side in glyph.shape)
    return scan(placed(glyph, (28, 28), top, left))


def scanner_column(digit: np.ndarray, rng: Rng) -> np.ndarray:
    """A black column of a scanner at one side, or within a few pixels of it."""
    picture, back = turned(scan(on_sheet(digit, rng)).copy(), rng)
    width = max(1, round(picture.shape[1] * rng.uniform(0, 0.05)))
    start = rng.choice([0, 0, 0, picture.shape[1] // 100])
    picture = picture.copy()
    picture[:, start : start + width] = rng.integers(0, 60)
    return back(picture)


def small_scanner_column(digit: np.ndarray, rng: Rng) -> np.ndarray:
    """A black column on 28×28."""
    picture, back = turned(255 - digit, rng)
    picture = picture.copy()
    picture[:, : rng.integers(1, 3)] = 0
    return back(picture)


def table(shape: tuple[int, int], rng: Rng) -> np.ndarray:
    """The brightness of a table with a grain."""
    grain = ndimage.gaussian_filter(rng.standard_normal(shape), (0.5, 15))
    return rng.uniform(0.1, 0.4) + 0.15 * grain


def table_beside(digit: np.ndarray, rng: Rng) -> np.ndarray:
    """A table beside the sheet, whose edge is a little slanted."""
    picture, back = turned(photo(on_sheet(digit, rng), rng) / 255, rng)
    height, width = picture.shape
    share, slant = rng.uniform(0.1, 0.6), rng.uniform(-0.1, 0.1)
    wide = round(width * share)
    whole = np.pad(picture, ((0, 0), (wide, 0)), mode="edge")
    y, x = np.mgrid[: whole.shape[0], : whole.shape[1]]
    edge = np.clip(x - wide + slant * (y - height / 2) + min(15, height / 20), 0, 1)
    return back(jpeg(edge * whole + (1 - edge) * table(whole.shape, rng)))


def clean_table_beside(digit: np.ndarray, rng: Rng) -> np.ndarray:
    """An even grey area beside an even sheet."""
    picture, back = turned(scan(on_sheet(digit, rng)), rng)
    wide = round(picture.shape[1] * rng.uniform(0.1, 0.6))
    grey = int(rng.integers(20, 140))
    return back(np.pad(picture, ((0, 0), (wide, 0)), constant_values=grey))


def sheet_on_table(digit: np.ndarray, rng: Rng) -> np.ndarray:
    """A turned sheet with the table all around."""
    sheet = photo(on_sheet(digit, rng), rng) / 255
    wide = max(sheet.shape)
    around = [tuple(rng.integers(wide // 10, wide // 3, 2)) for _ in range(2)]
    sheet, inside = np.pad(sheet, around), np.pad(np.ones_like(sheet), around)
    angle = rng.uniform(-8, 8)
    sheet, inside = (
        ndimage.rotate(array, angle, reshape=False, order=1) for array in (sheet, inside)
    )
    return jpeg(sheet + (1 - inside) * table(sheet.shape, rng))


def clean_sheet_on_table(digit: np.ndarray, rng: Rng) -> np.ndarray:
    """An even sheet on an even ground."""
    sheet = scan(on_sheet(digit, rng))
    wide = max(sheet.shape)
    around = [tuple(rng.integers(wide // 20, wide // 2, 2)) for _ in range(2)]
    return np.pad(sheet, around, constant_values=int(rng.integers(0, 120)))


def dark_corner(digit: np.ndarray, rng: Rng) -> np.ndarray:
    """A dark triangle or quarter of a circle in one corner or two."""
    picture, back = turned(scan(on_sheet(digit, rng)), rng)
    picture = picture.copy()
    for drawn in (True, rng.random() < 0.5):
        glyph = picture < 100
        y, x = np.mgrid[: picture.shape[0], : picture.shape[1]]
        high, wide = y / picture.shape[0], x / picture.shape[1]
        size = rng.uniform(0.1, 0.35)
        corner = (high + wide if rng.random() < 0.5 else np.hypot(high, wide)) < size
        while (ndimage.binary_dilation(corner, iterations=5) & glyph).any() and size > 0.02:
            size *= 0.9
            corner = (high + wide) < size
        picture[corner & drawn] = rng.integers(0, 80)
        picture = np.rot90(picture, 2).copy()
    return back(picture)


def pen_width(rng: Rng, unit: float) -> int:
    """Of lines, in pixels."""
    return max(1, round(unit * rng.uniform(2, 6)))


def lined(digit: np.ndarray, rng: Rng, draw: Callable) -> np.ndarray:
    """Lines as dark as the ink, drawn over a digit; a scan or a photo."""
    ink = on_sheet(digit, rng)
    ys, xs = np.flatnonzero(ink.any(1)), np.flatnonzero(ink.any(0))
    box = (xs[0], ys[0], xs[-1], ys[-1])
    image = Image.new("L", ink.shape[::-1])
    unit = max(box[2] - box[0], box[3] - box[1]) / 120
    draw(ImageDraw.Draw(image), box, image.size, unit)
    ink = np.maximum(ink, np.asarray(image) / 255)
    return scan(ink) if rng.random() < 0.5 else photo(ink, rng)


def form_box(digit: np.ndarray, rng: Rng) -> np.ndarray:
    """A box around the digit, which does not touch it."""

    def draw(pen: ImageDraw.ImageDraw, box: tuple, size: tuple, unit: float) -> None:
        gaps = np.maximum(2, unit * rng.integers(8, 25, 4))
        pen.rectangle(
            tuple(np.array(box) + gaps * (-1, -1, 1, 1)), outline=255, width=pen_width(rng, unit)
        )

    return lined(digit, rng, draw)


def crossed_box(digit: np.ndarray, rng: Rng) -> np.ndarray:
    """A box whose lower or right side the digit touches or crosses."""

    def draw(pen: ImageDraw.ImageDraw, box: tuple, size: tuple, unit: float) -> None:
        gaps = np.maximum(2, unit * rng.integers(8, 25, 4))
        gaps[rng.integers(4)] = unit * rng.integers(-10, 3)
        pen.rectangle(
            tuple(np.array(box) + gaps * (-1, -1, 1, 1)), outline=255, width=pen_width(rng, unit)
        )

    return lined(digit, rng, draw)


def double_box(digit: np.ndarray, rng: Rng) -> np.ndarray:
    """A box in a box; the digit may touch the inner one."""

    def draw(pen: ImageDraw.ImageDraw, box: tuple, size: tuple, unit: float) -> None:
        gaps, width = np.maximum(2, unit * rng.integers(8, 14, 4)), pen_width(rng, unit)
        if rng.random() < 0.5:
            gaps[rng.integers(4)] = unit * rng.integers(-8, 3)
        for more in 0, width + max(2, unit * rng.integers(4, 8)):
            bounds = tuple(np.array(box) + (gaps + more) * (-1, -1, 1, 1))
            pen.rectangle(bounds, outline=255, width=width)

    return lined(digit, rng, draw)


def comb(digit: np.ndarray, rng: Rng) -> np.ndarray:
    """A row of boxes with one digit."""

    def draw(pen: ImageDraw.ImageDraw, box: tuple, size: tuple, unit: float) -> None:
        left, top, right, bottom = np.array(box) + np.array([-1, -1, 1, 1]) * max(2, 12 * unit)
        for i in range(-3, 4):
            step = i * (right - left)
            pen.rectangle(
                (left + step, top, right + step, bottom), outline=255, width=pen_width(rng, unit)
            )

    return lined(digit, rng, draw)


def ruled_line(digit: np.ndarray, rng: Rng) -> np.ndarray:
    """One line from side to side, through the digit or under it."""

    def draw(pen: ImageDraw.ImageDraw, box: tuple, size: tuple, unit: float) -> None:
        y = rng.uniform(box[1] + 0.4 * (box[3] - box[1]), box[3] + 8 * unit)
        slant = rng.uniform(-0.04, 0.04) * size[0]
        pen.line((0, y - slant, size[0], y + slant), 255, pen_width(rng, unit))

    return lined(digit, rng, draw)


def upright_line(digit: np.ndarray, rng: Rng) -> np.ndarray:
    """One line from top to bottom, through the digit or beside it."""

    def draw(pen: ImageDraw.ImageDraw, box: tuple, size: tuple, unit: float) -> None:
        x = rng.uniform(box[0] - 8 * unit, box[2] + 8 * unit)
        slant = rng.uniform(-0.1, 0.1) * size[1]
        pen.line((x - slant, 0, x + slant, size[1]), 255, pen_width(rng, unit))

    return lined(digit, rng, draw)


def slanted_line(digit: np.ndarray, rng: Rng) -> np.ndarray:
    """One line in any direction, from side to side."""

    def draw(pen: ImageDraw.ImageDraw, box: tuple, size: tuple, unit: float) -> None:
        x, y = rng.uniform(box[0], box[2]), rng.uniform(box[1], box[3])
        turn = rng.uniform(0, np.pi)
        step = 2000 * np.array([np.cos(turn), np.sin(turn)])
        pen.line((x - step[0], y - step[1], x + step[0], y + step[1]), 255, pen_width(rng, unit))

    return lined(digit, rng, draw)


def ruled_lines(digit: np.ndarray, rng: Rng) -> np.ndarray:
    """Several lines from side to side."""

    def draw(pen: ImageDraw.ImageDraw, box: tuple, size: tuple, unit: float) -> None:
        width = pen_width(rng, unit)
        slant, step = rng.uniform(-0.04, 0.04) * size[0], unit * rng.uniform(40, 120)
        for y in np.arange(rng.uniform(0, step), size[1], step):
            pen.line((0, y - slant, size[0], y + slant), 255, width)

    return lined(digit, rng, draw)


def squared(digit: np.ndarray, rng: Rng) -> np.ndarray:
    """Lines from side to side and from top to bottom."""

    def draw(pen: ImageDraw.ImageDraw, box: tuple, size: tuple, unit: float) -> None:
        width = pen_width(rng, unit)
        step = unit * rng.uniform(60, 140)
        for y in np.arange(rng.uniform(0, step), size[1], step):
            pen.line((0, y, size[0], y), 255, width)
        for x in np.arange(rng.uniform(0, step), size[0], step):
            pen.line((x, 0, x, size[1]), 255, width)

    return lined(digit, rng, draw)


def underline(digit: np.ndarray, rng: Rng) -> np.ndarray:
    """A line under the digit that ends before the sheet does; they may touch."""

    def draw(pen: ImageDraw.ImageDraw, box: tuple, size: tuple, unit: float) -> None:
        y = box[3] + unit * rng.integers(-4, 12)
        left, right = unit * rng.integers(40, 100, 2)
        pen.line(
            (max(6 * unit, box[0] - left), y, min(size[0] - 6 * unit, box[2] + right), y),
            255,
            pen_width(rng, unit),
        )

    return lined(digit, rng, draw)


def broken(digit: np.ndarray, rng: Rng) -> np.ndarray:
    """A stroke broken by a gap of a twentieth of the height or so."""
    ink = on_sheet(digit, rng)
    y, x = np.mgrid[: ink.shape[0], : ink.shape[1]]
    on = np.argwhere(ink > 0.5)
    middle = on[rng.integers(len(on))]
    turn = rng.uniform(0, np.pi)
    across = np.cos(turn) * (y - middle[0]) + np.sin(turn) * (x - middle[1])
    return scan(np.where(np.abs(across) < max(0.6, ink.shape[0] / 240 * rng.uniform(2, 4)), 0, ink))


def tight(digit: np.ndarray, rng: Rng) -> np.ndarray:
    """Cut out close to the digit."""
    return scan(np.pad(enlarged(digit, int(rng.choice([20, 60, 150]))), rng.integers(1, 4)))


def many(columns: int, rows: int) -> Situation:
    """Digits in rows and columns, which can only be refused."""

    def compose(digit: np.ndarray, rng: Rng) -> np.ndarray:
        glyph = enlarged(digit, 80)
        cells = [
            [np.pad(glyph, ((10, 10), tuple(rng.integers(8, 20, 2)))) for _ in range(columns)]
            for _ in range(rows)
        ]
        lines = [np.concatenate(row, 1) for row in cells]
        wide = max(line.shape[1] for line in lines)
        lines = [np.pad(line, ((0, 0), (0, wide - line.shape[1]))) for line in lines]
        return scan(np.pad(np.concatenate(lines), 40))

    return compose


SITUATIONS: dict[str, Situation] = {
    "MNIST's frame": lambda digit, rng: digit,
    "28×28: in a corner": in_a_corner,
    "28×28: off centre": off_centre,
    "28×28: small": small,
    "28×28: a scanner's column": small_scanner_column,
    "scan": lambda digit, rng: scan(on_sheet(digit, rng)),
    "scan: cut out closely": tight,
    "scan: the scanner's column": scanner_column,
    "scan: table beside": clean_table_beside,
    "scan: table all around": clean_sheet_on_table,
    "scan: dark corners": dark_corner,
    "scan: broken stroke": broken,
    "photo": lambda digit, rng: photo(on_sheet(digit, rng), rng),
    "photo: dim": lambda digit, rng: photo(on_sheet(digit, rng), rng, light=0.7),
    "photo: shadow": lambda digit, rng: photo(on_sheet(digit, rng), rng, shadow=0.4),
    "photo: table beside": table_beside,
    "photo: table all around": sheet_on_table,
    "box": form_box,
    "box that the digit crosses": crossed_box,
    "double box": double_box,
    "row of boxes": comb,
    "line: from side to side": ruled_line,
    "line: from top to bottom": upright_line,
    "line: any direction": slanted_line,
    "lines: several": ruled_lines,
    "lines: squared paper": squared,
    "line: short, underlines": underline,
    "two in a row (refuse)": many(2, 1),
    "two, one above (refuse)": many(1, 2),
    "nine (refuse)": many(3, 3),
}


if __name__ == "__main__":
    main()
