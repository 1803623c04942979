"""The double-convolution CNN on handwritten letters a to j, a course's network for EMNIST.

python -m crnn_jax.main --config=configs/letters.py
python -m crnn_jax.main --config=configs/letters.py:all     # all 26 letters
python -m crnn_jax.main --config=configs/letters.py:mnist   # the same network on digits

2x2 kernels, features in powers of two, padding that keeps the size, dropout. Published: 96 % for
the first ten letters.
"""

from ml_collections import ConfigDict

from crnn_jax.config import default, variant


def get_config(arg: str | None = None) -> ConfigDict:
    c = default()
    c.task.name = "class"
    c.task.max_length = 1

    c.data.name = "emnist/letters-a-j"

    c.model.convs = (
        (16, 2, False, "same"),
        (16, 2, True, "same"),
        (32, 2, False, "same"),
        (32, 2, True, "same"),
        (64, 2, False, "same"),
        (64, 2, True, "same"),
    )
    c.model.dense = (128,)
    c.model.aggregator = "none"
    c.model.gru_units = ()
    c.model.encoder_dropout = 0.5

    c.train.batch_size = 128
    c.train.micro_batch_size = 64
    c.train.steps = 3440  # 8 epochs of 55,000 images
    c.train.learning_rate = 3e-3
    c.train.schedule = "one_cycle"
    c.train.weight_decay = 0.1
    c.train.clip_norm = 1.0

    c.eval.every = 860
    c.eval.validation_sequences = 5000
    c.eval.test_sequences = 10_000
    c.checkpoint.every = 860
    return variant(c, arg, all=all_letters, mnist=mnist)


def all_letters(c: ConfigDict) -> None:
    """All 26 letters."""
    c.data.name = "emnist/letters"


def mnist(c: ConfigDict) -> None:
    """The digits of MNIST."""
    c.data.name = "mnist"
