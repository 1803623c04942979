"""The work on lines of text: rows of 1 to 10 digits of MNIST that often touch, read with CTC.

Two networks: `ROWS`, and `CAPTCHA` with the layers of Keras's example "OCR model for reading
Captchas". A line is stored as strips of 4 pixels, as `crnn_jax` reads it; side by side they are
the picture that the other systems read. Symbols are the digits; the blank comes behind them.
"""

import dataclasses

import numpy as np

from benchmarks import clips, protocol

BATCH = 64
COUNT = 5000
MOST = 10  # digits of a line
HEIGHT, STRIP = 32, 4
GAPS = (-8, 9)  # pixels between the ink of two digits, least and most
ADVANCE = 2 * STRIP  # pixels, at least, from where a digit begins to where the next one does
MARGIN = 2  # pixels before the first digit and behind the last one
CLASSES = 11
LEARNING_RATE = 1e-3  # of Adam
LEAST_STEPS = 2  # that all systems make at once


@dataclasses.dataclass(frozen=True)
class Network:
    """Layers over a whole line: convolutions that keep its size, a dense layer, GRUs both ways.

    Attributes:
      convs: (size, input channels, features, pool as height and width) of each.
      dense: features of each column.
      dropout: share of them set to zero in training.
      grus: units of each layer, in each direction.
    """

    convs: tuple[tuple[int, int, int, tuple[int, int]], ...]
    dense: int
    dropout: float
    grus: tuple[int, ...]

    @property
    def column(self) -> int:
        """Features of a column behind the convolutions."""
        height = HEIGHT
        for *_, (high, _) in self.convs:
            height //= high
        return height * self.convs[-1][2]

    def weights(self, seed: int = 0) -> dict[str, np.ndarray]:
        """See `protocol.weights`; a layer's two GRUs come one behind the other."""
        convs = tuple(conv[:3] for conv in self.convs)
        features = (self.dense, *(2 * units for units in self.grus))
        grus = [sizes for sizes in zip(features, self.grus, strict=False) for _ in range(2)]
        dense = {"dense": (self.column, self.dense), "symbol": (features[-1], CLASSES)}
        return protocol.random_weights(seed, convs, tuple(grus), dense)


ROWS = Network(
    ((5, 1, 24, (2, 2)), (3, 24, 48, (2, 2)), (3, 48, 96, (2, 1))), dense=192, dropout=0, grus=(96,)
)
CAPTCHA = Network(((3, 1, 32, (2, 2)), (3, 32, 64, (2, 2))), dense=64, dropout=0.2, grus=(128, 64))


class Corpus(clips.Corpus):
    """Strips (F, 32, 4) of N lines, as `clips.Corpus` has frames; `answers` are (N, 10) digits.

    They end with -1 where a line has fewer. What a line lacks of a whole strip is black.
    """

    def first(self, batch: int) -> tuple[np.ndarray, np.ndarray]:
        """Strips and lengths of as many lines as long as each other: nothing needs padding."""
        counts = np.bincount(self.lengths)
        longest = np.flatnonzero(counts >= min(batch, counts.max()))[-1]
        chosen = np.flatnonzero(self.lengths == longest)[:batch]
        return np.stack(self.clips(chosen)), self.lengths[chosen]


def on_side(strips_BxTxHxS: np.ndarray) -> np.ndarray:
    """Padded lines as pictures BxWxH, width before height."""
    count, _, height, _ = strips_BxTxHxS.shape
    return strips_BxTxHxS.swapaxes(2, 3).reshape(count, -1, height)


def compose(images_IxHxW: np.ndarray, labels_I: np.ndarray, count: int = COUNT) -> Corpus:
    """Lines of these digits, each number of them equally often."""
    rng = np.random.default_rng(1)
    answers = np.full((count, MOST), -1, np.int32)
    lines = []
    for answer in answers:
        chosen = rng.integers(0, len(labels_I), rng.integers(1, MOST + 1))
        answer[: len(chosen)] = labels_I[chosen]
        gaps = rng.integers(GAPS[0], GAPS[1] + 1, len(chosen) - 1)
        lines.append(line(images_IxHxW[chosen], gaps))
    strips = [x.reshape(HEIGHT, -1, STRIP).swapaxes(0, 1) for x in lines]
    lengths = np.array([len(x) for x in strips])
    return Corpus(np.concatenate(strips), lengths, answers)


def line(images_DxHxW: np.ndarray, gaps: np.ndarray) -> np.ndarray:
    """One line of these digits, with so many pixels between the ink of each and the next."""
    inked = [np.flatnonzero(image.any(0)) for image in images_DxHxW]
    inks = [image[:, a[0] : a[-1] + 1] for image, a in zip(images_DxHxW, inked, strict=True)]
    starts = [MARGIN]
    for ink, gap in zip(inks, gaps, strict=False):
        starts.append(starts[-1] + max(ADVANCE, ink.shape[1] + int(gap)))
    end = max(start + ink.shape[1] for start, ink in zip(starts, inks, strict=True)) + MARGIN
    found = np.zeros((HEIGHT, -(-end // STRIP) * STRIP), np.uint8)
    for start, ink in zip(starts, inks, strict=True):
        top = (HEIGHT - len(ink)) // 2
        place = found[top : top + len(ink), start : start + ink.shape[1]]
        np.maximum(place, ink, out=place)
    return found
