"""The arrays of a pytree as a few long vectors: one operation for all of them."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict, unflatten_dict

Path = tuple[str, ...]


class Flat:
    """Puts the arrays of nested dicts into vectors, and takes the vectors apart again.

    On an accelerator the update of each array costs a kernel launch; that of a vector costs one for
    all its arrays. An optimizer's state holds arrays shaped like the parameters in places of its
    own, so both directions look for the planned structure wherever it stands in a pytree.
    """

    def __init__(self, like: Any, vector_of: Callable[[Path], Path]) -> None:
        """Plan the vectors.

        Args:
          like: nested dicts of arrays or of their shapes.
          vector_of: the path of the vector that an array goes into, by the array's own path. An
            optimizer's masks read it as they read a parameter's.
        """
        leaves: dict[Path, Any] = flatten_dict(like)
        self.shapes = {path: leaf.shape for path, leaf in leaves.items()}
        self.members: dict[Path, list[Path]] = {}
        for path in self.shapes:
            self.members.setdefault(vector_of(path), []).append(path)

    def vectors(self, tree: Any) -> Any:
        """A pytree with vectors in the place of arrays."""

        def joined(arrays: dict[Path, Any]) -> dict[Path, Any]:
            return {
                vector: jnp.concatenate([arrays[path].reshape(-1) for path in paths])
                for vector, paths in self.members.items()
            }

        return _exchange(tree, self.shapes, joined)

    def arrays(self, tree: Any) -> Any:
        """The pytree whose `vectors` these are."""

        def split(vectors: dict[Path, Any]) -> dict[Path, Any]:
            arrays = {}
            for vector, paths in self.members.items():
                start = 0
                for path in paths:
                    end = start + math.prod(self.shapes[path])
                    arrays[path] = vectors[vector][start:end].reshape(self.shapes[path])
                    start = end
            return arrays

        return _exchange(tree, self.members, split)


def _exchange(
    tree: Any, paths: dict[Path, Any], change: Callable[[dict[Path, Any]], dict[Path, Any]]
) -> Any:
    """The pytree with each part that is nested dicts of these paths changed."""
    structure = jax.tree.structure(unflatten_dict(dict.fromkeys(paths, 0)))

    def fits(part: Any) -> bool:
        return jax.tree.structure(part) == structure

    return jax.tree.map(
        lambda part: unflatten_dict(change(flatten_dict(part))) if fits(part) else part,
        tree,
        is_leaf=fits,
    )
