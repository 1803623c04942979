"""The calculator: two numbers of three MNIST digits each, and their sum written in four digits.

python -m crnn_jax.main --config=configs/addition3.py

Trained end to end, from answers alone. Published, in two stages with labels of all digits: 82.6 %
of the symbols right.
"""

from ml_collections import ConfigDict
from sum8 import get_config as sum8

from crnn_jax.config import variant


def get_config(arg: str | None = None) -> ConfigDict:
    c = sum8()
    c.task.name = "addition"
    c.task.min_length = 6
    c.task.max_length = 6

    c.model.head = "decoder"
    c.model.decoder = 128

    c.train.steps = 4000
    c.eval.test_sequences = 20_000
    return variant(c, arg)
