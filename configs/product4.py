"""The product of four MNIST digits 0 to 9, learned from products alone.

python -m crnn_jax.main --config=configs/product4.py
python -m crnn_jax.main --config=configs/product4.py:mse   # squared error, as in 2016
"""

from ml_collections import ConfigDict

from crnn_jax.config import default, variant


def get_config(arg: str | None = None) -> ConfigDict:
    c = default()
    c.task.name = "product"
    c.task.min_length = 4
    c.task.max_length = 4

    c.data.augment.shift = 1.0
    c.data.augment.turn = 0.12
    c.data.augment.scale = 0.08
    c.data.augment.elastic = 0.6

    c.model.convs = ((24, 5, True), (48, 3, True), (96, 3, False))
    c.model.dense = (192,)
    c.model.gru_units = (128,)
    c.model.encoder_dropout = 0.3
    c.model.state_dropout = 0.1

    c.train.steps = 4000
    c.train.learning_rate = 3e-3
    c.train.schedule = "one_cycle"
    c.train.weight_decay = 0.4
    c.train.clip_norm = 1.0
    return variant(c, arg, mse=mse)


def mse(c: ConfigDict) -> None:
    """A dense unit and the squared error of the product."""
    c.model.head = "last"
