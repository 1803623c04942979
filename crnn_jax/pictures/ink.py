"""Separating ink from paper, whatever the light."""

import numpy as np
from PIL import Image
from scipy import ndimage

from crnn_jax import UserError
from crnn_jax.pictures.grey import ring

_PAPER_SIDE = 48  # pixels of the short side where the brightness of paper is estimated
_THICKEST = 0.4  # of the short side: darker or brighter parts that are wider are uneven light
_FAINTEST = 0.06  # contrast below which nothing is ink; that of pencil on paper is 0.3
_EDGE = 0.2  # of the ink's contrast: what is fainter is paper
_SPECK = 0.125  # of the largest piece's extent: what is smaller is dust
EIGHT = np.ones((3, 3))  # pixels that touch at a corner are connected, too


def find_ink(grey_HxW: np.ndarray, name: str) -> np.ndarray:
    """How much ink there is at each pixel.

    Args:
      grey_HxW: brightness in 0..1.
      name: what errors call the picture.

    Returns:
      float32 (H, W) in 0..1: 0 for paper, 1 for full ink.

    Raises:
      UserError: there is no ink.
    """
    paper_HxW, dark_ink = _paper(grey_HxW)
    if dark_ink:
        grey_HxW, paper_HxW = 1 - grey_HxW, 1 - paper_HxW
    difference_HxW = ndimage.gaussian_filter(grey_HxW - paper_HxW, min(grey_HxW.shape) / 500)
    noise = np.percentile(np.abs(difference_HxW), 25) / 0.3186  # of a normal distribution
    # In dim light ink and paper differ by less: a share of what they can differ by.
    light_HxW = np.maximum(1 - paper_HxW, 0.25)
    contrast_HxW = difference_HxW / light_HxW
    visible = contrast_HxW[contrast_HxW > np.maximum(_FAINTEST, 8 * noise / light_HxW)]
    full = np.percentile(visible, 90) if visible.size else np.inf
    # What is faint counts close to clear ink only: edges do, smudges and ruled lines do not.
    ink_HxW = ndimage.binary_dilation(
        contrast_HxW > full / 2,
        EIGHT,
        iterations=1 + min(grey_HxW.shape) // 50,
        mask=contrast_HxW > _EDGE * full,
    )
    labels_HxW, _ = ndimage.label(ink_HxW, EIGHT)
    pieces = large_pieces(labels_HxW)
    if not pieces:
        raise UserError(
            f"{name}: no ink to be seen, expected a glyph darker or brighter than paper"
        )
    ink_HxW = np.clip(contrast_HxW / full, 0, 1) * np.isin(labels_HxW, list(pieces))
    return ink_HxW.astype(np.float32)


def _paper(grey_HxW: np.ndarray) -> tuple[np.ndarray, bool]:
    """The brightness of the paper behind each pixel, and whether the ink is darker."""
    edge = ring(grey_HxW)
    border = np.median(edge)
    if np.percentile(np.abs(edge - border), 70) < 1 / 255:  # ink may touch it
        return np.full_like(grey_HxW, border), bool(np.sum((grey_HxW - border) ** 3) < 0)
    height, width = grey_HxW.shape
    factor = max(1, min(height, width) // _PAPER_SIDE)
    small_HxW = np.asarray(Image.fromarray(grey_HxW).reduce(factor))
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
    box = (1, 1, 1 + width / factor, 1 + height / factor)
    paper_HxW = image.resize((width, height), Image.Resampling.BILINEAR, box)
    return np.asarray(paper_HxW), dark_ink


def large_pieces(labels_HxW: np.ndarray) -> dict[int, tuple[slice, slice]]:
    """The rows and columns of each piece that is no speck, by its label."""
    boxes = enumerate(ndimage.find_objects(labels_HxW), 1)
    pieces = {label: box for label, box in boxes if box is not None}
    extents = {label: max(side.stop - side.start for side in box) for label, box in pieces.items()}
    smallest = _SPECK * max(extents.values(), default=0)
    return {label: box for label, box in pieces.items() if extents[label] >= smallest}
