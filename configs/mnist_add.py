"""MNIST-Add: the sum of two numbers of N digits, each training image in one pair only.

python -m crnn_jax.main --config=configs/mnist_add.py:n1   # and n2, n4, n15

The protocol of DeepProbLog, A-NeSI and others, with one difference: 5,000 of the 60,000 training
images are kept for validation, so there are 55,000 / 2N pairs, which the seed deals out.
"""

from ml_collections import ConfigDict

from crnn_jax.config import default, variant


def get_config(arg: str | None = None) -> ConfigDict:
    c = default()
    c.task.name = "addition"
    c.data.once = True

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

    c.train.learning_rate = 3e-3
    c.train.schedule = "one_cycle"
    c.train.weight_decay = 0.4
    c.train.clip_norm = 1.0

    c.eval.test_sequences = 20_000
    n1(c)
    return variant(c, arg, n1=n1, n2=n2, n4=n4, n15=n15)


def n1(c: ConfigDict) -> None:
    """Two numbers of one digit: 27,500 pairs. 34 s of training on two cores."""
    digits(c, 1)
    c.train.batch_size = 64
    c.train.steps = 2800


def n2(c: ConfigDict) -> None:
    """Two numbers of two digits: 13,750 pairs."""
    digits(c, 2)
    c.train.batch_size = 64
    c.train.steps = 3000


def n4(c: ConfigDict) -> None:
    """Two numbers of four digits: 6,875 pairs."""
    digits(c, 4)
    c.train.batch_size = 32
    c.train.steps = 3000


def n15(c: ConfigDict) -> None:
    """Two numbers of fifteen digits: 1,833 pairs."""
    digits(c, 15)
    c.train.batch_size = 16
    c.train.steps = 2000


def digits(c: ConfigDict, count: int) -> None:
    """Numbers of so many digits."""
    c.task.min_length = c.task.max_length = 2 * count
