from collections import defaultdict

import jax
import numpy as np
import pytest

from crnn_jax.model.beam import EMPTY, compact, search

find = jax.jit(search, static_argnums=2)


def prefix_beam(log_probs_LxV, beam):
    """Prefix beam search in plain Python: probabilities of ending in a blank, and not."""
    probs_LxV, blank = np.exp(log_probs_LxV.astype(np.float64)), log_probs_LxV.shape[1] - 1
    prefixes = {(): (1.0, 0.0)}
    for probs_V in probs_LxV:
        longer = defaultdict(lambda: [0.0, 0.0])
        for prefix, (in_blank, in_symbol) in prefixes.items():
            longer[prefix][0] += (in_blank + in_symbol) * probs_V[blank]
            for symbol in range(blank):
                if prefix and prefix[-1] == symbol:
                    longer[prefix][1] += in_symbol * probs_V[symbol]
                    longer[*prefix, symbol][1] += in_blank * probs_V[symbol]
                else:
                    longer[*prefix, symbol][1] += (in_blank + in_symbol) * probs_V[symbol]
        best = sorted(longer, key=lambda prefix: -sum(longer[prefix]))[:beam]
        prefixes = {prefix: longer[prefix] for prefix in best}
    return next(iter(prefixes))


@pytest.mark.parametrize(("beam", "classes"), [(2, 4), (5, 3), (4, 12)])
def test_it_finds_what_plain_python_finds(beam, classes):
    lengths = np.random.default_rng(0).integers(0, 21, 40)
    logits = np.random.default_rng(1).normal(0, 1.5, (40, 20, classes)).astype(np.float32)
    log_probs = np.asarray(jax.nn.log_softmax(logits))
    found = np.asarray(find(log_probs, lengths, beam))
    expected = [prefix_beam(x[:length], beam) for x, length in zip(log_probs, lengths, strict=True)]
    assert [tuple(row[row != EMPTY].tolist()) for row in found] == expected
    assert max(map(len, expected)) > 5
    assert min(lengths) == 0


def test_symbols_move_to_the_front():
    written = np.array([[EMPTY, 3, EMPTY, 0], [EMPTY] * 4, [1, 1, 2, 0]])
    np.testing.assert_array_equal(
        jax.jit(compact)(written), [[3, 0, EMPTY, EMPTY], [EMPTY] * 4, [1, 1, 2, 0]]
    )
