"""Training on stored sequences: resumed, streamed, divided, it is the same training."""

import jax
import numpy as np
import pytest

from crnn_jax.config import default
from crnn_jax.distributed import devices
from crnn_jax.train.loop import train
from crnn_jax.train.trainer import Trainer
from tests.interrupting import interrupted_at
from tests.networks import random_state
from tests.sequences import TASK, asking_for, dataset
from tests.tiny import takes_long


@pytest.fixture
def config():
    config = default()
    config.model.encoder_dropout = config.model.state_dropout = 0.3
    config.model.aggregator = "bigru"
    config.train.update(batch_size=8, steps=8, steps_per_dispatch=2, learning_rate=1e-2)
    config.eval.every = config.checkpoint.every = 4
    return config


@pytest.mark.usefixtures("optimized")
@pytest.mark.parametrize(
    ("kind", "changes"),
    [pytest.param("class", ("shift", "flip"), marks=takes_long), ("line", ("noise",))],
)
def test_resumed_and_streamed_it_is_the_straight_run_bit_for_bit(config, kind, changes, tmp_path):
    """24 sequences are three steps: the run is resumed within an epoch."""
    asking_for(config, kind)
    config.data.augment.update(dict.fromkeys(changes, 0.5))
    straight = train(config, dataset(kind), tmp_path / "straight", profile=False)

    config.data.feed = "streamed"
    with interrupted_at(4):
        train(config, dataset(kind), tmp_path / "resumed", profile=False)
    resumed = train(config, dataset(kind), tmp_path / "resumed", profile=False)
    jax.tree.map(np.testing.assert_array_equal, straight.params, resumed.params)
    same = [(tmp_path / name / "metrics.jsonl").read_text() for name in ("straight", "resumed")]
    assert same[0] == same[1]


@pytest.mark.parametrize(
    "kind",
    [
        kind if kind in ("numbers", "line") else pytest.param(kind, marks=takes_long)
        for kind in TASK
    ],
)
def test_a_device_alone_and_eight_together_make_the_same_update(config, kind, monkeypatch):
    """With dropout and augmentation: what is drawn follows from the place in the batch."""
    asking_for(config, kind)
    config.data.augment.shift = 0.5
    config.data.augment["noise" if kind == "line" else "flip"] = 0.5
    config.train.batch_size = 16
    updated = []
    for count in (8, 1):
        some = jax.devices()[:count]
        monkeypatch.setattr(devices, "all_devices", lambda some=some: some)
        config.train.micro_batch_size = 2 if count == 8 else 4
        trainer = Trainer(config, dataset(kind))
        state = devices.replicate(random_state(trainer, scale=0.3))
        source = next(trainer.feed.sources(0))
        numbers = np.arange(count, dtype=np.int32)
        state, metrics = trainer.dispatch(state, devices.shard((numbers, 0.0 * numbers)), source)
        updated.append(jax.device_get(devices.unreplicate((state.params, metrics["loss"]))))
    assert np.isfinite(updated[0][1]).all()
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), *updated)
