"""Reading a run back: its network, its parameters to the bit, and what is said of a bad folder."""

import dataclasses
import json

import jax
import numpy as np
import pytest

from crnn_jax import UserError
from crnn_jax.config.checks import differences
from crnn_jax.data.dataset import known_info
from crnn_jax.model import crnn
from crnn_jax.runs.checkpoint import Checkpoints
from crnn_jax.runs.load import restore
from crnn_jax.train.trainer import Trainer

SCORES = {4: 0.5, 8: 0.25, 12: 0.75}  # lower is better


@pytest.fixture
def config(tiny_config):
    tiny_config.model.convs = ()
    return tiny_config


def random_states(config, corpus):
    """What training would save at each step: random numbers in place of what it computes."""
    shapes = jax.eval_shape(Trainer(config, corpus).fresh_state)

    def state(step):
        rng = np.random.default_rng(step)
        return jax.tree.map(lambda x: np.asarray(rng.normal(0, 0.3, x.shape), x.dtype), shapes)

    return {step: state(step) for step in SCORES}


@pytest.fixture
def states(config, optdigits):
    return random_states(config, optdigits)


@pytest.fixture
def notes(config, optdigits):
    return {
        "config": json.loads(config.to_json()),
        "corpus": optdigits.identity,
        "clock": {},
    }


@pytest.fixture
def save(tmp_path, states, notes):
    """Saves checkpoints in the folder of a run, and returns that."""

    def save(states=states, notes=notes):
        folder = tmp_path / "run"
        with Checkpoints(folder / "checkpoints", keep_latest=3, keep_best=1) as checkpoints:
            for step, state in states.items():
                checkpoints.save(step, state, notes, SCORES[step])
        return folder

    return save


def assert_refused(folder, message):
    with pytest.raises(UserError, match=message) as error:
        restore(folder)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("which", "step"), [("latest", 12), ("best", 8), (4, 4)])
def test_the_parameters_of_a_step_come_back_to_the_bit(which, step, save, states):
    restored = restore(save(), which)
    assert restored.step == step
    expected = states[step].params
    assert jax.tree.structure(restored.params) == jax.tree.structure(expected)
    jax.tree.map(
        lambda a, b: np.testing.assert_array_equal(a, b, strict=True), restored.params, expected
    )


def test_the_network_is_that_of_the_run(save, config, optdigits):
    restored = restore(save())
    assert restored.network == crnn.build(config, digits=10)
    assert differences(restored.config.to_dict(), config) == []
    assert (restored.corpus, restored.dataset) == (optdigits.identity, optdigits.info)


def test_a_corpus_has_its_own_number_of_classes(save, notes, config, optdigits):
    letters = dataclasses.replace(optdigits, info=known_info("emnist/letters:0123"))
    notes |= {"corpus": "emnist/letters:0123"}
    restored = restore(save(random_states(config, letters), notes))
    assert restored.dataset == letters.info
    assert restored.network.digits == 26


def test_a_folder_without_a_run_stays_as_it_is(tmp_path):
    for folder in (tmp_path, tmp_path / "new"):
        assert_refused(folder, f"^no run in {folder}: expected the --workdir of a run$")
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_has_saved_nothing_yet(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    assert_refused(tmp_path, "^no checkpoint in .*: train first, or name another folder$")


def test_a_step_that_was_not_saved(save):
    with pytest.raises(UserError, match=r"no checkpoint 5 in .* one of the steps 4, 8, 12$"):
        restore(save(), 5)


def test_the_config_of_a_version_without_a_field(save, notes):
    del notes["config"]["model"]["decoder"]
    assert_refused(save(), r"^the config of the run in .*/run lacks model\.decoder: expected ")


def test_the_config_of_a_version_with_another_field(save, notes):
    notes["config"]["model"]["attention"] = 4
    assert_refused(save(), r"^the config of the run in .*/run has model\.attention, which nothing ")


def test_a_value_that_is_no_longer_known(save, notes):
    notes["config"]["model"]["head"] = "mean"
    assert_refused(save(), r"model\.head=mean: expected last or cumulative or marginal")


NOT_OURS = r"^step \d+ in .*/checkpoints is no checkpoint of this program$"


def test_a_checkpoint_without_parameters(save):
    assert_refused(save(states={4: {"step": np.zeros((), np.int32)}}), NOT_OURS)


@pytest.mark.parametrize("missing", ["config", "corpus"])
def test_a_checkpoint_without_notes(save, notes, missing):
    del notes[missing]
    assert_refused(save(), NOT_OURS)


def test_a_corpus_that_is_not_known(save, notes):
    folder = save(notes=notes | {"corpus": "svhn:0123"})
    assert_refused(folder, r"of the corpus svhn:0123, which .* expected mnist or ")


def test_parameters_of_another_form_than_the_config(save, notes):
    notes["config"]["model"]["recurrent"] = [8]
    assert_refused(save(), r"^the parameters of step 12 in .* are not those of its config: ")
