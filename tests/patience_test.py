import math

import pytest

from crnn_jax.runs.patience import Patience


@pytest.mark.parametrize(
    ("scores", "limit", "taken"),
    [
        ([3, 2, 2, 2], 2, 4),  # as good is not better
        ([3, 4, 2, 4, 4, 1], 2, 5),
        ([math.nan, math.inf, 5, 5], 2, 2),
        ([5, 4, math.nan, 3], 2, None),
        ([5, 5, 5, 5], 0, None),
    ],
)
def test_is_over_after_so_many_scores_that_are_not_better(scores, limit, taken):
    patience, over = Patience(limit), None
    for number, score in enumerate(scores, 1):
        patience.take(score)
        patience = Patience.from_state(limit, patience.state())  # resumed each time
        over = over or (number if patience.is_over else None)
    assert over == taken
