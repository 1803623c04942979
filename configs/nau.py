"""The protocol of NAU: running sums of 10 digits, tested on 1 to 1,000.

python -m crnn_jax.main --config=configs/nau.py
python -m crnn_jax.main --config=configs/nau.py:reference   # gives the bound of success

The reference is theirs: a number read off each image, added up exactly, and the squared error of
every running sum (Madsen and Johansen, "Neural Arithmetic Units", 2020, section 4.2).
"""

from ml_collections import ConfigDict

from crnn_jax.config import default, variant


def get_config(arg: str | None = None) -> ConfigDict:
    c = default()
    c.task.min_length = 10
    c.task.max_length = 10
    c.task.every_step = True

    c.model.convs = ((8, 4, True), (16, 3, True))
    c.model.dense = (64,)
    c.model.aggregator = "none"
    c.model.gru_units = ()

    c.train.steps = 400
    c.train.learning_rate = 5e-3
    c.train.schedule = "one_cycle"
    c.train.clip_norm = 1.0

    c.eval.every = 200
    c.eval.validation_sequences = 2000
    c.eval.test_sequences = 10_000
    c.eval.lengths = (1, 10, 100, 1000)
    return variant(c, arg, reference=reference)


def reference(c: ConfigDict) -> None:
    """A number read off each image, and the squared error of what they add up to."""
    c.model.head = "cumulative"
