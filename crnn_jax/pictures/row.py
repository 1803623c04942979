"""Rows of glyphs in pictures: as training has them, or cut into single glyphs."""

import math
from typing import NamedTuple

import numpy as np
from PIL import Image
from scipy import ndimage
from scipy.sparse.csgraph import connected_components
from skimage.measure import label

from crnn_jax import UserError
from crnn_jax.pictures.glyphs import BOX, crop, split_row, thickened
from crnn_jax.pictures.ink import find_ink, large_pieces

_SMALL = 0.4  # of the usual height: such pieces are dots, bars and dust, and make no row
_NEAR = 4  # usual heights between neighbours of a row
_SHARED = 0.35  # of the lower one's height, that neighbours of a row share at least
_BESIDE = 0.3  # usual heights above or below a row, where small pieces belong to it
_UNDERLINE = 2.5, 0.25  # usual heights: its width at least, its height at most
_LEVEL = 0.02, 0.6  # slopes up to this count as level, and what few glyphs have by chance
_STEEPEST = 0.35  # slope of a row
_TALLEST = 0.75  # share of a row's columns whose glyphs are lower: descenders and blots are not
_WIDEST = 1.3  # heights, that a glyph may have; of two of MNIST that touch 4 in 5 are wider
_MARGIN = 4  # pixels on the left and right


class Row(NamedTuple):
    """A row as it is read, bright on black, and where it stands in the picture.

    Attributes:
      pixels_HxW: uint8.
      left, pixel: column of the picture where the pixels begin, and columns that one pixel spans.
    """

    pixels_HxW: np.ndarray
    left: float
    pixel: float


def row_of(grey_HxW: np.ndarray, name: str, height: int) -> Row:
    """Find the row of glyphs in a picture.

    A row that rises or falls is turned, and scaled so that most of its glyphs are as high as
    MNIST's, or that all of it fits. Thin strokes are thickened as those of single glyphs are
    (`center_glyph`).

    Args:
      grey_HxW: brightness in 0..1.
      name: what errors call the picture.
      height: of what is read, in pixels.

    Raises:
      UserError: there is no ink, or there are several rows or glyphs above one another.
    """
    ink_HxW = _only_row(find_ink(grey_HxW, name), name)
    columns = np.flatnonzero(ink_HxW.any(axis=0))
    ink_HxW = _level(crop(ink_HxW))
    usual = _glyph_height(ink_HxW)
    ink_HxW = thickened(ink_HxW, usual / BOX)
    scale = min(BOX / usual, (height - 2) / len(ink_HxW))
    size = [max(1, round(scale * side)) for side in ink_HxW.shape]
    image = Image.fromarray(ink_HxW).resize((size[1], size[0]), Image.Resampling.BICUBIC)
    row_HxW = np.clip(np.asarray(image), 0, 1)
    middle, _ = ndimage.center_of_mass(row_HxW)
    top = min(max(round(height / 2 - middle - 0.5), 1), height - 1 - size[0])
    pixels_HxW = np.zeros((height, size[1] + 2 * _MARGIN), np.uint8)
    pixels_HxW[top : top + size[0], _MARGIN:-_MARGIN] = np.round(255 * row_HxW)
    pixel = (columns[-1] + 1 - columns[0]) / size[1]
    return Row(pixels_HxW, columns[0] - _MARGIN * pixel, pixel)


def split(grey_HxW: np.ndarray, name: str) -> list[np.ndarray]:
    """Cut the row of glyphs in a picture into single ones (`split_row`).

    Raises:
      UserError: see `row_of`; or glyphs touch or cross, as far as their width tells.
    """
    ink_HxW = _only_row(find_ink(grey_HxW, name), name)
    glyphs, usual = split_row(ink_HxW), _glyph_height(crop(ink_HxW))
    for i, glyph_HxW in enumerate(glyphs, 1):
        share = glyph_HxW.shape[1] / max(len(glyph_HxW), usual)
        if share > _WIDEST:
            raise UserError(
                f"{name}: glyph {i} of {len(glyphs)} is {share:.1f} times as wide as glyphs are "
                "high, as several are that touch or cross: expected gaps to split at; a network of "
                "configs/rows.py reads such rows whole"
            )
    return glyphs


def _only_row(ink_HxW: np.ndarray, name: str) -> np.ndarray:
    """The ink of the one row that there is, without dust and underlines."""
    labels_HxW = label(ink_HxW > 0, connectivity=2)
    pieces = large_pieces(labels_HxW)
    boxes_Nx4 = np.array([[y.start, y.stop, x.start, x.stop] for y, x in pieces.values()])
    tall = np.diff(boxes_Nx4[:, :2])[:, 0]
    usual = np.median(tall[2 * tall >= tall.max()])
    is_small = tall < _SMALL * usual
    rows_Rx4 = _rows(boxes_Nx4[~is_small], usual)
    if len(rows_Rx4) > 1:
        raise UserError(
            f"{name}: found {len(rows_Rx4)} lines of ink, or glyphs above one another, expected "
            "one line; cut it out"
        )
    ((top, bottom, *_),) = rows_Rx4
    beside = _BESIDE * usual
    outside = (boxes_Nx4[:, 1] < top - beside) | (boxes_Nx4[:, 0] > bottom + beside)
    wide = np.diff(boxes_Nx4[:, 2:])[:, 0]
    underlines = (wide > _UNDERLINE[0] * usual) & (tall < _UNDERLINE[1] * usual)
    kept = np.array([*pieces])[~(is_small & outside) & ~underlines]
    return np.where(np.isin(labels_HxW, kept), ink_HxW, 0)


def _rows(boxes_Nx4: np.ndarray, usual: float) -> np.ndarray:
    """The boxes of rows, from those of their pieces: top, bottom, left and right."""
    # First neighbours, which a slope moves little; then what is far apart, but no higher.
    for near, shared in ((_NEAR * usual, _SHARED), (math.inf, 0.5)):
        top, bottom, left, right = boxes_Nx4.T
        height = bottom - top
        common_NxN = np.minimum.outer(bottom, bottom) - np.maximum.outer(top, top)
        gap_NxN = np.maximum.outer(left, left) - np.minimum.outer(right, right)
        beside_NxN = common_NxN >= shared * np.minimum.outer(height, height)
        beside_NxN &= (gap_NxN <= near) & ((near < math.inf) | (gap_NxN > 0))
        count, row_of_N = connected_components(beside_NxN)
        members = [boxes_Nx4[row_of_N == i] for i in range(count)]
        boxes_Nx4 = np.array(
            [[x[:, 0].min(), x[:, 1].max(), x[:, 2].min(), x[:, 3].max()] for x in members]
        )
    return boxes_Nx4


def _level(ink_HxW: np.ndarray) -> np.ndarray:
    """The ink turned so that the row is level, if it is long enough to tell."""
    y, x = np.nonzero(ink_HxW)
    weight = ink_HxW[y, x]
    slope = np.polynomial.Polynomial.fit(x, y, 1, w=np.sqrt(weight)).convert().coef[1]
    chance = _LEVEL[1] * (_glyph_height(ink_HxW) / ink_HxW.shape[1]) ** 1.5
    if not max(_LEVEL[0], chance) < abs(slope) < _STEEPEST:
        return ink_HxW
    turned = Image.fromarray(np.pad(ink_HxW, 1)).rotate(
        math.degrees(math.atan(slope)), Image.Resampling.BICUBIC, expand=True
    )
    return crop(np.clip(np.asarray(turned), 0, 1))


def _glyph_height(ink_HxW: np.ndarray) -> float:
    """How high the glyphs of a row are, in pixels, without knowing where one ends."""
    columns = np.flatnonzero(ink_HxW.any(axis=0))
    ink_HxW = ink_HxW > 0
    top = np.where(ink_HxW.any(axis=0), ink_HxW.argmax(axis=0), len(ink_HxW))
    bottom = np.where(ink_HxW.any(axis=0), len(ink_HxW) - ink_HxW[::-1].argmax(axis=0), 0)
    usual = float(len(ink_HxW))
    for _ in range(2):  # about the width of a glyph around each column
        window = 2 * int(usual / 6) + 1
        lowest = ndimage.maximum_filter1d(bottom, window, mode="nearest")
        highest = ndimage.minimum_filter1d(top, window, mode="nearest")
        usual = float(np.quantile((lowest - highest)[columns], _TALLEST))
    return max(usual, 1.0)
