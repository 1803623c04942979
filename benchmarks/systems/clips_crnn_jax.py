"""This project on clips, as `configs/clips.py` trains: packed into lanes, frames on the device."""

import abc
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from benchmarks.clips import CLASSES, CONVS, DROPOUT, GRUS, LEARNING_RATE, LEAST_STEPS, SIZE, Corpus
from benchmarks.systems.crnn_jax import parameters
from crnn_jax.config import default
from crnn_jax.data.dataset import Dataset, DatasetInfo
from crnn_jax.data.lanes import Lanes, padded_lanes
from crnn_jax.data.sequences import Sequences
from crnn_jax.distributed import devices
from crnn_jax.model.heads import Output
from crnn_jax.train.batching import device_count
from crnn_jax.train.trainer import Trainer


class Stored(abc.ABC):
    """The trainer of this project on stored sequences."""

    def __init__(self, config: ConfigDict, dataset: Dataset, params: dict) -> None:
        devices.use_cores(device_count(config, devices.core_count(), 1))
        self.trainer = Trainer(config, dataset)
        self.state = devices.replicate(self.trainer.initial_state().replace(params=params))
        self.inputs, self.sources = devices.device_inputs(), self.trainer.feed.sources(0)
        lowered = self.trainer.dispatch.lower(self.state, self.inputs, next(self.sources))
        self.dispatch = devices.compile_step(lowered, deterministic=False)
        network, feed = self.trainer.network, self.trainer.feed

        def infer(device: jax.Array, params: dict, source: Any) -> jax.Array:
            drawn = feed.micro_batch(source, 0, 0, device, 0)
            return self.read(
                network.apply(params, drawn.images_TxNxHxWxC, drawn.lanes), drawn.lanes
            )

        self.infer_batch = devices.over_local_devices(infer)
        self.apply = jax.jit(network.apply)

    @abc.abstractmethod
    def read(self, output: Output, lanes: Lanes) -> jax.Array:
        """The answers about the sequences in lanes."""

    def train(self, steps: int) -> None:
        """Make so many updates, a multiple of those of a dispatch."""
        for _ in range(steps // self.trainer.plan.steps_per_dispatch):
            self.state, metrics = self.dispatch(self.state, self.inputs, next(self.sources))
            jax.block_until_ready(metrics)

    def infer(self, batches: int) -> None:
        """Answer so many drawn batches."""
        for _ in range(batches):
            params = self.state.params
            jax.block_until_ready(self.infer_batch(self.inputs[0], params, next(self.sources)))

    def output(self, frames_TxNxHxWxC: np.ndarray, lanes: Lanes) -> Any:
        """What the network makes of frames in lanes."""
        return self.apply(devices.unreplicate(self.state.params), frames_TxNxHxWxC, lanes)


class System(Stored):
    """The network of `clips.py`."""

    def __init__(self, corpus: Corpus, weights: dict[str, np.ndarray], batch: int) -> None:
        config = settings("class", batch, LEARNING_RATE, LEAST_STEPS)
        config.model.convs = tuple((features, size, True) for size, _, features in CONVS)
        config.model.gru_units = tuple(units for _, units in GRUS)
        config.model.state_dropout, config.model.head = DROPOUT, "class"
        names, counts = tuple(map(str, range(CLASSES))), (1,) * CLASSES
        shape, answers = (SIZE, SIZE, 1), corpus.answers.astype(np.int32)
        about = {"classes": names, "answer": "class", "counts": counts}
        super().__init__(
            config, stored(corpus, shape, answers, **about), parameters(weights, "class")
        )

    def read(self, output: Output, lanes: Lanes) -> jax.Array:
        """See `Stored`."""
        return output.answers().answer[lanes.last_frames]

    def answers(self, frames: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """Probabilities of the classes (B, 13)."""
        lanes = padded_lanes(lengths.astype(np.int32))
        output = self.output(frames[:, : lengths.max()].swapaxes(0, 1)[..., None], lanes)
        return np.asarray(output.probs_TxNxK)[lanes.last_frames]


def settings(task: str, batch: int, learning_rate: float, steps: int) -> ConfigDict:
    """The config of a task about stored sequences, with so many steps of a dispatch."""
    config = default()
    config.task.name, config.data.path = task, "benchmark"
    config.train.update(batch_size=batch, steps_per_dispatch=steps)
    config.train.learning_rate = learning_rate
    return config


def stored(
    corpus: Corpus, shape: tuple[int, int, int], answers: np.ndarray, **about: Any
) -> Dataset:
    """The corpus as a data set of this project; `about` is what else `DatasetInfo` holds."""
    lengths = corpus.lengths.astype(np.int32)
    part = Sequences(
        lengths,
        answers,
        shape,
        tuple(map(str, range(len(lengths)))),
        lambda chosen: [clip[..., None] for clip in corpus.clips(np.asarray(chosen))],
    )
    known = {"classes": (), "glyphs": False, "longest": int(lengths.max()), **about}
    info = DatasetInfo("benchmark", "benchmark", shape, **known)
    return Dataset(info, part, part, part)
