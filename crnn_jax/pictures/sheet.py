"""Finding the sheet in a picture: what lies beside it hugs the picture's edge."""

import itertools
from collections.abc import Iterator

import numpy as np
from PIL import Image
from scipy import ndimage
from skimage.measure import label, perimeter, regionprops

EIGHT = np.ones((3, 3))  # pixels that touch at a corner are connected, too
_SHORT_SIDE = 48  # pixels at which surfaces are told apart
_NEAR = 0.03  # of the picture's side: what is so close to the edge touches it
_HUGS = 0.45  # share of a piece's outline at the edge; that of a straight table is half or more
_SMALLEST_TABLE = 0.004  # of the picture
_STEP = 0.55  # brightness of a dark table over that of the sheet; shadows are brighter


def touched_sides(piece_HxW: np.ndarray) -> np.ndarray:
    """Which shares of the picture's upper, lower, left and right side a piece touches."""
    near = max(1, round(_NEAR * min(piece_HxW.shape)))
    turned_WxH = piece_HxW.T
    bands = [piece_HxW[:near], piece_HxW[-near:], turned_WxH[:near], turned_WxH[-near:]]
    return np.array([band.any(0).mean() for band in bands])


def hugs_edge(piece_HxW: np.ndarray) -> bool:
    """Whether much of a piece's outline is the picture's edge: a table, a scanner's column."""
    height, width = piece_HxW.shape
    contact = touched_sides(piece_HxW) @ [width, width, height, height]
    return bool(contact > 0 and contact >= _HUGS * perimeter(piece_HxW))


def shrink_factor(grey_HxW: np.ndarray) -> int:
    """By how much a picture is shrunk to look at surfaces."""
    return max(1, min(grey_HxW.shape) // _SHORT_SIDE)


def shrunk(grey_HxW: np.ndarray) -> np.ndarray:
    """The mean brightness of blocks of pixels."""
    return np.asarray(Image.fromarray(grey_HxW).reduce(shrink_factor(grey_HxW)))


def enlarged(mask_HxW: np.ndarray, factor: int, shape: tuple[int, ...]) -> np.ndarray:
    """Each pixel as a block of factor × factor, cut to the shape."""
    whole_HxW = np.repeat(np.repeat(mask_HxW, factor, 0), factor, 1)
    return whole_HxW[: shape[0], : shape[1]]


def find_tables(grey_HxW: np.ndarray) -> Iterator[np.ndarray]:
    """Find what may lie beside a sheet: areas of another brightness, with a sharp edge.

    Yields:
      bool (H, W), True there.
    """
    small_HxW = shrunk(grey_HxW)
    dark, bright = np.percentile(small_HxW, [2, 98])
    # Uneven light can join the table to parts of the sheet at one threshold, not at all of them.
    for share, is_bright in itertools.product([0.5, 0.4, 0.6, 0.3, 0.7], [False, True]):
        side_HxW = (small_HxW > dark + share * (bright - dark)) == is_bright
        labels_HxW = label(side_HxW, connectivity=1)
        areas = [labels_HxW == i for i in range(1, labels_HxW.max() + 1)]
        tables = [x for x in areas if x.mean() > _SMALLEST_TABLE and hugs_edge(x)]
        sheet_HxW = _sheet(~np.any(tables, axis=0), small_HxW) if tables else None
        if sheet_HxW is not None:
            table_HxW = ndimage.binary_dilation(~sheet_HxW, EIGHT)
            if not table_HxW.all():
                yield enlarged(table_HxW, shrink_factor(grey_HxW), grey_HxW.shape)


def _sheet(rest_HxW: np.ndarray, small_HxW: np.ndarray) -> np.ndarray | None:
    """The rest of a picture, if it is a sheet: large, convex, nearly rectangular, and no shadow."""
    labels_HxW = label(rest_HxW, connectivity=1)
    sheet = max(regionprops(labels_HxW), key=lambda piece: piece.area, default=None)
    if sheet is None or sheet.area_filled < 0.15 * rest_HxW.size or sheet.solidity < 0.9:
        return None
    y, x = np.nonzero(sheet.image_convex)
    turns = np.linspace(0, np.pi / 2, 30)[:, None]
    sides = x * np.cos(turns) + y * np.sin(turns), y * np.cos(turns) - x * np.sin(turns)
    boxes = (np.ptp(sides[0], 1) + 1) * (np.ptp(sides[1], 1) + 1)
    if sheet.area_convex < 0.85 * boxes.min():
        return None
    sheet_HxW = labels_HxW == sheet.label
    inner = small_HxW[sheet_HxW & ndimage.binary_dilation(~rest_HxW, EIGHT, iterations=2)]
    outer = small_HxW[~rest_HxW & ndimage.binary_dilation(sheet_HxW, EIGHT, iterations=2)]
    for pair in (inner, outer), (small_HxW[sheet_HxW], small_HxW[~rest_HxW]):
        darker, brighter = sorted(np.median(values) for values in pair)
        if darker >= _STEP * brighter:
            return None
    return ndimage.binary_fill_holes(sheet_HxW)
