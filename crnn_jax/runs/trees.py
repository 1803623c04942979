"""Comparing the forms of two pytrees, such as a stored state and a new network's."""

from typing import Any

import jax
import numpy as np


def leaves(tree: Any) -> dict[str, Any]:
    """Leave by path; the names are the same for a NamedTuple, a dataclass and a dict."""
    found, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in found}


def difference(stored: Any, expected: Any) -> str | None:
    """The first leaf of which two trees hold another shape or dtype, in words; None if none."""
    found, wanted = leaves(stored), leaves(expected)
    for path in [*wanted, *found]:
        saved, needed = _describe(found.get(path)), _describe(wanted.get(path))
        if saved != needed:
            return f"{path} was saved as {saved}, expected {needed}"
    return None


def _describe(leaf: Any) -> str:
    return "nothing" if leaf is None else f"{np.dtype(leaf.dtype).name}{list(leaf.shape)}"
