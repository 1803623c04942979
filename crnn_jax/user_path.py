"""Paths as people write them."""

import os
from pathlib import Path

from crnn_jax.errors import UserError


def user_path(path: str | os.PathLike[str]) -> Path:
    """A path in which ~ stands for a home folder.

    Raises:
      UserError: no home folder is known for it.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise UserError(
            f"{path}: no such home folder: expected a path without ~, or HOME set for ~ alone"
        ) from error
