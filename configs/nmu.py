"""The protocol of NMU: running products of 2 digits, 1 to 9, tested on up to 20.

python -m crnn_jax.main --config=configs/nmu.py
python -m crnn_jax.main --config=configs/nmu.py:reference   # gives the bound of success

Products of more than nine digits exceed 32 bits: their errors are those of the posterior's mean,
which is the product of each digit's. The reference is theirs: a number read off each image,
multiplied exactly, and the squared error of every running product (Madsen and Johansen, "Neural
Arithmetic Units", 2020, section 4.2).
"""

from ml_collections import ConfigDict

from crnn_jax.config import default, variant


def get_config(arg: str | None = None) -> ConfigDict:
    c = default()
    c.task.name = "product"
    c.task.min_length = 2
    c.task.max_length = 2
    c.task.every_step = True
    c.data.name = "mnist-1-9"

    c.model.convs = ((8, 4, True), (16, 3, True))
    c.model.dense = (64,)
    c.model.aggregator = "none"
    c.model.gru_units = ()

    c.train.steps = 2000
    c.train.learning_rate = 5e-3
    c.train.schedule = "one_cycle"
    c.train.clip_norm = 1.0

    c.eval.every = 1000
    c.eval.validation_sequences = 5000
    c.eval.test_sequences = 10_000
    c.eval.lengths = (2, 4, 5, 8, 10, 12, 16, 20)
    return variant(c, arg, reference=reference)


def reference(c: ConfigDict) -> None:
    """A number read off each image, and the squared error of what they multiply to."""
    c.model.head = "cumulative"
