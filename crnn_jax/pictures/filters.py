"""Fixed filters as a CNN: `python -m crnn_jax.pictures.filters --help`.

The classic filters of a photo program are layers of a convolutional network whose kernels were
written down instead of learned. Here they go through the same code as the networks' layers,
`crnn_jax.model.conv`, as kernels (height, width, input channels, output channels).
"""

import contextlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from PIL import Image

from crnn_jax import UserError, did_you_mean, exit_status
from crnn_jax.arguments import Parser
from crnn_jax.data.pages import on_white, read_pages, unit
from crnn_jax.model.conv import conv, max_pool

_SEPIA_ROWS = [[0.393, 0.769, 0.189], [0.349, 0.686, 0.168], [0.272, 0.534, 0.131]]
SEPIA = np.array(_SEPIA_ROWS, np.float32).T[None, None]
"""Kernel 1x1x3x3. The rows of red and green add up to more than 1: bright pixels leave 0..1."""

_GAUSSIAN_273THS = [
    [1, 4, 7, 4, 1],
    [4, 16, 26, 16, 4],
    [7, 26, 41, 26, 7],
    [4, 16, 26, 16, 4],
    [1, 4, 7, 4, 1],
]
GAUSSIAN = np.array(_GAUSSIAN_273THS, np.float32)[..., None, None] / 273
"""Kernel 5x5x1x1, of standard deviation 1 pixel: the common table of whole numbers."""

EDGES = np.array([[[1, 1], [-1, 0]], [[0, -1], [0, 0]]], np.float32)[:, :, None]
"""Kernel 2x2x1x2: feature 0 is [1, -1] along the row, feature 1 its transpose."""

_WRITABLE = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}
_JPEG_SIDE = 65_500  # pixels at most
_BAND_PIXELS = 1 << 18  # of a photo that are filtered at once: layers hold many copies of them

NOTES = """\
filters, applied in the order given:
  sepia     the brown tones of an old photo
  gaussian  5x5 blur of each channel; 2 pixels are lost on every side
  edges     where a channel falls to the right or downwards
  pool      the largest of every 2x2 pixels: half the width and height

examples:
  python -m crnn_jax.pictures.filters photo.jpg --filters=sepia,gaussian -o out.png
  python -m crnn_jax.pictures.filters photo.jpg --filters=gaussian,edges,pool -o edges.png

The image is turned as its EXIF data says and made RGB; what is transparent becomes white. The
output carries no metadata and replaces an older file of its name, but never the image itself.
"""


@jax.jit
def sepia(frame_HxWxC: Array) -> Array:
    """Turn grey (H, W, 1) or RGB (H, W, 3) into brown tones (H, W, 3)."""
    channels = frame_HxWxC.shape[-1]
    if channels not in (1, 3):
        raise UserError(f"sepia needs 1 channel (grey) or 3 (RGB), the image has {channels}")
    return conv(jnp.repeat(frame_HxWxC, 3 // channels, axis=-1), jnp.asarray(SEPIA))


@jax.jit
def gaussian(frame_HxWxC: Array) -> Array:
    """Blur each channel by itself: (H - 4, W - 4, C)."""
    return _conv_of_each_channel(frame_HxWxC, GAUSSIAN)[..., 0]


@jax.jit
def edge_maps(frame_HxWxC: Array) -> Array:
    """How far each channel falls to the right (map 0) and downwards (map 1).

    Returns:
      (H - 1, W - 1, C, 2), after relu: 0 where it rises. `apply_filters` pads the frame with
      zeros right and below, so that it keeps its size.
    """
    return jax.nn.relu(_conv_of_each_channel(frame_HxWxC, EDGES))


@jax.jit
def edges(frame_HxWxC: Array) -> Array:
    """The larger of both `edge_maps`, which unlike their sum stays in 0..1: (H - 1, W - 1, C)."""
    maps = edge_maps(frame_HxWxC)
    return jnp.maximum(maps[..., 0], maps[..., 1])


def _conv_of_each_channel(frame_HxWxC: Array, kernel: np.ndarray) -> Array:
    """A kernel of one input channel and k features makes (height, width, C, k)."""
    planes = frame_HxWxC[..., None]
    return jax.vmap(lambda plane: conv(plane, jnp.asarray(kernel)), 2, 2)(planes)


class Filter(NamedTuple):
    """A layer with nothing to learn, which maps HxWxC without padding, and the pixels it needs."""

    layer: Callable[[Array], Array]
    window: int  # height and width of what is under one pixel of the output, in pixels
    stride: int = 1  # pixels from one window to the next
    padding: int = 0  # rows of zeros below and columns of zeros on the right, added before


FILTERS = {
    "sepia": Filter(sepia, window=1),
    "gaussian": Filter(gaussian, window=5),
    "edges": Filter(edges, window=2, padding=1),
    "pool": Filter(jax.jit(max_pool), window=2, stride=2),
}


def apply_filters(image_HxWxC: np.ndarray | Array, names: Sequence[str]) -> np.ndarray:
    """Send an image through filters, one after the other.

    Only a band of rows is filtered at once, whatever the image's size, so the memory needed is
    that of the image before and after a filter, and little more.

    Args:
      image_HxWxC: floats, black 0 and white 1; any number of channels, but 1 or 3 for 'sepia'.
      names: of the filters, in order: 'sepia', 'gaussian' (valid: 128x128 becomes 124x124),
        'edges' (same size: beyond the image is 0), 'pool' (2x2 maxima: half the size, floored).

    Returns:
      The filtered image, float32, exact to 1e-6. It is not clipped: sepia makes 1.351 of white.

    Raises:
      UserError: a name is no filter, or the image has not the form, type, channels or size that
        is needed.
    """
    _check_names(names)
    image = np.asarray(image_HxWxC)
    if image.ndim != 3 or 0 in image.shape or not jnp.issubdtype(image.dtype, jnp.floating):
        raise UserError(
            f"the image is of {image.dtype}, shape {image.shape}: expected floats, black 0 and "
            "white 1, of height, width and channels"
        )
    image = image.astype(np.float32, copy=False)
    with jax.default_matmul_precision("highest"):  # GPUs and TPUs would drop bits by default
        for name in names:
            image = _apply_in_bands(name, image)
    return image


def _apply_in_bands(name: str, image_HxWxC: np.ndarray) -> np.ndarray:
    chosen = FILTERS[name]
    height, width, _ = image_HxWxC.shape
    least = chosen.window - chosen.padding
    if min(height, width) < least:
        raise UserError(
            f"{name} needs an image of {least}×{least} pixels or more, and gets {width}×{height}: "
            "give a larger one"
        )
    more = (0, chosen.padding)
    padded = np.pad(image_HxWxC, (more, more, (0, 0))) if chosen.padding else image_HxWxC
    shape = jax.eval_shape(chosen.layer, padded).shape
    filtered = np.empty(shape, np.float32)
    rows = min(shape[0], max(1, _BAND_PIXELS // shape[1]))
    for first in range(0, shape[0], rows):
        # The last band reaches back into the one before: all have one shape, compiled once.
        first = min(first, shape[0] - rows)
        last = first + rows - 1
        under = padded[first * chosen.stride : last * chosen.stride + chosen.window]
        filtered[first : last + 1] = chosen.layer(jnp.asarray(under))
    return filtered


def main(argv: Sequence[str]) -> int:
    """Filter an image file as a command line, without the program's name, asks.

    Returns:
      The exit status: 0, or 2 after one line on stderr about a mistake of the user.

    Raises:
      SystemExit: after --help (0).
    """
    return exit_status(_run, argv)


def _run(argv: Sequence[str]) -> None:
    parser = Parser(
        "python -m crnn_jax.pictures.filters",
        "Filter an image by convolutions with fixed kernels.",
        NOTES,
    )
    parser.add_argument("image", metavar="IMAGE", type=Path, help="a picture")
    parser.add_argument("--filters", metavar="NAMES", required=True, help="separated by commas")
    parser.add_argument(
        "-o", dest="output", metavar="FILE", type=Path, required=True, help="a .png or .jpg file"
    )
    arguments = parser.parse_args(argv)
    names = [name.strip() for name in arguments.filters.split(",")]
    _check_names(names)
    _check_output(arguments.output, arguments.image)
    _, image = next(read_pages(arguments.image, "", _to_floats))
    image = apply_filters(image, names)
    _write(arguments.output, np.rint(image.clip(0, 1) * 255).astype(np.uint8))
    size = f"{image.shape[1]}×{image.shape[0]} pixels"
    print(f"wrote {arguments.output}: {size}, after {', '.join(names)}")


def _check_names(names: Sequence[str]) -> None:
    for name in names or [""]:
        if name not in FILTERS:
            hint = did_you_mean(name, FILTERS)
            raise UserError(f"{name!r} is no filter{hint}: expected some of {', '.join(FILTERS)}")


def _check_output(output: Path, image: Path) -> None:
    if output.suffix.lower() not in _WRITABLE:
        raise UserError(f"-o {output}: expected a name that ends in {', '.join(_WRITABLE)}")
    with contextlib.suppress(OSError):  # one of them is not there: reading or writing will tell
        if output.samefile(image):
            raise UserError(f"-o {output} is the image itself: name another file")


def _to_floats(image: Image.Image, name: str) -> np.ndarray:
    """The image as it is meant to be seen: HxWx3 in 0..1."""
    image = unit(image, name)
    if image.mode == "F":
        return np.repeat(np.asarray(image)[..., None], 3, axis=-1)
    return np.asarray(on_white(image).convert("RGB"), np.float32) / 255


def _write(path: Path, pixels_HxWx3: np.ndarray) -> None:
    """Write a file whole or not at all."""
    kind = _WRITABLE[path.suffix.lower()]
    if kind == "JPEG" and max(pixels_HxWx3.shape) > _JPEG_SIDE:
        raise UserError(f"-o {path}: JPEG ends at {_JPEG_SIDE} pixels a side, name a .png file")
    draft = path.with_name(f".{uuid4().hex}.tmp")
    try:
        try:
            with draft.open("xb") as file:
                Image.fromarray(pixels_HxWx3).save(file, kind, quality=95)  # quality: of JPEG
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"-o {path} cannot be written ({reason}): name another file") from error


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
