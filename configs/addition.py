"""The calculator as people would use it: two numbers of 1 to 5 digits each, and their sum.

python -m crnn_jax.main --config=configs/addition.py

Nothing is padded: a blank frame stands between the numbers. The network learns from sums alone
which frame is the blank, and to read the digits.
"""

from ml_collections import ConfigDict

from crnn_jax.config import default, variant


def get_config(arg: str | None = None) -> ConfigDict:
    c = default()
    c.task.name = "addition_unpadded"
    c.task.min_length = 3
    c.task.max_length = 11  # five digits, the blank, five digits

    c.data.augment.shift = 1.0
    c.data.augment.turn = 0.12
    c.data.augment.scale = 0.08
    c.data.augment.elastic = 0.6

    c.model.convs = ((24, 5, True), (48, 3, True), (96, 3, False))
    c.model.dense = (192,)
    c.model.aggregator = "none"
    c.model.gru_units = ()
    c.model.encoder_dropout = 0.3

    c.model.head = "carry"

    c.train.batch_size = 50
    c.train.steps = 3000
    c.train.learning_rate = 3e-3
    c.train.schedule = "one_cycle"
    c.train.weight_decay = 0.4
    c.train.clip_norm = 1.0

    c.eval.test_sequences = 20_000
    return variant(c, arg)
