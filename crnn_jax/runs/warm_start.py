"""Starting a network from the parameters of another run, all of them or the encoder's."""

import os
from typing import Any

import jax
from ml_collections import ConfigDict

from crnn_jax.runs.checkpoint import Checkpoints
from crnn_jax import UserError
from crnn_jax import user_path

PARTS = ("encoder", "all")


def start_from(init: ConfigDict, params: Any) -> Any:
    """Parameters of which a part is another run's.

    Args:
      init: a config's `init` section: workdir, where "" leaves all as it is, and part.
      params: freshly initialized.

    Raises:
      UserError: the folder holds no checkpoint, or its part has other shapes.
    """
    if not init.workdir:
        return params
    folder = user_path(init.workdir) / "checkpoints"
    if not os.path.isdir(folder):  # not `folder.is_dir`, which raises for names too long
        raise UserError(
            f"--config.init.workdir={init.workdir} holds no run: expected the folder of one"
        )
    with Checkpoints.open_to_read(folder) as checkpoints:
        _, state, _ = checkpoints.restore("latest", like=None)
    trained = state["params"]["params"]
    names = params["params"] if init.part == "all" else [init.part]
    mine = {name: params["params"][name] for name in names}
    others = {name: trained.get(name, {}) for name in (trained if init.part == "all" else names)}
    if shapes(mine) != shapes(others):
        different = sorted(shapes(mine).items() ^ shapes(others).items())
        raise UserError(
            f"--config.init.workdir={init.workdir}: its {init.part} is of another form "
            f"({different[0][0]}): expected a run with the same model section"
        )
    return {"params": {**params["params"], **others}}


def shapes(params: Any) -> dict[str, tuple[int, ...]]:
    """Shape of every parameter, by its path."""
    leaves = jax.tree_util.tree_leaves_with_path(params)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): x.shape for path, x in leaves}
