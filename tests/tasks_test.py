import jax
import numpy as np

from crnn_jax.tasks import TASKS


def test_sum_is_the_running_sum_from_each_start():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, (9, 5)).astype(np.int32)
    starts = rng.random((9, 5)) < 0.3
    starts[0] = True
    found = jax.jit(TASKS["sum"])(labels, starts)
    assert found.dtype == np.int32
    for n in range(5):
        total = 0
        for t in range(9):
            total = labels[t, n] if starts[t, n] else total + labels[t, n]
            assert found[t, n] == total
