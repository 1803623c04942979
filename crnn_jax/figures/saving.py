"""Figures as PNG files and as images for TensorBoard."""

import contextlib
import io
import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from crnn_jax import UserError
from crnn_jax.distributed.files import write_whole
from crnn_jax.runs.folder import RunFolder
from crnn_jax.runs.metrics import Events

MOST_BYTES = 200_000
"""Of a file; a larger one gets a palette, which makes it a third to a half as large."""


def pixels(figure: Figure) -> np.ndarray:
    """A figure as it looks, height × width × RGB, uint8."""
    canvas = FigureCanvasAgg(figure)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # it is drawn as a box
        canvas.draw()
    return np.array(canvas.buffer_rgba())[..., :3]


def save(figures: Mapping[str, Figure], workdir: Path, step: int) -> list[Path]:
    """Write figures to `workdir`/figures/NAME.png and to `workdir`/tensorboard.

    Args:
      figures: by name.
      workdir: folder of a run.
      step: at which TensorBoard shows them.

    Returns:
      Paths of the files, each written whole or not at all.

    Raises:
      UserError: the folder cannot be written.
    """
    folder = RunFolder(workdir)
    images = {name: pixels(figure) for name, figure in figures.items()}
    paths = []
    try:
        folder.figures.mkdir(parents=True, exist_ok=True)
        for name, image_HxWx3 in images.items():
            paths.append(folder.figures / f"{name}.png")
            write_png(paths[-1], image_HxWx3)
        with contextlib.closing(Events(folder.tensorboard, ".figures", step)) as events:
            from tensorboardX.summary import image

            for name, image_HxWx3 in images.items():
                shown = image(f"figures/{name}", image_HxWx3, dataformats="HWC")
                events.add(step, summary=shown)
            events.flush()
    except OSError as error:
        reason = error.strerror or error
        raise UserError(
            f"no figures can be written to {workdir} ({reason}): expected a folder that you can "
            "write to"
        ) from error
    return paths


def write_png(path: Path, image_HxWx3: np.ndarray) -> None:
    """Write a PNG file whole or not at all; raises OSError where it cannot be written."""
    image = Image.fromarray(image_HxWx3)
    encoded = _encode(image)
    if len(encoded) > MOST_BYTES:
        encoded = _encode(image.quantize(dither=Image.Dither.NONE))
    write_whole(path, encoded)


def _encode(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return file.getvalue()
