"""LeNet-5 (LeCun et al. 1995 and 1998) on single MNIST images: sequences of length 1.

python -m crnn_jax.main --config=configs/lenet.py

Published: 99.1 % right. Here the subsampling is max pooling, and the output a softmax instead of
squared distances.
"""

from ml_collections import ConfigDict

from crnn_jax.config import default, variant


def get_config(arg: str | None = None) -> ConfigDict:
    c = default()
    c.task.name = "class"
    c.task.max_length = 1

    c.data.augment.shift = 1.0
    c.data.augment.turn = 0.12
    c.data.augment.scale = 0.08

    c.model.convs = ((6, 5, True, "same"), (16, 5, True))
    c.model.dense = (120, 84)
    c.model.activation = "tanh"
    c.model.aggregator = "none"
    c.model.gru_units = ()

    c.train.batch_size = 128
    c.train.micro_batch_size = 128
    c.train.steps = 8600  # 20 epochs of 55,000 images
    c.train.learning_rate = 3e-3
    c.train.schedule = "one_cycle"
    c.train.weight_decay = 0.1
    c.train.clip_norm = 1.0

    c.eval.every = 1720
    c.eval.validation_sequences = 5000
    c.eval.test_sequences = 10_000
    c.checkpoint.every = 1720
    return variant(c, arg)
