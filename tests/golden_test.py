"""The first steps of three experiments, made small, give the numbers that they gave before."""

import jax
import numpy as np
import pytest

from crnn_jax.distributed import devices
from crnn_jax.train.trainer import Trainer

LOSSES_AND_FIRST_GRADIENT_NORM = {
    "sum8": (3.077959, 3.037978, 3.238419, 0.9231791),
    "captions": (3.388447, 3.381248, 3.348732, 0.9156404),
    "addition3": (2.357477, 2.350088, 2.325351, 0.7187921),
}

WHEN_TO_RENEW = """
{name} no longer takes its first steps as before: it found
    {found}
Where nothing but names, layout or speed was to change, this is a bug. Renew the numbers only where
the change is meant to alter what is trained (the draw, random keys, initial values, a layer, the
loss, the optimizer, values in configs/), or where a new JAX draws other random numbers; say so in
the commit, and that the experiment's results stay within their spread."""


@pytest.mark.parametrize("name", LOSSES_AND_FIRST_GRADIENT_NORM)
def test_first_steps(name, load_config, optdigits, monkeypatch):
    config = load_config(name)
    config.model.convs = tuple((features // 6, *rest) for features, *rest in config.model.convs)
    config.model.dense = tuple(features // 8 for features in config.model.dense)
    config.model.gru_units = (16,)
    config.model.decoder_units = min(16, config.model.decoder_units)
    config.train.batch_size, config.train.micro_batch_size = 64, 8
    config.train.steps, config.train.steps_per_dispatch = 10, 3
    one_device = jax.devices()[:1]
    monkeypatch.setattr(devices, "all_devices", lambda: one_device)
    trainer = Trainer(config, optdigits)
    state = devices.replicate(trainer.initial_state())
    _, metrics = trainer.dispatch(state, devices.device_inputs(), next(trainer.feed.sources(0)))
    metrics = jax.device_get(devices.unreplicate(metrics))
    found = (*metrics["loss"].tolist(), metrics["gradient_norm"].tolist()[0])
    message = WHEN_TO_RENEW.format(name=name, found=tuple(float(f"{x:.7g}") for x in found))
    expected = LOSSES_AND_FIRST_GRADIENT_NORM[name]
    np.testing.assert_allclose(found, expected, rtol=1e-5, err_msg=message)
