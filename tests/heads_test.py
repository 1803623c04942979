import jax
import jax.numpy as jnp
import numpy as np
import pytest

from crnn_jax.model.classes import Classes
from crnn_jax.model.heads import Cumulative, Last, Value
from crnn_jax.model.marginal import Marginal
from crnn_jax.tasks.number import LAST, PRODUCT, SUM
from tests.networks import LANES, apply_head, random_hidden, sequences_so_far


def dense(params):
    return random_hidden() @ params["kernel"] + params["bias"]


def test_last_is_a_dense_unit():
    output, params = apply_head(Last())
    expected = dense(params["value"])[..., 0]
    np.testing.assert_allclose(output.value_TxN, expected, rtol=1e-5, atol=1e-6)


def test_cumulative_sums_a_dense_unit_from_each_start():
    output, params = apply_head(Cumulative(SUM))
    shares = dense(params["value"])[..., 0]
    for t, n, steps in sequences_so_far():
        expected = sum(shares[s, n] for s in steps)
        np.testing.assert_allclose(output.value_TxN[t, n], expected, rtol=1e-5, atol=1e-6)


def test_cumulative_multiplies_where_products_are_asked():
    output, params = apply_head(Cumulative(PRODUCT))
    factors = dense(params["value"])[..., 0]
    for t, n, steps in sequences_so_far():
        expected = np.prod([factors[s, n] for s in steps])
        np.testing.assert_allclose(output.value_TxN[t, n], expected, rtol=1e-5, atol=1e-6)


def test_a_value_is_its_estimate_and_answers_the_nearest_whole_number():
    output = Value(jnp.array([[1.4, 2.6], [-0.7, 3.0]]))
    answers = output.answers()
    np.testing.assert_array_equal(answers.estimate, output.value_TxN)
    np.testing.assert_array_equal(answers.answer, [[1, 3], [-1, 3]])
    assert answers.answer.dtype == jnp.int32
    assert answers.confidence is None
    np.testing.assert_allclose(
        output.loss(np.array([[1, 2], [0, 3]])), [[0.16, 0.36], [0.49, 0]], rtol=1e-5
    )


@pytest.mark.parametrize(
    "head",
    [Last(), Cumulative(SUM), *(Marginal(x, 3, 4) for x in (SUM, PRODUCT, LAST)), Classes(3)],
    ids=["last", "cumulative", "sum", "product", "last class", "class"],
)
def test_reads_bfloat16_states_in_float32(head):
    hidden = random_hidden(jnp.bfloat16)
    output, params = jax.eval_shape(
        lambda key: head.init_with_output(key, hidden, LANES), jax.random.key(0)
    )
    assert {x.dtype for x in jax.tree.leaves((output, params))} == {np.dtype(np.float32)}
    exact, _ = apply_head(head, hidden.astype(np.float32))
    found, _ = apply_head(head, hidden)
    jax.tree.map(np.testing.assert_array_equal, found, exact)
