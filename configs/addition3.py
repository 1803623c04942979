"""The calculator: two numbers of three MNIST digits each, and their sum written in four digits.

python -m crnn_jax.main --config=configs/addition3.py
python -m crnn_jax.main --config=configs/addition3.py:best   # adds as on paper, trained longer

Trained end to end, from answers alone. Published (.826 of the symbols right) is a way in two stages
that needs the labels of all digits: a CNN learns to read them, a recurrent network learns to add
true digits, then the two are joined:

python -m crnn_jax.main --config=configs/addition3.py:digits     # into runs/addition3-digits
python -m crnn_jax.main --config=configs/addition3.py:two_stage  # starts from that run
"""

from ml_collections import ConfigDict

from crnn_jax.config import default, variant


def get_config(arg: str | None = None) -> ConfigDict:
    c = default()
    c.task.name = "addition"
    c.task.min_length = 6
    c.task.max_length = 6

    c.data.augment.shift = 1.0
    c.data.augment.turn = 0.12
    c.data.augment.scale = 0.08
    c.data.augment.elastic = 0.6

    c.model.convs = ((24, 5, True), (48, 3, True), (96, 3, False))
    c.model.dense = (192,)
    c.model.gru_units = (128,)
    c.model.encoder_dropout = 0.3
    c.model.state_dropout = 0.1
    c.model.head = "decoder"
    c.model.decoder_units = 128

    c.train.steps = 6000
    c.train.learning_rate = 3e-3
    c.train.schedule = "one_cycle"
    c.train.weight_decay = 0.4
    c.train.clip_norm = 1.0

    c.eval.test_sequences = 20_000
    return variant(c, arg, best=best, digits=digits, two_stage=two_stage)


def best(c: ConfigDict) -> None:
    """The exact likelihood of the sum in place of GRU and decoder, trained as sum8:best."""
    c.data.augment.shift = 1.5
    c.data.augment.turn = 0.15
    c.data.augment.scale = 0.1
    c.data.augment.elastic = 0.7
    c.model.aggregator = "none"
    c.model.gru_units = ()
    c.model.state_dropout = 0.0
    c.model.head = "carry"
    c.model.decoder_units = 0
    c.train.steps = 8000
    c.train.ema = 0.998


def published_cnn(c: ConfigDict) -> None:
    """Two convolutions, pooled, and a dense layer, which pass on the digits' probabilities."""
    c.model.convs = ((32, 3, True), (64, 3, True))
    c.model.dense = (128,)
    c.model.encoder_dropout = 0.5
    c.model.class_bottleneck = True


def digits(c: ConfigDict) -> None:
    """The first stage: the CNN alone, on labels of single digits."""
    published_cnn(c)
    c.task.name = "class"
    c.task.min_length = c.task.max_length = 1
    c.model.aggregator = "none"
    c.model.gru_units = ()
    c.model.head = "marginal"
    c.model.decoder_units = 0
    c.model.state_dropout = 0.0  # of log-probabilities it would make wrong digits likely
    c.train.weight_decay = 0.1
    c.train.batch_size = 128
    c.train.steps = 3000
    c.eval.test_sequences = 10_000


def two_stage(c: ConfigDict) -> None:
    """The second stage: GRU and decoder on true digits, tested on images behind the CNN."""
    published_cnn(c)
    c.init.workdir = "runs/addition3-digits"
    c.init.frozen = True
    c.train.on_labels = True
    c.train.weight_decay = 0.0
