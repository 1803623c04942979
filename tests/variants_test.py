"""Variants of a config, alone, together and mistyped."""

import pytest
from crnn_jax.config.variants import variant

from crnn_jax import UserError


def test_variants(tiny_config):
    tiny_config.train.steps = 1000
    assert variant(tiny_config, None).train.steps == 1000
    assert variant(tiny_config, "smoke").train.steps == 4
    for unknown in ("", "Smoke", "smok"):
        with pytest.raises(UserError, match=f"FILE:{unknown}: expected FILE, or FILE:smoke"):
            variant(tiny_config, unknown)


def deep(config):
    config.model.dense = (8, 8)


def relu(config):
    config.model.activation = "relu"


def test_variants_of_a_config_s_own_one_by_one_and_together(tiny_config):
    tiny_config.model.activation = "tanh"
    tiny_config.train.steps = 1000

    def changed(names):
        config = variant(tiny_config.copy_and_resolve_references(), names, deep=deep, relu=relu)
        return config.model.dense, config.model.activation, config.train.steps

    assert changed(None) == ((), "tanh", 1000)
    assert changed("deep") == ((8, 8), "tanh", 1000)
    assert changed("relu,smoke") == ((), "relu", 4)
    assert changed("deep,relu,smoke") == ((8, 8), "relu", 4)


def test_smoke_is_small_wherever_it_stands(tiny_config):
    def long(config):
        config.train.steps = 1000

    assert variant(tiny_config, "smoke,long", long=long).train.steps == 4


@pytest.mark.parametrize("names", ["rely", "relu,rely", "smoke,rely", "rely,smoke"])
def test_an_unknown_variant_is_named_with_those_there_are(tiny_config, names):
    with pytest.raises(UserError) as refusal:
        variant(tiny_config, names, deep=deep, relu=relu)
    assert str(refusal.value) == (
        "--config=FILE:rely: expected FILE, FILE:deep, FILE:relu, or FILE:smoke for a run of "
        "seconds"
    )


@pytest.mark.parametrize("names", ["relu,", ",smoke", "relu,,smoke", "relu, smoke"])
def test_an_empty_variant_is_refused(tiny_config, names):
    with pytest.raises(UserError, match=r"^--config=FILE: ?(smoke)?: expected FILE, FILE:relu, or"):
        variant(tiny_config, names, relu=relu)


def test_smoke_tests_no_long_sequences(tiny_config):
    tiny_config.eval.lengths = (1, 10, 11, 1000)
    assert variant(tiny_config, "smoke").eval.lengths == (1, 10)
