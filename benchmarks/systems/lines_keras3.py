"""Keras 3 on lines: the network of its example "OCR model for reading Captchas", on TensorFlow.

Lines are padded to the widest of the batch, and lie on their side, as in the example.
"""

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from benchmarks.lines import CAPTCHA, CLASSES, HEIGHT, LEARNING_RATE, MOST, Corpus, on_side
from benchmarks.systems.keras3 import gru


class System:
    """With GRUs and a mask: the network of `lines.CAPTCHA`."""

    def __init__(self, corpus: Corpus, weights: dict[str, np.ndarray], batch: int) -> None:
        self.corpus, self.batch, self.rng = corpus, batch, np.random.default_rng(0)
        pictures = keras.Input((None, HEIGHT), dtype="uint8")
        real = keras.Input((None,), dtype="bool")  # columns
        x = layers.Rescaling(1 / 255)(keras.ops.expand_dims(pictures, -1))
        for size, _, features, pool in CAPTCHA.convs:
            x = layers.Conv2D(features, size, activation="relu", padding="same")(x)
            x = layers.MaxPooling2D(pool)(x)
        x = layers.Reshape((-1, CAPTCHA.column))(x)
        x = layers.Dense(CAPTCHA.dense, activation="relu")(x)
        x = layers.Dropout(CAPTCHA.dropout)(x)
        x = self.recurrent(x, real)
        logs = keras.ops.log_softmax(layers.Dense(CLASSES)(x))  # which is without a mask
        self.model = keras.Model((pictures, real), logs)
        self.load(weights)
        adam = keras.optimizers.Adam(LEARNING_RATE)
        self.model.compile(adam, ctc)

    def recurrent(self, x: keras.KerasTensor, real: keras.KerasTensor) -> keras.KerasTensor:
        """The layers over the columns."""
        for units in CAPTCHA.grus:
            x = layers.Bidirectional(layers.GRU(units, return_sequences=True))(x, mask=real)
        return x

    def load(self, weights: dict[str, np.ndarray]) -> None:
        """Start from the weights of all systems."""
        arrays = []
        for i in range(len(CAPTCHA.convs)):
            kernel = weights[f"conv{i}_kernel"].swapaxes(0, 1)  # lines lie on their side
            arrays += [kernel, weights[f"conv{i}_bias"]]
        arrays += [weights["dense_kernel"], weights["dense_bias"]]
        for i in range(2 * len(CAPTCHA.grus)):
            arrays += gru(weights, i)
        self.model.set_weights([*arrays, weights["symbol_kernel"], weights["symbol_bias"]])

    def _draw(self) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray]:
        """Lines; and their texts, behind each of which stands the number of the line's columns."""
        chosen = self.rng.integers(0, len(self.corpus.lengths), self.batch)
        lengths = self.corpus.lengths[chosen]
        strips = self.corpus.padded(chosen, lengths.max())
        return shown(strips, lengths), np.c_[self.corpus.answers[chosen], lengths]

    def train(self, steps: int) -> None:
        """Make so many updates."""
        for _ in range(steps):
            self.model.train_on_batch(*self._draw())

    def infer(self, batches: int) -> None:
        """Answer so many drawn batches: the likeliest symbol of each column."""
        for _ in range(batches):
            self.model.predict_on_batch(self._draw()[0]).argmax(-1)

    def answers(self, strips: np.ndarray, lengths: np.ndarray) -> np.ndarray | None:
        """Log-probabilities BxTxK of lines that need no padding."""
        return self.model.predict_on_batch(shown(strips, lengths))


class Example(System):
    """With LSTMs and without a mask, as in the example: other weights, so no answers to compare."""

    def recurrent(self, x: keras.KerasTensor, real: keras.KerasTensor) -> keras.KerasTensor:
        """The layers over the columns, also of padding."""
        del real
        for units in CAPTCHA.grus:
            lstm = layers.LSTM(units, return_sequences=True, dropout=0.25)
            x = layers.Bidirectional(lstm)(x)
        return x

    def load(self, weights: dict[str, np.ndarray]) -> None:
        """Start from random weights."""

    def answers(self, strips: np.ndarray, lengths: np.ndarray) -> None:
        """None that others would give."""


def shown(strips_BxTxHxS: np.ndarray, lengths_B: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Padded lines as pictures, width before height, and which columns are theirs."""
    return on_side(strips_BxTxHxS), np.arange(strips_BxTxHxS.shape[1]) < lengths_B[:, None]


def ctc(texts_and_lengths: tf.Tensor, logs_BxTxK: tf.Tensor) -> tf.Tensor:
    """The loss of each line, by the same operation as in the example."""
    texts, lengths = texts_and_lengths[:, :MOST], texts_and_lengths[:, MOST]
    symbols = tf.sparse.from_dense(tf.cast(texts, tf.int32) + 1)
    labels = tf.SparseTensor(symbols.indices, symbols.values - 1, symbols.dense_shape)
    logs_TxBxK = tf.transpose(logs_BxTxK, (1, 0, 2))
    return tf.compat.v1.nn.ctc_loss(labels, logs_TxBxK, tf.cast(lengths, tf.int32))
