"""What tests that start programs have in common: a config file of seconds, an environment."""

import os
from pathlib import Path

import pytest

takes_long = pytest.mark.skipif(
    os.environ.get("CRNN_JAX_TEST_CLUSTER") != "1",
    reason="takes long or starts services: set CRNN_JAX_TEST_CLUSTER=1, as make test-cluster does",
)


def config_text(*changes: str, variants: str = "") -> str:
    """A config file of the smallest network, two lengths and eight steps, in two dispatches.

    Args:
      changes: statements about the config `c`.
      variants: further arguments of `crnn_jax.config.variant`.
    """
    lines = "\n".join(f"    {change}" for change in changes)
    return f"""
from crnn_jax.config import default, variant


def get_config(arg=None):
    c = default()
    c.data.name = "optdigits"
    c.data.data_dir = "data"
    c.data.manual_dir = ""
    c.task.max_length = 2
    c.model.convs = ()
    c.model.gru_units = (8,)
    c.model.encoder_dropout = 0.3
    c.model.state_dropout = 0.1
    c.train.learning_rate = 3e-3
    c.train.schedule = "one_cycle"
    c.train.weight_decay = 0.4
    c.train.clip_norm = 1.0
    c.train.batch_size = 16
    c.train.steps = 8
    c.train.steps_per_dispatch = 4
    c.eval.every = 4
    c.eval.validation_sequences = 40
    c.eval.test_sequences = 400
    c.checkpoint.every = 4
{lines}
    return variant(c, arg{variants})
"""


def clips_config_text() -> str:
    """The same about the classes of clips in the folder `clips`."""
    return config_text(
        "c.task.name = 'class'",
        "c.task.max_length = 1",
        "c.data.path = 'clips'",
        "c.model.head = 'class'",
        "c.train.batch_size = 8",
    )


def environment(home: Path, project: Path, devices: int = 1) -> dict[str, str]:
    """For a program on so many CPU devices of one thread, which compiles quickly."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "PYTHONPATH": str(project),
        "JAX_PLATFORMS": "cpu",
        "JAX_NUM_CPU_DEVICES": str(devices),
        "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",  # compiling takes longest
    }
