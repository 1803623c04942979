"""Lines and boxes of a form, as dark as the ink: found as straight runs, and taken out."""

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy import ndimage
from skimage.measure import label, regionprops

from crnn_jax.pictures.grey import ring

_SPECK = 0.125  # of the glyph's extent: what is smaller is left of a line
_SIDE = 128  # pixels of the long side where lines are looked for
_MOST_LINES = 12
_THICKEST = 0.16  # of its length
_STROKES = 2  # of the glyph, that are longer than some line


class _Line(NamedTuple):
    """A straight run of ink in a small picture; of the picture's transpose, where it is steep."""

    steep: bool
    start: int  # first column
    stop: int  # last column
    row: float  # at column 0
    slope: float

    @property
    def ends(self) -> np.ndarray:
        """Row and column of both ends (2, 2)."""
        columns = np.array([self.start, self.stop])
        ends = np.stack([self.row + self.slope * columns, columns], 1)
        return ends[:, ::-1] if self.steep else ends


def _length(line: _Line) -> float:
    return float(np.hypot(*(line.ends[1] - line.ends[0])))


def remove_lines(ink_HxW: np.ndarray, before: Sequence[_Line] = ()) -> np.ndarray:
    """Take out straight lines that reach past the glyph, and the boxes that they make.

    Takes out as few of the longest lines as it takes until all of them reach past what is left,
    and looks again; where they never do, they are the glyph's own strokes and stay.

    Args:
      ink_HxW: float32, 0 where there is no ink.
      before: lines that were taken out last.
    """
    factor = math.ceil(max(ink_HxW.shape) / _SIDE)
    small_HxW = shrink(ink_HxW > 0, factor)
    lines = _find_lines(small_HxW) if min(small_HxW.shape) >= 8 else []
    pixels = [_pixels(small_HxW, line, 1) for line in lines]
    for count in range(1, len(lines) + 1):
        # Some of the glyph's strokes may be longer than a side of the box.
        for chosen in itertools.combinations(range(min(count + _STROKES, len(lines))), count):
            rest_HxW = small_HxW & ~np.any([pixels[i] for i in chosen], axis=0)
            found = [lines[i] for i in chosen]
            if _reach_past(found, before, rest_HxW):
                found_HxW = np.any([_pixels(ink_HxW > 0, line, factor) for line in found], axis=0)
                rest_HxW = np.where(found_HxW, 0, ink_HxW)
                if found_HxW.any() and rest_HxW.any():
                    return remove_lines(_without_ends(rest_HxW), found)
    return ink_HxW


def _without_ends(ink_HxW: np.ndarray) -> np.ndarray:
    """The ink without bars that touch the picture's edge, such as ends of lines, unless all are."""
    labels_HxW = label(ink_HxW > 0, connectivity=2)
    ends = [
        piece.label
        for piece in regionprops(labels_HxW)
        if piece.label in ring(labels_HxW)
        and piece.axis_minor_length < 0.2 * piece.axis_major_length
    ]
    inner_HxW = np.where(np.isin(labels_HxW, ends), 0, ink_HxW)
    return inner_HxW if inner_HxW.any() else ink_HxW


def _find_lines(ink_HxW: np.ndarray) -> list[_Line]:
    """Straight lines, the longest first."""
    around = [np.flatnonzero(ink_HxW.any(axis)) for axis in (0, 1)]
    shortest = max(5, 0.6 * min(np.ptp(places) for places in around))
    lines: list[_Line] = []
    while len(lines) < _MOST_LINES:
        _, line = max(_longest_line(ink_HxW, False), _longest_line(ink_HxW.T, True))
        found_HxW = _pixels(ink_HxW, line, 1)
        if _length(line) < shortest or not found_HxW.any():
            break
        if found_HxW.sum() < _THICKEST * _length(line) ** 2:
            lines.append(line)
        ink_HxW = ink_HxW & ~found_HxW
    return lines


def shrink(ink_HxW: np.ndarray, factor: int) -> np.ndarray:
    """Ink in blocks of factor × factor pixels."""
    padded = np.pad(ink_HxW, [(0, -side % factor) for side in ink_HxW.shape])
    height, width = (side // factor for side in padded.shape)
    return np.any(padded.reshape(height, factor, width, factor), axis=(1, 3))


def _longest_line(ink_HxW: np.ndarray, steep: bool) -> tuple[float, _Line]:
    """The longest run of ink along all lines of slope -1 to 1, which may wobble by a pixel."""
    height, width = ink_HxW.shape
    slopes = np.arange(-width, width + 1, 4) / width
    above = width // 2 + 1
    rises_WxS = np.round(slopes * (np.arange(width)[:, None] - width / 2)).astype(int) + above
    thick_HxW = ndimage.binary_dilation(ink_HxW, np.ones((3, 1)))
    thick_WxRxH, ink_WxRxH = (
        sliding_window_view(np.pad(x, ((above, above), (0, 0))), height, axis=0).swapaxes(0, 1)
        for x in (thick_HxW, ink_HxW)
    )
    run_SxH, longest_SxH, middle_SxH = np.zeros((3, len(slopes), height), np.int16)
    for column, rises_S in enumerate(rises_WxS):
        run_SxH += 1
        run_SxH *= thick_WxRxH[column, rises_S]
        np.maximum(longest_SxH, run_SxH, out=longest_SxH)
        middle_SxH += ink_WxRxH[column, rises_S]
    # Of the lines in a thick stroke, the one in its middle.
    scores_SxH = longest_SxH * np.sqrt(1 + slopes[:, None] ** 2) + 2 * middle_SxH
    best, row = (int(i) for i in np.unravel_index(scores_SxH.argmax(), scores_SxH.shape))
    gaps = np.flatnonzero(~thick_WxRxH[np.arange(width), rises_WxS[:, best], row])
    gaps = np.concatenate([[-1], gaps, [width]])
    run = int(np.diff(gaps).argmax())
    start, stop = int(gaps[run]) + 1, int(gaps[run + 1]) - 1
    slope = float(slopes[best])
    line = _Line(steep, start, stop, float(row - slope * width / 2), slope)
    return float(scores_SxH[best, row]), line


def _pixels(ink_HxW: np.ndarray, line: _Line, factor: int) -> np.ndarray:
    """The pixels of a line in a picture `factor` times smaller, save where it crosses thick ink."""
    if line.steep:
        return _pixels(ink_HxW.T, line._replace(steep=False), factor).T
    height, width = ink_HxW.shape
    columns = np.arange(line.start * factor, min((line.stop + 1) * factor, width))
    middle = np.round((line.row + 0.5) * factor + line.slope * columns).astype(int)
    offsets = np.arange(-8 * factor, 8 * factor + 1)[:, None]
    rows = middle + offsets
    strip = ink_HxW[rows.clip(0, height - 1), columns] & (rows >= 0) & (rows < height)
    distance = np.where(strip, abs(offsets), 9 * factor)
    nearest = distance.argmin(0)
    gaps = np.cumsum(~strip, 0)
    run = strip & (gaps == gaps[nearest, np.arange(columns.size)])
    run &= distance.min(0) <= 2 * factor
    thickness = run.sum(0)
    usual = np.median(thickness[thickness > 0]) if thickness.any() else 0
    run &= thickness <= 1.5 * usual + 1
    found_HxW = np.zeros_like(ink_HxW)
    found_HxW[rows[run], np.broadcast_to(columns, run.shape)[run]] = True
    return found_HxW


def _reach_past(lines: Sequence[_Line], before: Sequence[_Line], rest_HxW: np.ndarray) -> bool:
    """Whether lines are none of the glyph's strokes, given what is left without them."""
    pieces = regionprops(label(_without_ends(rest_HxW), connectivity=2))
    extent = max((max(piece.image.shape) for piece in pieces), default=0)
    large = [piece for piece in pieces if max(piece.image.shape) >= max(_SPECK * extent, 3)]
    if extent < 6 or not large:
        return False
    rest = np.concatenate([piece.coords for piece in large])
    extent = np.ptp(rest, axis=0).max() + 1
    margin = max(1, 0.03 * extent)
    narrow, long = np.linalg.eigvalsh(np.cov(rest.T))  # squares of its extents
    is_bar = narrow < 0.25**2 * long
    last = np.array(rest_HxW.shape) - 1
    cropped = np.min([rest, last - rest]) < max(2, 0.05 * min(last))
    for line in lines:
        others = [other for other in lines if other is not line]
        start, stop = line.ends
        direction = (stop - start) / _length(line)
        along, across = (rest - start) @ direction, (rest - start) @ [-direction[1], direction[0]]
        past = np.array([along.min(), _length(line) - along.max()])
        meets = np.array([_meets(end, others, 3) or _meets(end, before, 1.5) for end in line.ends])
        if not np.all(meets | (past >= margin)) or (is_bar and past.max() < margin):
            return False
        # A side of a box, or a line from side to side of the picture, or one that underlines.
        shortest = min(map(_length, [*lines, *before]))
        outside = not before or min(across.max(), -across.min()) < 0.12 * extent
        if meets.all() and len(lines) + len(before) >= 4 and outside and extent > 0.4 * shortest:
            continue
        border = max(1, 0.03 * max(rest_HxW.shape))
        to_edge = np.minimum(line.ends, last - line.ends).min(1)
        spans = _length(line) > 0.7 * min(rest_HxW.shape) and np.all(to_edge <= border)
        if spans and not cropped and past.min() >= 0.15 * extent:
            continue
        flat = not line.steep and abs(line.slope) < 0.3
        if not flat or is_bar or past.min() < 0.15 * extent or _length(line) < 1.2 * extent:
            return False
    return True


def _meets(point: np.ndarray, lines: Sequence[_Line], reach: float) -> bool:
    return any(_distance(point, line) <= reach for line in lines)


def _distance(point: np.ndarray, line: _Line) -> float:
    """From a point to the nearest one of a line, in pixels."""
    start, stop = line.ends
    share = np.clip((point - start) @ (stop - start) / max(_length(line), 1) ** 2, 0, 1)
    return float(np.hypot(*(point - start - share * (stop - start))))
