"""Every experiment in configs/: it can be built, and its smoke run goes through the motions."""

import ast
import dataclasses
import math
import re
from pathlib import Path

import jax
import pytest

from crnn_jax import UserError, tasks
from crnn_jax.config import check, load_config
from crnn_jax.data.dataset import known_info
from crnn_jax.distributed import devices
from crnn_jax.train.batching import check_batching
from crnn_jax.train.trainer import Trainer
from tests.golden_test import LOSSES_AND_FIRST_GRADIENT_NORM
from tests.networks import random_state
from tests.sequences import dataset
from tests.tiny import takes_long

FILES = sorted((Path(__file__).parents[1] / "configs").glob("*.py"))


def variants(file):
    """`file` and `file:NAME` for each variant of its own, which a wrong name makes it list."""
    with pytest.raises(UserError) as refusal:
        load_config(f"{file}:no such variant", [])
    names = re.findall(r"FILE:(\w+)", str(refusal.value).partition("expected")[2])
    assert names.pop() == "smoke"
    return [str(file), *(f"{file}:{name}" for name in names)]


def smoke(experiment):
    return load_config(f"{experiment},smoke" if ":" in experiment else f"{experiment}:smoke", [])


def kind(value):
    """A config, or part of one, but for its sizes and where its data is."""
    match value:
        case {"manual_dir": _, **data}:
            kept = [data[name] for name in ("feed", "augment")]
            return frozenset(map(kind, kept))
        case dict():
            return frozenset((name, kind(part)) for name, part in value.items())
        case tuple():
            return frozenset(map(kind, value))
        case bool() | str():
            return value
    return value != 0


EXPERIMENTS = [experiment for file in FILES for experiment in variants(file)]
KINDS = {kind(smoke(experiment).to_dict()): experiment for experiment in reversed(EXPERIMENTS)}
TRIED = [
    experiment
    for experiment in KINDS.values()
    if Path(experiment).name.removesuffix(".py") not in LOSSES_AND_FIRST_GRADIENT_NORM
]


@pytest.fixture(params=EXPERIMENTS, ids=lambda experiment: Path(experiment).name)
def experiment(request):
    """Each config file and each of its variants, as --config takes it."""
    return request.param


def test_there_are_configs_and_variants():
    names = {Path(experiment).name for experiment in EXPERIMENTS}
    assert {"sum8.py", "sum8_2016.py", "sum4.py", "sum4.py:relu", "product4.py:mse"} <= names
    assert {"depth.py:sigmoid3", "depth.py:relu1", "letters.py:all"} <= names


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_a_config_takes_nothing_from_another_so_that_tuning_one_changes_one(file):
    imported = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom):
            imported.add(node.module)
        elif isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
    assert "crnn_jax.config" in imported
    assert not {name.rpartition(".")[2] for name in imported} & {other.stem for other in FILES}


@pytest.mark.parametrize("backend", ["cpu", "gpu"])
def test_can_be_trained_as_it_is_on_one_device(experiment, backend):
    for config in (load_config(experiment, []), smoke(experiment)):
        check(config)
        check_batching(config, 1, backend)


def test_every_variant_changes_something():
    found = {load_config(experiment, []).to_json() for experiment in EXPERIMENTS}
    # depth.py alone is its relu1, mnist_add.py alone its n1.
    assert len(found) == len(EXPERIMENTS) - 2


OF_OTHERS_PARTS = ("addition.py", "deep_sets.py")
OF_OTHERS_PARTS += ("nau.py", "nau.py:reference", "nmu.py", "nmu.py:reference")


def marked(experiment):
    """An experiment to try: what is made of the parts of others by make test-cluster alone."""
    name = Path(experiment).name
    return pytest.param(experiment, marks=takes_long if name in OF_OTHERS_PARTS else (), id=name)


@pytest.mark.parametrize("experiment", [marked(experiment) for experiment in TRIED])
def test_smoke_trains_two_dispatches(experiment, optdigits, monkeypatch):
    """One experiment of those that differ in sizes alone, but for those of golden_test.py."""
    config = smoke(experiment)
    one_device = jax.devices()[:1]
    monkeypatch.setattr(devices, "all_devices", lambda: one_device)
    assert config.train.steps == 2 * config.train.steps_per_dispatch
    kinds = 1
    if not tasks.is_stored(config):  # one sequence of each length
        drawn = tasks.COMPOSED[config.task.name].drawn
        kinds = drawn(0, config.task.min_length, config.task.max_length, 1).period
    config.train.batch_size = config.train.micro_batch_size = kinds
    if tasks.is_stored(config):
        data, kind = config.data, tasks.wanted_answer(config)
        of_line = ("line", 24, (data.height, data.strip, 1))
        corpus = dataset(*of_line) if data.strip else dataset(kind, shape=(40, 40, 1))
    else:  # the digits of 8x8 stand in for all images, so that nothing is downloaded
        corpus = dataclasses.replace(optdigits, info=known_info(config.data.name))
    trainer = Trainer(config, corpus)
    before = random_state(trainer)
    state = devices.replicate(before)
    for _, source in zip(range(2), trainer.feed.sources(0), strict=False):
        state, metrics = trainer.dispatch(state, devices.device_inputs(), source)
        assert all(math.isfinite(loss) for loss in devices.unreplicate(metrics)["loss"].tolist())
    assert int(devices.unreplicate(state).step) == config.train.steps
    after = jax.device_get(devices.unreplicate(state).params)
    changed = jax.tree.map(lambda a, b: bool((a != b).any()), before.params, after)["params"]
    if config.init.frozen:
        assert not any(jax.tree.leaves(changed.pop("encoder")))
    changed.get("answer_head", {}).pop(
        "log_temperature", None
    )  # of the head ctc, set after training
    assert all(jax.tree.leaves(changed))


def test_the_files_folder_can_be_given_in_the_environment(experiment, monkeypatch):
    monkeypatch.setenv("CRNN_JAX_MANUAL_DIR", "/given")
    assert load_config(experiment, []).data.manual_dir == "/given"
    monkeypatch.delenv("CRNN_JAX_MANUAL_DIR")
    assert load_config(experiment, []).data.manual_dir == ""
