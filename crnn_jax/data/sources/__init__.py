"""The data sets that can be read, one file each; a new one is a file and a line here."""

from crnn_jax.data.sources.emnist import LETTERS, LETTERS_A_J
from crnn_jax.data.sources.mnist import MNIST, MNIST_1_9
from crnn_jax.data.sources.mnist_5k import MNIST_5K
from crnn_jax.data.sources.optdigits import OPTDIGITS
from crnn_jax.data.sources.source import Source

SOURCES: dict[str, Source] = {
    "mnist": MNIST,
    "mnist-1-9": MNIST_1_9,
    "mnist-5k": MNIST_5K,
    "optdigits": OPTDIGITS,
    "emnist/letters": LETTERS,
    "emnist/letters-a-j": LETTERS_A_J,
}
"""The data set of a config, by its `data.name`."""
