"""Starting from a run that reads another alphabet: what is known of a symbol goes with it."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from crnn_jax import shown


def carried(trained: Any, fresh: Any, old: Sequence[str], new: Sequence[str]) -> Any:
    """A trained head for lines, with the symbols of another alphabet.

    Its kernels and biases have the classes on their last axis, the blank behind the symbols.

    Args:
      trained: parameters of the head.
      fresh: of the new one, which symbols start from that `trained` does not know; their shapes
        alone will do.
      old: symbols of the trained one.
      new: of the new one.

    Returns:
      The parameters; shapes where `fresh` has no more. Those of another form stay as they are.
    """
    numbers = {symbol: i for i, symbol in enumerate(old)}
    place_V = np.array([*(numbers.get(symbol, -1) for symbol in new), len(old)])

    def carry(leaf: Any, begun: Any) -> Any:
        if leaf.shape[-1:] != (len(old) + 1,) or begun.shape != (*leaf.shape[:-1], len(place_V)):
            return leaf
        if isinstance(begun, jax.ShapeDtypeStruct):
            return begun
        return np.where(place_V >= 0, np.asarray(leaf)[..., place_V], np.asarray(begun))

    if jax.tree.structure(trained) != jax.tree.structure(fresh):
        return trained
    return jax.tree.map(carry, trained, fresh)


def changes(old: Sequence[str], new: Sequence[str]) -> str:
    """Which symbols are new and which are no longer there, in words."""
    added, dropped = ("".join(x for x in a if x not in b) for a, b in ((new, old), (old, new)))
    parts = ((f"new {shown(added)}", added), (f"no longer {shown(dropped)}", dropped))
    return "; ".join(words for words, there in parts if there)
