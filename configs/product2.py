"""The product of two MNIST digits 0..9, learned from products alone.

python -m crnn_jax.main --config=configs/product2.py
python -m crnn_jax.main --config=configs/product2.py:mse   # squared error, as in 2016

In 2016 products took far longer than sums, and large ones failed: "1×9 always right, 9×9 never".
"""

from ml_collections import ConfigDict
from sum8 import get_config as sum8

from crnn_jax.config.variants import variant


def get_config(arg: str | None = None) -> ConfigDict:
    c = sum8()
    c.task.name = "product"
    c.task.min_length = 2
    c.task.max_length = 2
    c.train.steps = 4000
    return variant(c, arg, mse=mse)


def mse(c: ConfigDict) -> None:
    """A dense unit and the squared error of the product."""
    c.model.head = "last"
