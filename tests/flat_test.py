import jax
import jax.numpy as jnp
import numpy as np
import pytest

from crnn_jax.config import default
from crnn_jax.model import optimizer
from crnn_jax.model.flat import Flat

SHAPES = {
    "params": {
        "encoder": {"conv0_kernel": (3, 3, 1, 2), "conv0_bias": (2,)},
        "gru_0": {"input": {"kernel": (4, 6), "bias": (6,)}, "step": {"reset_kernel": (2, 2)}},
    }
}


def random_tree(seed):
    rng = np.random.default_rng(seed)
    draw = lambda shape: jnp.asarray(rng.normal(size=shape), jnp.float32)  # noqa: E731
    return jax.tree.map(draw, SHAPES, is_leaf=lambda x: isinstance(x, tuple))


def by_size(path):
    return ("large" if path[-1] == "kernel" else "small",)


def test_arrays_come_back_from_wherever_they_stand():
    tree = {"params": random_tree(0), "moments": [random_tree(1), jnp.zeros(())]}
    flat = Flat(random_tree(2), by_size)
    vectors = flat.vectors(tree)
    assert jax.tree.map(jnp.shape, vectors) == {
        "params": {"large": (24,), "small": (30,)},
        "moments": [{"large": (24,), "small": (30,)}, ()],
    }
    found = flat.arrays(vectors)
    assert jax.tree.structure(found) == jax.tree.structure(tree)
    jax.tree.map(np.testing.assert_array_equal, found, tree)


@pytest.mark.parametrize("name", ["adam", "rmsprop", "sgd"])
@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("clip_norm", [0.0, 0.5])
def test_vectors_are_updated_as_their_arrays_are(name, frozen, clip_norm):
    config = default()
    config.train.optimizer, config.train.clip_norm = name, clip_norm
    config.train.weight_decay = 0.3
    config.init.frozen = frozen
    transformation, flat = optimizer.build(config), optimizer.flat(config, random_tree(0))

    def updates(form):
        params = form(random_tree(0))
        state = form(transformation.init(random_tree(0)))
        found = []
        for step in range(3):
            update, state = transformation.update(form(random_tree(1 + step)), state, params)
            found.append((update, state))
        return found

    expected, found = updates(lambda tree: tree), flat.arrays(updates(flat.vectors))
    assert np.any(expected[0][0]["params"]["encoder"]["conv0_kernel"]) == (not frozen)
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-9), found, expected
    )
