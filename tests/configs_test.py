"""Every experiment in configs/: it can be built, and its smoke run goes through the motions."""

import importlib
import math
from pathlib import Path

import jax
import pytest

from crnn_jax import parallel
from crnn_jax.config import check
from crnn_jax.errors import UserError
from crnn_jax.train import Trainer

CONFIGS = sorted((Path(__file__).parents[1] / "configs").glob("*.py"))


@pytest.fixture(params=CONFIGS, ids=lambda path: path.stem)
def get_config(request):
    """`get_config` of each config file."""
    return importlib.import_module(f"configs.{request.param.stem}").get_config


@pytest.fixture(autouse=True)
def quick_compilation():
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


def test_there_are_configs():
    assert {"sum8", "sum8_2016"} <= {path.stem for path in CONFIGS}


@pytest.mark.parametrize("backend", ["cpu", "gpu"])
def test_can_be_trained_as_it_is_on_one_device(get_config, backend):
    check(get_config(), 1, backend)
    check(get_config("smoke"), 1, backend)


def test_smoke_trains_two_dispatches(get_config, optdigits, monkeypatch):
    config = get_config("smoke")
    one_device = jax.devices()[:1]
    monkeypatch.setattr(parallel, "devices", lambda: one_device)
    check(config, 1, "cpu")
    assert config.train.steps == 2 * config.train.steps_per_dispatch
    trainer = Trainer(config, optdigits)
    state = parallel.replicate(trainer.initial_state())
    before = jax.device_get(parallel.local(state).params)
    for _, source in zip(range(2), trainer.feed.sources(0), strict=False):
        state, metrics = trainer.dispatch(state, parallel.local_devices(), source)
        assert all(math.isfinite(loss) for loss in parallel.local(metrics)["loss"].tolist())
    assert int(parallel.local(state).step) == config.train.steps
    after = jax.device_get(parallel.local(state).params)
    assert all(jax.tree.leaves(jax.tree.map(lambda a, b: (a != b).any(), before, after)))


def test_an_unknown_variant_is_refused(get_config):
    with pytest.raises(UserError, match=r"FILE:smok: expected FILE, or FILE:smoke"):
        get_config("smok")


def test_the_files_folder_can_be_given_in_the_environment(get_config, monkeypatch):
    monkeypatch.setenv("CRNN_JAX_MANUAL_DIR", "/given")
    assert get_config().data.manual_dir == "/given"
    monkeypatch.delenv("CRNN_JAX_MANUAL_DIR")
    assert get_config().data.manual_dir == ""
