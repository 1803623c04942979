"""The product of four MNIST digits 0..9, learned from products alone, as product2.py learns two.

python -m crnn_jax.main --config=configs/product4.py
python -m crnn_jax.main --config=configs/product4.py:mse   # squared error, as in 2016
"""

from ml_collections import ConfigDict
from product2 import get_config as product2
from product2 import mse

from crnn_jax.config.variants import variant


def get_config(arg: str | None = None) -> ConfigDict:
    c = product2()
    c.task.min_length = 4
    c.task.max_length = 4
    return variant(c, arg, mse=mse)
