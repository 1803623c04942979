"""Pictures as grey, shrunk to what can be worked on, on paper where they are transparent."""

import math

import numpy as np
from PIL import Image
from scipy import ndimage

from crnn_jax.data.pages import unit

_WORKING_PIXELS = 2_000_000  # larger pictures are shrunk
_WORKING_SIDE = 8_000  # longer ones too: a hairline a million pixels long cannot be thickened
_DITHERED = 0.02  # share of black and white pixels that differ from those around


def grey_of(image: Image.Image, name: str) -> np.ndarray:
    """Make grey: float32 (H, W) in 0..1, at most 2 million pixels and 8,000 a side.

    What is transparent is put on a background on which it can be seen.
    """
    image = unit(image, name)
    if image.mode == "F":
        grey_HxW = np.asarray(_shrunk(image))
    elif not image.has_transparency_data:
        grey_HxW = np.asarray(_shrunk(image.convert("L")), np.float32) / 255
    else:
        pixels_HxWx2 = np.asarray(_shrunk(image.convert("RGBA")).convert("LA"), np.float32) / 255
        return _on_paper(pixels_HxWx2[..., 0], pixels_HxWx2[..., 1])
    if np.all((grey_HxW == 0) | (grey_HxW == 1)):
        around_HxW = ndimage.median_filter(grey_HxW, 3)
        if np.mean(around_HxW != grey_HxW) > _DITHERED:
            return ndimage.gaussian_filter(grey_HxW, 2)
    return grey_HxW


def _shrunk(image: Image.Image) -> Image.Image:
    """Before pixels become floats, of which there would be too many."""
    by_pixels = math.sqrt(math.prod(image.size) / _WORKING_PIXELS)
    factor = math.ceil(max(by_pixels, max(image.size) / _WORKING_SIDE))
    return image if factor == 1 else image.reduce(factor)


def _on_paper(grey_HxW: np.ndarray, opacity_HxW: np.ndarray) -> np.ndarray:
    """Put what is drawn on a background on which it can be seen."""
    drawn = opacity_HxW >= max(opacity_HxW.max() / 2, 1 / 255)
    if not drawn.any():
        return opacity_HxW
    usual = np.median(grey_HxW[drawn])
    # A piece of paper that was cut out, ink and all, goes on more paper; bare ink on its contrary.
    cut_out = np.mean(drawn) > 0.5 and np.std(grey_HxW[drawn]) > 0.05
    paper = usual if cut_out else np.round(1 - usual)
    grey_HxW = opacity_HxW * grey_HxW + (1 - opacity_HxW) * paper
    return np.pad(grey_HxW, 1, constant_values=paper) if ring(opacity_HxW).any() else grey_HxW


def ring(image_HxW: np.ndarray) -> np.ndarray:
    """The outermost pixels; those of the corners twice."""
    return np.concatenate([image_HxW[[0, -1]].ravel(), image_HxW[:, [0, -1]].ravel()])
