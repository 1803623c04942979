"""Separating ink from paper, whatever the light and whatever lies beside the sheet."""

import itertools

import numpy as np
from PIL import Image
from scipy import ndimage
from skimage.measure import label, regionprops

from crnn_jax import UserError
from crnn_jax.pictures.grey import ring
from crnn_jax.pictures.lines import remove_lines
from crnn_jax.pictures.sheet import (
    EIGHT,
    find_tables,
    hugs_edge,
    shrink_factor,
    shrunk,
    touched_sides,
)

_THICKEST = 0.4  # of the short side: darker or brighter parts that are wider are uneven light
_FAINTEST = 0.06  # contrast below which nothing is ink; that of pencil on paper is 0.3
LARGE = 0.125  # of the largest piece's extent: what is smaller is dust
_EDGE = 0.2  # of the ink's contrast: what is fainter is paper


def find_ink(grey_HxW: np.ndarray, name: str) -> np.ndarray:
    """Find how much ink there is at each pixel.

    What lies beside the sheet, the lines and boxes of a form and specks of dust are no ink.

    Args:
      grey_HxW: brightness in 0..1.
      name: what errors call the picture.

    Returns:
      float32 (H, W) in 0..1: 0 for paper, 1 for full ink.

    Raises:
      UserError: there is no ink, or it cannot be told from what reaches the picture's edge.
    """
    nothing_HxW = np.zeros(grey_HxW.shape, bool)
    for beside_HxW in itertools.chain(find_tables(grey_HxW), [nothing_HxW]):
        ink_HxW = _ink_of(grey_HxW, beside_HxW, name)
        if ink_HxW.any():
            return remove_lines(ink_HxW).astype(np.float32)
    raise UserError(f"{name}: no ink to be seen, expected a glyph darker or brighter than paper")


def _ink_of(grey_HxW: np.ndarray, beside_HxW: np.ndarray, name: str) -> np.ndarray:
    contrast_HxW, visible_HxW = _contrast(grey_HxW, beside_HxW)
    while True:
        labels_HxW, full = _pieces(contrast_HxW, visible_HxW)
        foreign = _beside_the_glyph(labels_HxW, name)
        if not foreign:
            large = large_pieces(labels_HxW)
            ink_HxW = np.clip(contrast_HxW / full, 0, 1) * np.isin(labels_HxW, list(large))
            return ink_HxW.astype(np.float32)
        # With the soft edges, too: they would be the next faint ink.
        foreign_HxW = ndimage.binary_dilation(
            np.isin(labels_HxW, foreign), EIGHT, iterations=2 + min(grey_HxW.shape) // 100
        )
        visible_HxW = visible_HxW & ~foreign_HxW
        contrast_HxW = np.where(foreign_HxW, 0, contrast_HxW)


def _contrast(grey_HxW: np.ndarray, beside_HxW: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How much darker than paper each pixel is, of what it can be, and where that is no noise."""
    paper_HxW, dark_ink = _paper(grey_HxW, beside_HxW)
    if dark_ink:
        grey_HxW, paper_HxW = 1 - grey_HxW, 1 - paper_HxW
    difference_HxW = ndimage.gaussian_filter(grey_HxW - paper_HxW, min(grey_HxW.shape) / 500)
    difference_HxW[beside_HxW] = 0
    # The noise of a normal distribution.
    noise = np.percentile(np.abs(difference_HxW[~beside_HxW]), 25) / 0.3186
    # In dim light ink and paper differ by less: a share of what they can differ by.
    light_HxW = np.maximum(1 - paper_HxW, 0.25)
    contrast_HxW = difference_HxW / light_HxW
    return contrast_HxW, contrast_HxW > np.maximum(_FAINTEST, 8 * noise / light_HxW)


def _pieces(contrast_HxW: np.ndarray, visible_HxW: np.ndarray) -> tuple[np.ndarray, float]:
    """Labels of what hangs together, and the contrast of full ink."""
    visible = contrast_HxW[visible_HxW]
    full = float(np.percentile(visible, 90)) if visible.size else np.inf
    # What is faint counts close to clear ink only: edges do, smudges and ruled lines do not.
    ink_HxW = ndimage.binary_dilation(
        contrast_HxW > full / 2,
        EIGHT,
        iterations=1 + min(contrast_HxW.shape) // 50,
        mask=contrast_HxW > _EDGE * full,
    )
    return label(ink_HxW, connectivity=2), full


def _beside_the_glyph(labels_HxW: np.ndarray, name: str) -> list[int]:
    """Labels of pieces that are not the glyph's: what hugs the edge, and what is drawn around."""
    shape = labels_HxW.shape
    if min(shape) < 8:  # a strip of ink alone
        return []
    pieces = [p for p in regionprops(labels_HxW) if max(p.image.shape) >= 0.05 * min(shape)]
    hugging = [p.label for p in pieces if hugs_edge(labels_HxW == p.label)]
    if hugging and len(hugging) < len(pieces):
        return hugging
    for piece in pieces:
        along = max(touched_sides(labels_HxW == piece.label)) > 0.9
        cropped = np.all(np.divide(piece.image.shape, shape) > 0.93)  # the picture, to the glyph
        if not cropped and (piece.label in hugging or along):
            raise UserError(
                f"{name}: something reaches along the picture's edge and cannot be told from the "
                "glyph, expected paper all around it; cut it off"
            )
    return _enclosures(pieces, labels_HxW)


def _enclosures(pieces: list, labels_HxW: np.ndarray) -> list[int]:
    """Labels of the pieces that are drawn around others, such as boxes and circles."""
    found = []
    for piece in pieces:
        inside = labels_HxW[piece.slice][piece.image_filled & ~piece.image]
        labels, least = set(inside[inside > 0]), min(piece.image.shape) / 5
        boxes = [p.bbox for p in pieces if p.label in labels and max(p.image.shape) >= least]
        # A row of glyphs counts as one.
        if (
            boxes
            and np.max(np.max(boxes, 0)[2:] - np.min(boxes, 0)[:2]) >= max(piece.image.shape) / 3
        ):
            found.append(piece.label)
    return found


def _paper(grey_HxW: np.ndarray, beside_HxW: np.ndarray) -> tuple[np.ndarray, bool]:
    """The brightness of the paper behind each pixel, and whether the ink is darker."""
    edge = ring(grey_HxW)[~ring(beside_HxW)]
    edge = edge if edge.size else grey_HxW[~beside_HxW]
    border = np.median(edge)
    if np.percentile(np.abs(edge - border), 60) < 1 / 255:  # ink may touch it
        return np.full_like(grey_HxW, border), bool(
            np.sum((grey_HxW - border)[~beside_HxW] ** 3) < 0
        )
    height, width = grey_HxW.shape
    small_HxW = shrunk(grey_HxW)
    if beside_HxW.any():  # the sheet goes on there
        beside_HxW = shrunk(beside_HxW.astype(np.float32)) > 0
        at = ndimage.distance_transform_edt(beside_HxW, return_distances=False, return_indices=True)
        small_HxW = small_HxW[tuple(at)]
    side = min(small_HxW.shape)
    # Ink is the minority nearly everywhere, so it is where the brightness's third moment points
    # to; gradients and straight edges of shadows have none.
    mean, square, cube = (ndimage.gaussian_filter(small_HxW**n, 0.12 * side) for n in (1, 2, 3))
    dark_ink = bool(np.sum(cube - 3 * mean * square + 2 * mean**3) < 0)
    # Closing fills what is dark and narrow and keeps gradients and wide shadows as they are, at
    # the border, too, where the picture is continued by its outermost pixels.
    size = round(_THICKEST * side) | 1
    wide = ndimage.gaussian_filter(np.pad(small_HxW, size, mode="edge"), 1)  # noise would add up
    wide = (ndimage.grey_closing if dark_ink else ndimage.grey_opening)(wide, (size, size))
    paper_HxW = wide[size:-size, size:-size]
    # One pixel more all around, so that gradients go on to the very border.
    image = Image.fromarray(np.pad(paper_HxW, 1, mode="reflect", reflect_type="odd"))
    factor = shrink_factor(grey_HxW)
    box = (1, 1, 1 + width / factor, 1 + height / factor)
    paper_HxW = image.resize((width, height), Image.Resampling.BILINEAR, box)
    return np.asarray(paper_HxW), dark_ink


def large_pieces(labels_HxW: np.ndarray) -> dict[int, tuple[slice, slice]]:
    """The rows and columns of each piece that is no speck, by its label.

    What is wider than high may be several glyphs that touch: its height counts.
    """
    boxes = enumerate(ndimage.find_objects(labels_HxW), 1)
    pieces = {piece: box for piece, box in boxes if box is not None}
    extents = {piece: max(side.stop - side.start for side in box) for piece, box in pieces.items()}
    largest = [min(extents[i], 2 * (box[0].stop - box[0].start)) for i, box in pieces.items()]
    smallest = LARGE * max(largest, default=0)
    return {piece: box for piece, box in pieces.items() if extents[piece] >= smallest}
