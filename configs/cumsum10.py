"""Running sums of up to 10 MNIST digits: the answer after every frame is asked and trained.

python -m crnn_jax.main --config=configs/cumsum10.py
python -m crnn_jax.main --mode=evaluate --workdir=runs/cumsum10
"""

from ml_collections import ConfigDict
from sum8 import get_config as sum8

from crnn_jax.config.variants import variant


def get_config(arg: str | None = None) -> ConfigDict:
    c = sum8()
    c.task.max_length = 10
    c.task.every_step = True
    c.train.batch_size = 60
    c.train.micro_batch_size = 30
    c.eval.lengths = (1, 10, 100, 1000)
    return variant(c, arg)
