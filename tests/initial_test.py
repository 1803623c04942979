import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

from crnn_jax import UserError
from crnn_jax.distributed import devices
from crnn_jax.runs.checkpoint import Checkpoints
from crnn_jax.runs.warm_start import start_from
from crnn_jax.train.trainer import Trainer


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
    with pytest.raises(UserError, match=r"of another form \(encoder/kernel\): expected") as error:
        start_from(settings(other_run), tree(1.0, encoder=(2, 4)))
    assert "\n" not in str(error.value)


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
    first = Trainer(tiny_config, optdigits)
    params = jax.tree.map(lambda x: np.asarray(x) + 0.01, first.initial_state().params)
    with Checkpoints(tmp_path / "checkpoints", keep_latest=1, keep_best=0) as checkpoints:
        checkpoints.save(1, {"params": params}, {}, None)
    tiny_config.init.workdir = str(tmp_path)
    tiny_config.init.frozen = frozen
    tiny_config.train.weight_decay = 0.1
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
