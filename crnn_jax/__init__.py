"""Networks that read a sequence of images and answer a question about the whole of it.

Arrays carry their shape in their name where it helps:

    B sequences     T steps of a lane     N lanes, or images of a corpus     F frames
    H, W, C         height, width and channels of a frame (a lone H after T and N: hidden units)
    D features      K numbers, or steps of a dispatch     L longest sequence     A micro-batches
    S symbols of a written answer     V symbols of its vocabulary     C chunks of an evaluation
"""

import os
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from crnn_jax.predict import Reader


def load(
    workdir: str | os.PathLike[str], step: Literal["latest", "best"] | int = "latest"
) -> "Reader":
    """Loads the trained network of a run, to be called with pictures.

    Args:
      workdir: folder of a run.
      step: "latest", "best" or a number.

    Raises:
      UserError: the folder holds no such run or checkpoint.
    """
    from crnn_jax.predict import Reader  # brings in JAX: not for --help or a mistyped flag
    from crnn_jax.restored import restore
    from crnn_jax.user_path import user_path

    return Reader(restore(user_path(workdir), step))
