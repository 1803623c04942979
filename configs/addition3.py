"""The calculator: two numbers of three MNIST digits each, and their sum written in four digits.

python -m crnn_jax.main --config=configs/addition3.py

Trained end to end, from answers alone. The published way is in two stages, both with labels of
all digits: a CNN learns to read them, a recurrent network to add true ones, then they are joined.
It got 82.6 % of the symbols right.

python -m crnn_jax.main --config=configs/addition3.py:digits     # into runs/addition3-digits
python -m crnn_jax.main --config=configs/addition3.py:two_stage  # goes on from there
"""

from ml_collections import ConfigDict
from sum8 import get_config as sum8

from crnn_jax.config.variants import variant


def get_config(arg: str | None = None) -> ConfigDict:
    c = sum8()
    c.task.name = "addition"
    c.task.min_length = 6
    c.task.max_length = 6

    c.model.head = "decoder"
    c.model.decoder_units = 128

    c.train.steps = 6000
    c.eval.test_sequences = 20_000
    return variant(c, arg, digits=digits, two_stage=two_stage)


def published_cnn(c: ConfigDict) -> None:
    """Two convolutions, pooled, and a dense layer; of each frame the digits' probabilities."""
    c.model.convs = ((32, 3, True), (64, 3, True))
    c.model.dense = (128,)
    c.model.encoder_dropout = 0.5
    c.model.class_bottleneck = True


def digits(c: ConfigDict) -> None:
    """The first stage: the CNN alone, on labels of single digits."""
    published_cnn(c)
    c.task.name = "classify"
    c.task.min_length = c.task.max_length = 1
    c.model.aggregator = "none"
    c.model.gru_units = ()
    c.model.head = "marginal"
    c.model.decoder_units = 0
    c.model.state_dropout = 0.0  # of log-probabilities it would make the wrong likely
    c.train.weight_decay = 0.1
    c.train.batch_size = 128
    c.train.steps = 3000
    c.eval.test_sequences = 10_000


def two_stage(c: ConfigDict) -> None:
    """The second: GRU and decoder on true digits; tested on images, behind the CNN."""
    published_cnn(c)
    c.init.workdir = "runs/addition3-digits"
    c.init.frozen = True
    c.train.on_labels = True
    c.train.weight_decay = 0.0
