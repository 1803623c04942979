"""Starting from a run that reads another alphabet."""

import jax
import numpy as np

from crnn_jax.runs.alphabet import carried, changes


def head(symbols, seed, units=6):
    rng = np.random.default_rng(seed)
    classes = len(symbols) + 1
    return {
        "log_temperature": np.float32(seed),
        "symbol": {"bias": rng.normal(size=classes), "kernel": rng.normal(size=(units, classes))},
    }


def test_each_symbol_and_the_blank_keep_what_is_known_of_them():
    old, new = "abcd", "cxaby"
    trained, fresh = head(old, 1), head(new, 2)
    found = carried(trained, fresh, old, new)
    assert found["log_temperature"] == 1
    for name, leaf in found["symbol"].items():
        assert leaf.shape == fresh["symbol"][name].shape
        for i, symbol in enumerate([*new, "blank"]):
            known = symbol in [*old, "blank"]
            expected = trained if known else fresh
            j = [*old, "blank"].index(symbol) if known else i
            np.testing.assert_array_equal(leaf[..., i], expected["symbol"][name][..., j])


def test_the_same_alphabet_is_the_same_head():
    trained = head("abc", 1)
    jax.tree.map(
        np.testing.assert_array_equal, carried(trained, head("abc", 2), "abc", "abc"), trained
    )


def test_shapes_alone_give_shapes():
    shapes = jax.eval_shape(lambda: head("xyz", 2))
    found = carried(head("ab", 1), shapes, "ab", "xyz")
    assert jax.tree.map(np.shape, found) == jax.tree.map(np.shape, shapes)


def test_what_has_another_form_is_left_to_be_refused():
    trained = head("ab", 1, units=5)
    found = carried(trained, head("abc", 2), "ab", "abc")
    assert found["symbol"]["kernel"].shape == (5, 3)
    other = {"class": {"kernel": np.zeros((5, 3))}}
    assert carried(other, head("abc", 2), "ab", "abc") is other


def test_changes_are_told():
    assert changes("abc", "bcde") == "new de; no longer a"
    assert changes("abc", "abcd") == "new d"
    assert changes("abc", "cba") == ""
