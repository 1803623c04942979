"""Captions of short clips: eight frames of 40x40 in which one MNIST digit does something.

python -m crnn_jax.main --config=configs/captions.py        # a GRU reads the frames
python -m crnn_jax.main --config=configs/captions.py:mean   # the mean of the features so far

A caption: "the digit three moves slowly to the left". The decoder attends to the states after each
frame. With `:mean` these are the means of the features so far, which still tell left from right;
the mean over all eight frames would not, because it does not know their order.
"""

from ml_collections import ConfigDict

from crnn_jax.config import default, variant


def get_config(arg: str | None = None) -> ConfigDict:
    c = default()
    c.task.name = "caption"
    c.task.max_length = 1

    c.data.augment.turn = 0.12
    c.data.augment.scale = 0.08
    c.data.augment.elastic = 0.6

    c.model.convs = ((16, 5, True), (32, 3, True), (64, 3, True))
    c.model.dense = (128,)
    c.model.gru_units = (128,)
    c.model.encoder_dropout = 0.2
    c.model.state_dropout = 0.1
    c.model.head = "decoder"
    c.model.decoder_units = 128

    c.train.micro_batch_size = 16
    c.train.steps = 2000
    c.train.learning_rate = 3e-3
    c.train.schedule = "one_cycle"
    c.train.weight_decay = 0.4
    c.train.clip_norm = 1.0

    c.eval.validation_sequences = 4000
    c.eval.test_sequences = 10_000
    return variant(c, arg, mean=mean)


def mean(c: ConfigDict) -> None:
    """The mean over the frames, as designed in 2016."""
    c.model.aggregator = "mean"
    c.model.gru_units = ()
