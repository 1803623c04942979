"""Keras 3 on clips, as in its own example: all are padded to the longest there is, with a mask."""

import keras
import numpy as np
from keras import layers

from benchmarks import clips
from benchmarks.systems.keras3 import in_order


class Drawn(keras.utils.PyDataset):
    """Freshly drawn batches."""

    def __init__(
        self, corpus: clips.Corpus, batch: int, steps: int, rng: np.random.Generator
    ) -> None:
        super().__init__()
        self.corpus, self.batch, self.steps, self.rng = corpus, batch, steps, rng

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, index: int) -> tuple:
        chosen = self.rng.integers(0, len(self.corpus.lengths), self.batch)
        frames = self.corpus.padded(chosen, clips.LONGEST)
        return (frames, mask(self.corpus.lengths[chosen])), self.corpus.answers[chosen]


class System:
    """A functional model, compiled by its backend's compiler (`jit_compile="auto"`)."""

    def __init__(self, corpus: clips.Corpus, weights: dict[str, np.ndarray], batch: int) -> None:
        self.corpus, self.batch, self.rng = corpus, batch, np.random.default_rng(0)
        frames = keras.Input(
            (clips.LONGEST, clips.SIZE, clips.SIZE), batch_size=batch, dtype="uint8"
        )
        real = keras.Input((clips.LONGEST,), batch_size=batch, dtype="bool")
        x = keras.ops.reshape(frames, (batch * clips.LONGEST, clips.SIZE, clips.SIZE, 1))
        x = layers.Rescaling(1 / 255)(x)
        for size, _, features in clips.CONVS:
            x = layers.ReLU()(layers.MaxPooling2D()(layers.Conv2D(features, size)(x)))
        x = keras.ops.reshape(x, (batch, clips.LONGEST, clips.GRUS[0][0]))
        x = layers.GRU(clips.GRUS[0][1], return_sequences=True)(x, mask=real)
        x = layers.Dropout(clips.DROPOUT)(layers.GRU(clips.GRUS[1][1])(x, mask=real))
        outputs = layers.Dense(clips.CLASSES, activation="softmax")(x)
        self.model = keras.Model((frames, real), outputs)
        self.model.set_weights(in_order(weights, "class"))
        self.model.compile(
            keras.optimizers.Adam(clips.LEARNING_RATE),
            "sparse_categorical_crossentropy",
            steps_per_execution=clips.LEAST_STEPS,
        )

    def train(self, steps: int) -> None:
        """Make so many updates, a multiple of `LEAST_STEPS`."""
        self.model.fit(Drawn(self.corpus, self.batch, steps, self.rng), verbose=0)

    def infer(self, batches: int) -> None:
        """Answer so many drawn batches."""
        self.model.predict(Drawn(self.corpus, self.batch, batches, self.rng), verbose=0)

    def answers(self, frames: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """Probabilities of the classes (B, 13); B is the batch size."""
        return self.model.predict_on_batch((frames, mask(lengths)))


def mask(lengths: np.ndarray) -> np.ndarray:
    """Where there are frames: (B, `LONGEST`), bool."""
    return np.arange(clips.LONGEST) < lengths[:, None]
