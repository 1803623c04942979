"""Experiments: reading a config file, and checking what it holds."""

from crnn_jax.config.checks import check, differences, read_config
from crnn_jax.config.files import load_config, load_sweep
from crnn_jax.config.variants import variant

__all__ = ["check", "differences", "load_config", "load_sweep", "read_config", "variant"]
