"""Cutting glyphs out of ink, and giving them the size and place that MNIST's have."""

import math

import numpy as np
from PIL import Image
from scipy import ndimage
from scipy.sparse.csgraph import connected_components
from skimage.measure import label

from crnn_jax import UserError
from crnn_jax.pictures.ink import large_pieces
from crnn_jax.pictures.lines import shrink
from crnn_jax.pictures.sheet import enlarged

FRAME, BOX = 28, 20  # side in pixels: of a frame, and of what its glyph is fitted into
_WORKING_SIDE = 128  # pixels at which the gaps between pieces are measured
_MOST_PIECES = 20  # of one glyph
_SPECK = 0.08  # of the largest mark's area
_STROKE = 1.7  # pixels of a frame; nine tenths of the digits of MNIST have thicker strokes


def center_glyph(ink_HxW: np.ndarray) -> np.ndarray:
    """Scale and place a glyph as those of MNIST were.

    "The original black and white images were size normalized to fit in a 20×20 pixel box while
    preserving their aspect ratio", with anti-aliasing, and "centered in a 28×28 image by
    computing the center of mass of the pixels, and translating the image so as to position this
    point at the center" (LeCun, Cortes & Burges, "The MNIST database"; LeCun et al. 1998, section
    III.A). MNIST's own frames come through unchanged. Strokes of large glyphs that would be
    thinner than 1.7 pixels, as few of MNIST's are, are thickened to that.

    Args:
      ink_HxW: float32 in 0..1, 0 where there is no ink; somewhere there is.

    Returns:
      uint8 (28, 28).
    """
    glyph_HxW = crop(ink_HxW)
    glyph_HxW = thickened(glyph_HxW, max(glyph_HxW.shape) / BOX)
    scale = BOX / max(glyph_HxW.shape)
    height, width = (max(1, round(scale * side)) for side in glyph_HxW.shape)
    image = Image.fromarray(glyph_HxW).resize((width, height), Image.Resampling.BICUBIC)
    scaled_HxW = np.clip(np.asarray(image), 0, 1)
    y, x = ndimage.center_of_mass(scaled_HxW)
    top = min(max(round(FRAME / 2 - y), 0), FRAME - height)
    left = min(max(round(FRAME / 2 - x), 0), FRAME - width)
    frame_HxW = np.zeros((FRAME, FRAME), np.uint8)
    frame_HxW[top : top + height, left : left + width] = np.round(255 * scaled_HxW)
    return frame_HxW


def crop(ink_HxW: np.ndarray) -> np.ndarray:
    """The rectangle that holds the ink."""
    return ink_HxW[ndimage.find_objects((ink_HxW > 0).astype(np.uint8))[0]]


def thickened(ink_HxW: np.ndarray, scale: float) -> np.ndarray:
    """The ink with strokes of 1.7 pixels of a frame at least; `scale` of its pixels make one."""
    solid = ink_HxW > ink_HxW.max() / 2
    # In a stroke of width w the mean distance to its edge is (w + 2) / 4 pixels, near enough.
    width = 4 * np.mean(ndimage.distance_transform_edt(solid)[solid]) - 2
    reach = (_STROKE * scale - width) / 2
    if reach <= 0:
        return ink_HxW
    ink_HxW, solid = (np.pad(array, math.ceil(reach) + 1) for array in (ink_HxW, solid))
    grown = np.clip(reach + 1 - ndimage.distance_transform_edt(~solid), 0, 1)
    return crop(np.maximum(ink_HxW, grown.astype(np.float32)))


def find_marks(ink_HxW: np.ndarray) -> list[np.ndarray]:
    """Find the groups of pieces that are too far apart to be one glyph, but for specks.

    A piece belongs to another across a break in the stroke, and one of less than half its height
    across a wider gap, such as the bar of a 5.

    Returns:
      The ink of each mark alone, of the same shape.
    """
    factor = math.ceil(max(ink_HxW.shape) / _WORKING_SIDE)
    labels_HxW = label(shrink(ink_HxW > 0, factor), connectivity=2)
    boxes = ndimage.find_objects(labels_HxW)
    near = np.eye(len(boxes), dtype=bool)
    for i, box in enumerate(boxes[:_MOST_PIECES]):
        distance_HxW = ndimage.distance_transform_edt(labels_HxW != i + 1)
        for j, its_box in enumerate(boxes[:i]):
            heights = sorted([_length(box[0]), _length(its_box[0])])
            widest = 0.12 if _shared(box[1], its_box[1]) > 0.5 else 0.08
            if heights[0] < heights[1] / 2:
                widest = 0.3
            gap = distance_HxW[labels_HxW == j + 1].min() - 1
            near[i, j] = gap <= widest * max(map(_length, (*box, *its_box)))
    count, marks = connected_components(near)
    of_pixel_HxW = np.concatenate([[-1], marks])[labels_HxW]
    areas = np.bincount(of_pixel_HxW[of_pixel_HxW >= 0], minlength=count)
    found = []
    for mark in np.flatnonzero(areas > _SPECK * areas.max()):
        found.append(np.where(enlarged(of_pixel_HxW == mark, factor, ink_HxW.shape), ink_HxW, 0))
    return found


def _shared(one: slice, other: slice) -> float:
    """The overlap of two spans as a share of the shorter one."""
    shared = min(one.stop, other.stop) - max(one.start, other.start)
    return shared / min(_length(one), _length(other))


def _length(span: slice) -> int:
    return span.stop - span.start


def split_row(ink_HxW: np.ndarray) -> list[np.ndarray]:
    """Cut a row of glyphs into single ones: pieces of ink that hang together, specks left out.

    Pieces that lie over one another, by more than half of the narrower one's width, are of one
    glyph, such as a 5 with its bar apart. Glyphs that touch are not separated.

    Args:
      ink_HxW: float32 in 0..1, 0 where there is no ink.

    Returns:
      The glyphs from left to right, each float32 with a size of its own.

    Raises:
      UserError: there is no ink.
    """
    labels_HxW = label(ink_HxW > 0, connectivity=2)
    pieces = large_pieces(labels_HxW)
    if not pieces:
        raise UserError("found no glyph to split off, expected a picture with ink")
    glyphs: list[tuple[int, int, list[int]]] = []  # left, right, labels of the pieces
    for piece, (_, columns) in sorted(pieces.items(), key=lambda item: item[1][1].start):
        if glyphs:
            left, right, labels = glyphs[-1]
            if _shared(slice(left, right), columns) > 0.5:
                glyphs[-1] = (left, max(right, columns.stop), [*labels, piece])
                continue
        glyphs.append((columns.start, columns.stop, [piece]))
    return [
        crop(np.where(np.isin(labels_HxW[:, left:right], labels), ink_HxW[:, left:right], 0))
        for left, right, labels in glyphs
    ]
