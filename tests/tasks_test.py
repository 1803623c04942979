import itertools
import math

import jax
import numpy as np
import pytest

from crnn_jax.tasks import TASKS, Running

RUNNING = [name for name, task in TASKS.items() if isinstance(task, Running)]


def answer(name, labels):
    """The right number of a whole sequence."""
    return {"sum": sum(labels), "product": math.prod(labels), "classify": [0, *labels][-1]}[name]


def test_there_are_tasks():
    assert {"sum", "product", "classify"} <= set(RUNNING)


@pytest.mark.parametrize("name", ["sum", "product", "classify"])
def test_answers_after_every_frame_begin_anew_at_each_start(name):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, (9, 5)).astype(np.int32)
    starts = rng.random((9, 5)) < 0.3
    starts[0] = True
    found = jax.jit(TASKS[name].answers)(labels, starts)
    assert found.dtype == np.int32
    for t, n in np.ndindex(9, 5):
        first = max(s for s in range(t + 1) if starts[s, n])
        assert found[t, n] == answer(name, labels[first : t + 1, n].tolist())


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("sum", range(9)),
        ("product", [0, 1, 2, 3, 4, 6, 8, 9, 12, 16, 18, 24, 27, 36, 54, 81]),
        ("classify", range(4)),
    ],
)
def test_numbers_are_all_that_can_be_reached(name, expected):
    digits, max_length = (3, 4) if name == "sum" else (4, 4)
    found = TASKS[name].numbers(digits, max_length)
    np.testing.assert_array_equal(found, list(expected))
    ways = itertools.chain(
        *(itertools.product(range(digits), repeat=n) for n in range(1, max_length + 1))
    )
    reached = {answer(name, way) for way in ways} | {TASKS[name].first}
    assert reached == set(found.tolist())


@pytest.mark.parametrize("name", ["sum", "product", "classify"])
def test_mean_is_that_of_all_sequences(name):
    labels, lengths = np.array([1, 1, 2, 5, 0, 9]), np.array([1, 3, 3, 4])
    means = [
        np.mean([answer(name, way) for way in itertools.product(labels.tolist(), repeat=n)])
        for n in lengths
    ]
    assert TASKS[name].mean(labels, lengths) == pytest.approx(np.mean(means), rel=1e-12)


def test_only_glyphs_have_no_measure():
    assert {name for name in RUNNING if not TASKS[name].measures} == {"classify"}
