"""How deep a sigmoid network can be trained: a multilayer perceptron 784-512×k-10 on MNIST.

python -m crnn_jax.main --config=configs/depth.py:sigmoid3
python launch/sweep.py configs/depth.py    # all six

Plain gradient descent at .01, batches of 128, dropout .2, 10 epochs. Published accuracy of
sigmoid with 1, 2 and 3 hidden layers: .8825, .7920, .3595; of relu: .9297, .9402, .9471.
"""

import functools

from ml_collections import ConfigDict

from crnn_jax.config import default, variant

CELLS = {f"{name}{depth}": (name, depth) for name in ("sigmoid", "relu") for depth in (1, 2, 3)}


def get_config(arg: str | None = None) -> ConfigDict:
    c = default()
    c.task.name = "class"
    c.task.max_length = 1

    c.model.convs = ()
    c.model.dense = (512,)
    c.model.class_bottleneck = True
    c.model.aggregator = "none"
    c.model.gru_units = ()
    c.model.encoder_dropout = 0.2

    c.train.batch_size = 128
    c.train.micro_batch_size = 128
    c.train.steps = 4680  # 10 epochs of 60,000 images, as published
    c.train.optimizer = "sgd"
    c.train.learning_rate = 0.01

    c.eval.every = 780
    c.eval.validation_sequences = 5000
    c.eval.test_sequences = 10_000
    c.checkpoint.every = 4680
    cells = {
        cell: functools.partial(layers, activation=activation, depth=depth)
        for cell, (activation, depth) in CELLS.items()
    }
    return variant(c, arg, **cells)


def layers(c: ConfigDict, activation: str, depth: int) -> None:
    """Hidden layers of 512 units."""
    c.model.activation = activation
    c.model.dense = (512,) * depth


def sweep() -> list[str]:
    """The variants of the study."""
    return list(CELLS)
