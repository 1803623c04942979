"""The protocol of Deep Sets: sums of at most 10 digits, tested on up to 100.

python -m crnn_jax.main --config=configs/deep_sets.py

Each image is read by itself, so that a sum of a hundred is read no worse than one of ten.
"""

from ml_collections import ConfigDict

from crnn_jax.config import default, variant


def get_config(arg: str | None = None) -> ConfigDict:
    c = default()
    c.task.max_length = 10

    c.data.augment.shift = 1.0
    c.data.augment.turn = 0.12
    c.data.augment.scale = 0.08
    c.data.augment.elastic = 0.6

    c.model.convs = ((24, 5, True), (48, 3, True), (96, 3, False))
    c.model.dense = (192,)
    c.model.aggregator = "none"
    c.model.gru_units = ()
    c.model.encoder_dropout = 0.3

    c.train.batch_size = 60
    c.train.micro_batch_size = 30
    c.train.steps = 5000
    c.train.learning_rate = 3e-3
    c.train.schedule = "one_cycle"
    c.train.weight_decay = 0.4
    c.train.clip_norm = 1.0

    c.eval.lengths = (5, 10, 15, 20, 30, 50, 100)
    return variant(c, arg)
