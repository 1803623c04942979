"""The sum of 1..4 MNIST digits with the network of Ben Caine's "Neural Image Addition".

python -m crnn_jax.main --config=configs/sum4.py
python -m crnn_jax.main --config=configs/sum4.py:relu   # what diverged in 2016
python -m crnn_jax.main --config=configs/sum4.py:best   # the network of sum8

Published: mean squared error .61 after 20 epochs. Network, dropout, optimizer and epochs are as
published; the learning rate falls, because with a constant one the error swings from epoch to
epoch.
"""

from ml_collections import ConfigDict
from sum8 import get_config as sum8

from crnn_jax.config.variants import variant


def get_config(arg: str | None = None) -> ConfigDict:
    c = sum8()
    c.task.max_length = 4

    c.data.augment = ConfigDict({"shift": 0.0, "turn": 0.0, "scale": 0.0, "elastic": 0.0})

    c.model.convs = ((8, 4, False), (16, 3, False))
    c.model.dense = ()
    c.model.activation = "tanh"
    c.model.gru_units = (200, 100)
    c.model.encoder_dropout = 0.0
    c.model.state_dropout = 0.2
    c.model.head = "last"

    c.train.batch_size = 32
    c.train.steps = 37_500  # 20 epochs of 60,000 sequences
    c.train.steps_per_dispatch = 25
    c.train.optimizer = "rmsprop"
    c.train.learning_rate = 1e-3
    c.train.schedule = "one_cycle"
    c.train.weight_decay = 0.0
    c.train.clip_norm = 0.0

    c.eval.every = 1875  # an epoch
    c.checkpoint.every = 1875
    return variant(c, arg, relu=relu, best=best)


def relu(c: ConfigDict) -> None:
    """The same with relu, and a limit on the gradient's norm."""
    c.model.activation = "relu"
    c.train.clip_norm = 1.0


def best(c: ConfigDict) -> None:
    """The network of sum8, its head and its training."""
    other = sum8()
    c.data.augment = other.data.augment
    c.model = other.model
    c.train = other.train
    c.train.steps = 6000
    c.eval.every = 1000
    c.checkpoint.every = 1000
