import itertools
import math

import numpy as np
import pytest

from crnn_jax.tasks.number import LAST, PRODUCT, SUM

RECURRENCES = {"sum": SUM, "product": PRODUCT, "last": LAST}
ANSWER = {"sum": sum, "product": math.prod, "last": lambda labels: [0, *labels][-1]}


@pytest.mark.parametrize(
    ("name", "classes", "expected"),
    [
        ("sum", 3, range(9)),
        ("product", 4, [0, 1, 2, 3, 4, 6, 8, 9, 12, 16, 18, 24, 27, 36, 54, 81]),
        ("last", 4, range(4)),
    ],
)
def test_numbers_are_all_that_can_be_reached(name, classes, expected):
    found = RECURRENCES[name].numbers(classes, 4)
    np.testing.assert_array_equal(found, list(expected))
    ways = itertools.chain(*(itertools.product(range(classes), repeat=n) for n in range(1, 5)))
    reached = {ANSWER[name](way) for way in ways} | {RECURRENCES[name].first}
    assert reached == set(found.tolist())


@pytest.mark.parametrize("name", RECURRENCES)
def test_mean_is_that_of_all_sequences(name):
    labels, lengths = np.array([1, 1, 2, 5, 0, 9]), np.array([1, 3, 3, 4])
    means = [
        np.mean([ANSWER[name](way) for way in itertools.product(labels.tolist(), repeat=n)])
        for n in lengths
    ]
    assert RECURRENCES[name].mean(labels, lengths) == pytest.approx(np.mean(means), rel=1e-12)


@pytest.mark.parametrize(
    ("name", "classes", "longest"),
    [("product", 10, 9), ("product", 26, 6), ("sum", 10, 1000), ("last", 10, 1000)],
)
def test_longest_is_how_many_frames_fit_into_32_bits(name, classes, longest):
    assert RECURRENCES[name].longest(classes, 1000) == longest
    most = [classes - 1] * longest
    assert ANSWER[name](most) < 2**31
    if longest < 1000:
        assert ANSWER[name]([*most, classes - 1]) >= 2**31
