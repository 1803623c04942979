"""Configs: every field with its default and its meaning, config files, and stored configs.

A config file starts from `default()`, which holds every field, and sets what differs:

    from crnn_jax.config import default, variant

    def get_config(arg=None):
        c = default()
        c.task.max_length = 4
        return variant(c, arg)

The defaults are neutral: plain Adam at a constant rate, nothing dropped, bent or clipped. What was
tuned stands in the file of its experiment alone.
"""

from crnn_jax.config.checks import check
from crnn_jax.config.fields import FIELDS, default, is_own
from crnn_jax.config.files import load_config, load_sweep, shipped, variant
from crnn_jax.config.stored import differences, read_config, validation_draw

__all__ = [
    "FIELDS",
    "check",
    "default",
    "differences",
    "is_own",
    "load_config",
    "load_sweep",
    "read_config",
    "shipped",
    "validation_draw",
    "variant",
]
