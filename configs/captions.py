"""Captions of short clips: eight frames of 40x40 in which one MNIST digit does something.

python -m crnn_jax.main --config=configs/captions.py        # a GRU reads the frames
python -m crnn_jax.main --config=configs/captions.py:mean   # the mean of the frames' features

"the digit three moves slowly to the left". The decoder looks back at what every frame left; with
`:mean`, at the means of the frames so far, which still tell left from right. The mean of all eight
alone could not: it does not know their order.
"""

from ml_collections import ConfigDict
from sum8 import get_config as sum8

from crnn_jax.config.variants import variant


def get_config(arg: str | None = None) -> ConfigDict:
    c = sum8()
    c.task.name = "caption"
    c.task.max_length = 1

    c.data.augment.shift = 0.0

    c.model.convs = ((16, 5, True), (32, 3, True), (64, 3, True))
    c.model.dense = (128,)
    c.model.encoder_dropout = 0.2
    c.model.head = "decoder"
    c.model.decoder_units = 128

    c.train.micro_batch_size = 16
    c.train.steps = 2000
    c.eval.validation_sequences = 4000
    c.eval.test_sequences = 10_000
    return variant(c, arg, mean=mean)


def mean(c: ConfigDict) -> None:
    """The mean over the frames, as it was designed in 2016."""
    c.model.aggregator = "mean"
    c.model.gru_units = ()
