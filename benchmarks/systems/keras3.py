"""Keras 3 on the backend that `KERAS_BACKEND` names: `Model.fit` over padded sequences."""

import keras
import numpy as np
from keras import layers

from benchmarks.protocol import DECAY, DROPOUT, LEARNING_RATE, LENGTH, Corpus, least_steps

EPSILON = 1e-16  # inside the root, where others have 1e-8 outside


class Drawn(keras.utils.PyDataset):
    """Freshly drawn batches; drawing one takes well under a millisecond."""

    def __init__(self, corpus: Corpus, batch: int, steps: int, rng: np.random.Generator) -> None:
        super().__init__()
        self.corpus, self.batch, self.steps, self.rng = corpus, batch, steps, rng

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        chosen, lengths, sums = self.corpus.draw(self.rng, self.batch)
        return self.corpus.padded(chosen, lengths), sums


class System:
    """A functional model, compiled by its backend's compiler (`jit_compile="auto"`)."""

    def __init__(self, corpus: Corpus, weights: dict[str, np.ndarray], batch: int) -> None:
        self.corpus, self.batch, self.rng = corpus, batch, np.random.default_rng(0)
        inputs = keras.Input((LENGTH, 28, 28), batch_size=batch, dtype="uint8")
        x = keras.ops.reshape(inputs, (batch * LENGTH, 28, 28, 1))
        x = layers.Rescaling(1 / 255)(x)
        x = layers.MaxPooling2D()(layers.Conv2D(8, 4)(x))
        x = layers.Conv2D(8, 3, activation="relu")(layers.ReLU()(x))
        x = keras.ops.reshape(x, (batch, LENGTH, 800))
        x = layers.GRU(50)(layers.GRU(100, return_sequences=True)(x))
        self.model = keras.Model(inputs, layers.Dense(1)(layers.Dropout(DROPOUT)(x)))
        self.model.set_weights(in_order(weights, "value"))
        # Fewer steps than these at once would make TensorFlow compile anew for each number.
        together = 1 if keras.backend.backend() == "torch" else least_steps(batch)
        optimizer = keras.optimizers.RMSprop(LEARNING_RATE, rho=DECAY, epsilon=EPSILON)
        self.model.compile(optimizer, "mse", steps_per_execution=together)

    def train(self, steps: int) -> None:
        """Make so many updates, a multiple of `least_steps`."""
        self.model.fit(Drawn(self.corpus, self.batch, steps, self.rng), verbose=0)

    def infer(self, batches: int) -> None:
        """Answer so many drawn batches."""
        self.model.predict(Drawn(self.corpus, self.batch, batches, self.rng), verbose=0)

    def answers(self, frames: np.ndarray, _: np.ndarray) -> np.ndarray:
        """Sums (B,) of frames (B, 8, 28, 28), black ones behind the end; B is the batch size."""
        return self.model.predict_on_batch(frames)[:, 0]


def in_order(weights: dict[str, np.ndarray], last: str) -> list[np.ndarray]:
    """The weights of convolutions, of two GRUs, and of the dense layer of this name."""
    found = [array for name, array in weights.items() if name.startswith("conv")]
    for i in range(2):
        found += gru(weights, i)
    return [*found, weights[f"{last}_kernel"], weights[f"{last}_bias"]]


def gru(weights: dict[str, np.ndarray], i: int) -> list[np.ndarray]:
    """The GRU of this number: its gates are update, reset, candidate here, with two biases."""

    def gates(array: np.ndarray) -> np.ndarray:
        reset, update, candidate = np.split(array, 3, axis=-1)
        return np.concatenate([update, reset, candidate], axis=-1)

    own = weights[f"gru{i}_candidate_bias"]
    state_bias = np.concatenate([np.zeros(2 * len(own), np.float32), own])
    biases = np.stack([gates(weights[f"gru{i}_bias"]), state_bias])
    return [gates(weights[f"gru{i}_input"]), gates(weights[f"gru{i}_recurrent"]), biases]
