"""This project on clips, as `configs/clips.py` trains: packed into lanes, frames on the device."""

from typing import Any

import jax
import numpy as np

from benchmarks.clips import CLASSES, CONVS, DROPOUT, GRUS, LEARNING_RATE, LEAST_STEPS, SIZE, Corpus
from benchmarks.systems.crnn_jax import parameters
from crnn_jax.config import default
from crnn_jax.data.dataset import Dataset, DatasetInfo
from crnn_jax.data.lanes import padded_lanes
from crnn_jax.data.sequences import Sequences
from crnn_jax.distributed import devices
from crnn_jax.train.batching import device_count
from crnn_jax.train.trainer import Trainer


class System:
    """The trainer of this project."""

    def __init__(self, corpus: Corpus, weights: dict[str, np.ndarray], batch: int) -> None:
        config = default()
        config.task.name, config.data.path = "class", "clips"
        config.model.convs = tuple((features, size, True) for size, _, features in CONVS)
        config.model.gru_units = tuple(units for _, units in GRUS)
        config.model.state_dropout, config.model.head = DROPOUT, "class"
        config.train.update(batch_size=batch, steps_per_dispatch=LEAST_STEPS)
        config.train.learning_rate = LEARNING_RATE
        devices.use_cores(device_count(config, devices.core_count(), 1))
        shape, lengths = (SIZE, SIZE, 1), corpus.lengths.astype(np.int32)
        part = Sequences(
            lengths,
            corpus.answers.astype(np.int32),
            shape,
            tuple(map(str, range(len(lengths)))),
            lambda chosen: [clip[..., None] for clip in corpus.clips(np.asarray(chosen))],
        )
        names, longest = tuple(map(str, range(CLASSES))), int(lengths.max())
        about: Any = {"answer": "class", "longest": longest, "counts": (1,) * CLASSES}
        info = DatasetInfo("clips", "clips:benchmark", shape, names, False, **about)
        self.trainer = Trainer(config, Dataset(info, part, part, part))
        state = self.trainer.initial_state()
        self.state = devices.replicate(state.replace(params=parameters(weights, "class")))
        self.inputs, self.sources = devices.device_inputs(), self.trainer.feed.sources(0)
        network, feed = self.trainer.network, self.trainer.feed

        def infer(device: jax.Array, params: dict, source: Any) -> jax.Array:
            drawn = feed.micro_batch(source, 0, 0, device, 0)
            output = network.apply(params, drawn.images_TxNxHxWxC, drawn.lanes)
            return output.answers().answer[drawn.lanes.last_frames]

        self.infer_batch = devices.over_local_devices(infer)
        self.apply = jax.jit(network.apply)

    def train(self, steps: int) -> None:
        """Make so many updates, a multiple of `LEAST_STEPS`."""
        for _ in range(steps // LEAST_STEPS):
            source = next(self.sources)
            self.state, metrics = self.trainer.dispatch(self.state, self.inputs, source)
            jax.block_until_ready(metrics)

    def infer(self, batches: int) -> None:
        """Answer so many drawn batches."""
        for _ in range(batches):
            params = self.state.params
            jax.block_until_ready(self.infer_batch(self.inputs[0], params, next(self.sources)))

    def answers(self, frames: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """Probabilities of the classes (B, 13)."""
        lanes = padded_lanes(lengths.astype(np.int32))
        shown = frames[:, : lengths.max()].swapaxes(0, 1)[..., None]
        output = self.apply(devices.unreplicate(self.state.params), shown, lanes)
        return np.asarray(output.probs_TxNxK)[lanes.last_frames]
