"""The 1,797 handwritten digits that come with scikit-learn, brought into MNIST's form."""

from pathlib import Path

import numpy as np

from crnn_jax.data.sources.source import DIGITS, Source
from crnn_jax.data.split import Split, cut

_SMALL, _BOX, _FRAME = 8, 20, 28  # side in pixels: original, enlarged, with its black margin
_BRIGHTEST = 16  # of the original; 0 is black


def read(folder: Path | None = None) -> dict[str, Split]:
    """Read the digits that are bundled with scikit-learn (UCI Optdigits, test part).

    Returns:
      The splits in original order; the images are 28×28.
    """
    del folder
    from sklearn.datasets import load_digits  # 1 s, needed once per data folder

    pixels_NxP, labels_I = map(np.asarray, load_digits(return_X_y=True))
    images_IxHxW = enlarge(pixels_NxP.reshape(-1, _SMALL, _SMALL).astype(np.int32))
    return cut(images_IxHxW, labels_I, {"train": 1_297, "validation": 200, "test": 300})


def enlarge(images_Ix8x8: np.ndarray) -> np.ndarray:
    """Enlarge 8×8 images to 20×20 bilinearly and centre them in a black 28×28 frame.

    The arithmetic is of integers throughout: a rounding that fell differently on another machine
    would change the data set's identity, and a checkpoint would be refused there.

    Args:
      images_Ix8x8: int32, 0..16.

    Returns:
      uint8 (N, 28, 28), 0..255.
    """
    weights_20x8 = _bilinear_weights()
    enlarged_Ix20x20 = weights_20x8 @ images_Ix8x8 @ weights_20x8.T
    whole = _BRIGHTEST * (_BOX - 1) ** 2  # what stands for 255
    rounded_Ix20x20 = (2 * 255 * enlarged_Ix20x20 + whole) // (2 * whole)
    margin = (_FRAME - _BOX) // 2
    return np.pad(rounded_Ix20x20.astype(np.uint8), ((0, 0), (margin, margin), (margin, margin)))


def _bilinear_weights() -> np.ndarray:
    """int32 (20, 8) whose rows sum to 19: the first and last pixels of both sides coincide."""
    steps = _BOX - 1
    left, fraction = np.divmod(np.arange(_BOX) * (_SMALL - 1), steps)
    weights = np.zeros((_BOX, _SMALL + 1), np.int32)  # the last column is only ever given 0
    weights[np.arange(_BOX), left] = steps - fraction
    weights[np.arange(_BOX), left + 1] = fraction
    return weights[:, :_SMALL]


OPTDIGITS = Source(DIGITS, frame_shape=(28, 28, 1), glyphs=True, read=read)
