"""Reading a run back: its network, its parameters to the bit, and starting another from it."""

import dataclasses
import json

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

from crnn_jax import UserError, tasks
from crnn_jax.config import differences
from crnn_jax.distributed import devices
from crnn_jax.model import crnn
from crnn_jax.runs.checkpoint import Checkpoints
from crnn_jax.runs.load import restore, start_from
from crnn_jax.runs.steps import StoredSteps
from crnn_jax.train.trainer import Trainer
from tests.networks import random_params, random_state

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
def metadata(config, optdigits):
    return {
        "config": json.loads(config.to_json()),
        "dataset": optdigits.info.to_json(),
        "clock": {},
    }


@pytest.fixture
def save(tmp_path, states, metadata):
    """Saves checkpoints in the folder of a run, and returns that."""

    def save(states=states, metadata=metadata):
        folder = tmp_path / "run"
        with Checkpoints(folder / "checkpoints", keep_latest=3, keep_best=1) as checkpoints:
            for step, state in states.items():
                checkpoints.save(step, state, metadata, SCORES[step])
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
    task = tasks.build(config, optdigits.info)
    assert restored.network == crnn.build(config.model, task.question)
    assert differences(restored.config.to_dict(), config) == []
    assert (restored.task, restored.dataset) == (task, optdigits.info)


def test_a_data_set_has_its_own_classes(save, metadata, config, optdigits):
    info = dataclasses.replace(optdigits.info, name="letters", classes=(*"abc",))
    metadata |= {"dataset": info.to_json()}
    restored = restore(save(random_states(config, dataclasses.replace(optdigits, info=info))))
    assert restored.dataset == info


def test_the_first_edition_said_only_the_identity_of_the_data(save, metadata, optdigits):
    del metadata["dataset"]
    metadata["corpus"] = optdigits.identity
    assert restore(save()).dataset == optdigits.info


def test_only_the_step_asked_for_is_checked_and_its_parameters_read(save, states):
    folder = save()
    for path in (folder / "checkpoints" / "12").rglob("*"):
        if path.is_file():
            path.write_bytes(b"damaged")
    assert restore(folder, 8).step == 8
    with StoredSteps(folder / "checkpoints") as steps:
        assert list(steps.restore(8, part="params")[1]) == ["params"]


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


def test_the_config_of_a_version_with_another_field(save, metadata):
    metadata["config"]["model"]["attention"] = 4
    assert_refused(save(), r"^the config of the run in .*/run has model\.attention, which nothing ")


def test_a_value_that_is_no_longer_known(save, metadata):
    metadata["config"]["model"]["head"] = "mean"
    assert_refused(save(), r"model\.head=mean: expected last or cumulative or marginal")


def test_a_checkpoint_without_parameters(save):
    step = {4: {"step": np.zeros((), np.int32)}}
    assert_refused(save(states=step), r"checkpoints/4 cannot be read \(it holds no params\)$")


@pytest.mark.parametrize("missing", ["config", "dataset"])
def test_a_checkpoint_without_metadata(save, metadata, missing):
    del metadata[missing]
    assert_refused(save(), "^the run in .* has no checkpoint of this program: ")


@pytest.mark.parametrize(
    ("known", "message"),
    [
        ({"corpus": "svhn:0123"}, "the run in .* svhn:0123 is unknown, expected"),
        ({"dataset": {"name": "svhn"}}, "^the run in .* does not describe its data set"),
    ],
)
def test_a_data_set_that_is_not_known(save, metadata, known, message):
    del metadata["dataset"]
    assert_refused(save(metadata=metadata | known), message)


def test_parameters_of_another_form_than_the_config(save, metadata):
    metadata["config"]["model"]["gru_units"] = [8]
    message = r"^the run in .*: the parameters of step 12 are not those of its config \(params/"
    assert_refused(save(), message)


def tree(value, encoder=(2, 3)):
    return {
        "params": {
            "encoder": {"kernel": np.full(encoder, value, np.float32)},
            "answer_head": {"bias": np.full(4, value, np.float32)},
        }
    }


@pytest.fixture
def other_run(tmp_path):
    """Folder of a run whose parameters are all 7."""
    with Checkpoints(tmp_path / "other" / "checkpoints", keep_latest=1, keep_best=0) as checkpoints:
        checkpoints.save(3, {"params": tree(7.0)}, {}, None)
    return str(tmp_path / "other")


def settings(workdir, part="encoder"):
    return ConfigDict({"workdir": workdir, "part": part, "frozen": False})


def test_no_folder_changes_nothing():
    mine = tree(1.0)
    assert start_from(settings(""), mine) is mine


@pytest.mark.parametrize(("part", "head"), [("encoder", 1.0), ("all", 7.0)])
def test_takes_the_part_that_is_named(other_run, part, head):
    found = start_from(settings(other_run, part), tree(1.0))["params"]
    assert (found["encoder"]["kernel"] == 7).all()
    assert (found["answer_head"]["bias"] == head).all()


def test_another_form_is_one_line_that_names_it(other_run):
    message = r"of another form \(encoder/kernel was saved as .*2, 3\], .*2, 4\]\): expected"
    with pytest.raises(UserError, match=message) as error:
        start_from(settings(other_run), tree(1.0, encoder=(2, 4)))
    assert "\n" not in str(error.value)


def test_a_network_for_other_classes_starts_from_the_encoder(save, config, optdigits):
    """Of a run that added ten digits, for the head that names one of three classes."""
    config.model.dense = (8,)
    states = random_states(config, optdigits)
    folder = save(states)
    config.task.name, config.model.head = "class", "class"
    config.model.gru_units = (5,)
    info = dataclasses.replace(optdigits.info, name="pets", classes=("cat", "dog", "emu"))
    question = tasks.build(config, info).question
    fresh = random_params(crnn.parameter_shapes(crnn.build(config.model, question), question))
    found = start_from(settings(str(folder)), fresh)["params"]
    encoder = states[12].params["params"]["encoder"]
    jax.tree.map(np.testing.assert_array_equal, found.pop("encoder"), encoder)
    assert found["answer_head"]["class"]["kernel"].shape == (5, 3)
    for name, part in found.items():
        jax.tree.map(np.testing.assert_array_equal, part, fresh["params"][name])


@pytest.mark.parametrize(("features", "channels"), [(2, 1), (4, 3)])
def test_an_encoder_of_another_form_is_one_line_that_says_which(
    tmp_path, metadata, config, optdigits, features, channels
):
    def params(features, channels):
        config.model.convs, config.model.dense = ((features, 3, True),), (8,)
        info = dataclasses.replace(optdigits.info, frame_shape=(28, 28, channels))
        question = tasks.build(config, info).question
        return random_params(crnn.parameter_shapes(crnn.build(config.model, question), question))

    other = params(4, 1)
    metadata["config"] = json.loads(config.to_json())
    with Checkpoints(tmp_path / "checkpoints", keep_latest=1, keep_best=0) as checkpoints:
        checkpoints.save(1, {"params": other}, metadata, None)
    with pytest.raises(UserError) as error:
        start_from(settings(str(tmp_path)), params(features, channels))
    message = str(error.value)
    assert "convs/conv0_" in message
    assert "that run has frames of 28x28x1 and model.convs=((4, 3, True),), model.dense" in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("folder", "message"),
    [
        (".", "workdir=. holds no run: expected"),
        ("none", "workdir=none holds no run: expected"),
        ("x" * 300, "xxx holds no run: expected"),
        ("~nobody-here/x", "~nobody-here/x: no such home folder"),
    ],
)
def test_a_folder_without_a_run_is_one_line(tmp_path, monkeypatch, folder, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message):
        start_from(settings(folder), tree(0.0))


@pytest.mark.parametrize("frozen", [False, True])
def test_training_starts_there_and_leaves_what_is_frozen(tiny_config, optdigits, tmp_path, frozen):
    tiny_config.model.convs, tiny_config.model.dense = (), (8,)
    params = random_state(Trainer(tiny_config, optdigits)).params
    with Checkpoints(tmp_path / "checkpoints", keep_latest=1, keep_best=0) as checkpoints:
        checkpoints.save(1, {"params": params}, {}, None)
    tiny_config.init.workdir = str(tmp_path)
    tiny_config.init.frozen = frozen
    tiny_config.train.weight_decay = 0.1
    tiny_config.train.ema = 0.5  # of what is frozen the average is the same
    trainer = Trainer(tiny_config, optdigits)
    state = devices.replicate(trainer.initial_state())
    start = jax.device_get(devices.unreplicate(state).params["params"])
    jax.tree.map(np.testing.assert_array_equal, start["encoder"], params["params"]["encoder"])
    source = next(trainer.feed.sources(0))
    state, _ = trainer.dispatch(state, devices.device_inputs(), source)
    end = jax.device_get(devices.unreplicate(state).params["params"])
    same = jax.tree.map(lambda a, b: bool((a == b).all()), start, end)
    assert all(jax.tree.leaves(same["encoder"])) == frozen
    assert not any(jax.tree.leaves(same["answer_head"]))
