"""How many photos of five of MNIST's test digits in a row a trained network reads right.

python -m benchmarks.row_pictures --workdir=runs/rows --mnist=FOLDER [--count=40] [--coarse]

Blue pen on white paper, unevenly lit, with noise, as JPEG; the digits are 3 to 6 times as large as
MNIST's. The gaps are between the digits' boxes of ink, in pixels of the photo; with `--coarse` in
those of MNIST's frames. `--split` cuts the photos apart, for a network of one glyph a frame.
"""

import argparse
import collections
import io
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.pictures import Rng, cropped, read_digits
from crnn_jax import UserError, load
from crnn_jax.predict import Predictor

GAPS = (25, 10, 4, 0, -6)
DIGITS = 5
PAPER, PEN = (0.95, 0.94, 0.91), (0.16, 0.22, 0.55)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workdir", required=True, help="a run that reads rows, or digits")
    parser.add_argument("--mnist", type=Path, required=True, help="folder of MNIST's files")
    parser.add_argument("--count", type=int, default=40, help="photos of each gap")
    parser.add_argument("--coarse", action="store_true", help="gaps in pixels of MNIST's frames")
    parser.add_argument("--split", action="store_true", help="cut the photos apart")
    parser.add_argument("--save", type=Path, help="folder to write photos into, not read right")
    arguments = parser.parse_args()
    reader = load(arguments.workdir)
    digits, labels = read_digits(arguments.mnist)
    print(f"{'gap':>5}{'right':>8}{'refused':>9}{'wrong':>7}{'of symbols':>12}")
    for gap in GAPS:
        results = collections.Counter()
        for i in range(arguments.count):
            rng = np.random.default_rng([i, gap + 100])
            chosen = rng.integers(len(digits), size=DIGITS)
            picture = photo_of_row(digits[chosen], gap, rng, coarse=arguments.coarse)
            right = labels[chosen]
            result, same = judge(reader, picture, "".join(map(str, right)), arguments.split)
            results[result] += 1
            results["symbols"] += same
            if arguments.save is not None and result != "right":
                arguments.save.mkdir(parents=True, exist_ok=True)
                path = arguments.save / f"gap{gap}_{i}_{result}.png"
                Image.fromarray(picture).save(path)
        share = results["symbols"] / (DIGITS * arguments.count)
        print(
            f"{gap:5}{results['right']:8}{results['refused']:9}{results['wrong']:7}{share:12.3f}",
            flush=True,
        )


def judge(reader: Predictor, picture: np.ndarray, right: str, split: bool) -> tuple[str, int]:
    """How a photo is answered, and how many symbols stand where they should."""
    try:
        found = reader(picture, split=split)
    except UserError:
        return "refused", 0
    answer = found["answer"]
    if split:  # of a sum so far, what each digit adds
        estimates = [0, *(step["estimate"] for step in found["steps"])]
        answer = "".join(f"{round(x)}" for x in np.diff(estimates))
    same = sum(a == b for a, b in zip(answer, right, strict=False))
    return "right" if answer == right else "wrong", same


def row_of(digits: np.ndarray, gap: int, rng: Rng) -> np.ndarray:
    """Ink 0..255 of digits in a row, each higher or lower by up to a fourteenth of its frame.

    Where they overlap, the darker ink counts; a narrow digit is overlapped by half at most.
    """
    _, size, _ = digits.shape
    jitter = size // 14
    glyphs = [digit[:, np.flatnonzero(digit.any(0))[0] :] for digit in digits]
    glyphs = [glyph[:, : np.flatnonzero(glyph.any(0))[-1] + 1] for glyph in glyphs]
    widths = [glyph.shape[1] for glyph in glyphs]
    row, left = np.zeros((size + 2 * jitter, sum(widths) + size * len(digits)), np.uint8), 0
    for i, glyph in enumerate(glyphs):
        top = int(rng.integers(2 * jitter + 1))
        part = row[top : top + size, left : left + widths[i]]
        np.maximum(part, glyph, out=part)
        left += widths[i] + max(gap, -min(widths[i : i + 2]) // 2)
    return cropped(row)


def photo_of_row(digits: np.ndarray, gap: int, rng: Rng, *, coarse: bool) -> np.ndarray:
    """A photo of a row, RGB; gaps are in pixels of the photo, or if coarse in those of `digits`."""
    scale = rng.uniform(3, 6)
    if coarse:
        ink = enlarged(row_of(digits, gap, rng), scale)
    else:
        ink = row_of(np.stack([enlarged(digit, scale) for digit in digits]), gap, rng)
    ink = ink / 255
    around = rng.integers(len(ink) // 3, len(ink), 4)
    return in_blue(np.pad(ink, (tuple(around[:2]), tuple(around[2:]))), rng)


def enlarged(image: np.ndarray, scale: float) -> np.ndarray:
    """The same so many times as large."""
    size = [round(scale * side) for side in image.shape[::-1]]
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))


def in_blue(ink: np.ndarray, rng: Rng, light: float = 0.4) -> np.ndarray:
    """Ink on paper as a camera sees it."""
    y, x = np.meshgrid(*(np.linspace(-1, 1, side) for side in ink.shape), indexing="ij")
    turn = rng.uniform(0, 2 * np.pi)
    x, y = np.cos(turn) * x + np.sin(turn) * y, np.cos(turn) * y - np.sin(turn) * x
    lit = 0.85 * (1 + light * (0.3 * x - 0.4 * y) - 0.3 * light * (x * x + y * y))
    share = rng.uniform(0.75, 1) * ink[..., None]
    seen = lit[..., None] * (np.array(PAPER) * (1 - share) + np.array(PEN) * share)
    seen = seen + 0.03 * rng.standard_normal(seen.shape)
    file = io.BytesIO()
    Image.fromarray(np.uint8(255 * np.clip(seen, 0, 1))).save(file, "JPEG", quality=60)
    return np.asarray(Image.open(file))


if __name__ == "__main__":
    main()
