"""LeNet-5 (LeCun et al. 1995 and 1998) on single MNIST images: a sequence of length 1.

python -m crnn_jax.main --config=configs/lenet.py

Published: 99.1 % right. Its subsampling is a maximum here, and its squared distances a softmax.
"""

from ml_collections import ConfigDict
from sum8 import get_config as sum8

from crnn_jax.config.variants import variant


def get_config(arg: str | None = None) -> ConfigDict:
    c = sum8()
    c.task.name = "classify"
    c.task.max_length = 1

    c.data.augment.elastic = 0.0

    c.model.convs = ((6, 5, True, "same"), (16, 5, True))
    c.model.dense = (120, 84)
    c.model.activation = "tanh"
    c.model.aggregator = "none"
    c.model.gru_units = ()
    c.model.encoder_dropout = 0.0
    c.model.state_dropout = 0.0

    c.train.batch_size = 128
    c.train.micro_batch_size = 128
    c.train.steps = 8600  # 20 epochs of 55,000 images
    c.train.weight_decay = 0.1

    c.eval.every = 1720
    c.eval.validation_sequences = 5000
    c.eval.test_sequences = 10_000
    c.checkpoint.every = 1720
    return variant(c, arg)
