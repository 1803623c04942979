"""This project: `configs/sum8_2016.py` as `python -m crnn_jax.main` trains it."""

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.protocol import LENGTH, Corpus, least_steps
from configs.sum8_2016 import get_config
from crnn_jax.data.dataset import Dataset, known_info
from crnn_jax.data.feed import lane_images
from crnn_jax.data.lanes import padded_lanes
from crnn_jax.data.split import Split
from crnn_jax.distributed import devices
from crnn_jax.train.batching import device_count
from crnn_jax.train.trainer import Trainer


class System:
    """The trainer of this project."""

    def __init__(self, corpus: Corpus, weights: dict[str, np.ndarray], batch: int) -> None:
        config = get_config()
        config.train.batch_size = batch
        config.train.steps_per_dispatch = self.steps = least_steps(batch)
        devices.use_cores(device_count(config, devices.core_count(), 1))
        split = Split(corpus.images[..., None], corpus.labels.astype(np.int32))
        whole = Dataset(known_info("mnist:benchmark"), split, split, split)
        self.trainer = Trainer(config, whole)
        state = self.trainer.initial_state()
        self.state = devices.replicate(state.replace(params=parameters(weights, "value")))
        self.inputs = devices.device_inputs()
        self.source = next(self.trainer.feed.sources(0))
        network, draw = self.trainer.network, self.trainer.feed.draw
        share = batch // devices.device_count()
        lanes = draw.lanes(share)

        def infer(device: jax.Array, params: dict, data: tuple[jax.Array, jax.Array]) -> jax.Array:
            images_IxHxWxC, step = data
            frames = images_IxHxWxC[lane_images(draw, lanes, step, device * share)]
            output = network.apply(params, frames, lanes)
            return output.answers().estimate[lanes.last_frames]

        self.infer_batch = devices.over_local_devices(infer)
        self.apply = jax.jit(network.apply)
        self.images, _ = self.source

    def train(self, steps: int) -> None:
        """Make so many updates, a multiple of `least_steps`."""
        for _ in range(steps // self.steps):
            self.state, metrics = self.trainer.dispatch(self.state, self.inputs, self.source)
            jax.block_until_ready(metrics)

    def infer(self, batches: int) -> None:
        """Answer so many drawn batches."""
        for step in range(batches):
            data = (self.images, jnp.int32(step))
            jax.block_until_ready(self.infer_batch(self.inputs[0], self.state.params, data))

    def answers(self, frames: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """Sums (B,) of frames (B, 8, 28, 28), of which the first so many are real."""
        frames_TxNxHxWxC = frames.swapaxes(0, 1)[..., None]
        lanes = padded_lanes(np.full(len(frames), LENGTH))
        params = devices.unreplicate(self.state.params)
        sums_TxN = self.apply(params, frames_TxNxHxWxC, lanes).answers().estimate
        return sums_TxN[lengths - 1, np.arange(len(frames))]


def parameters(weights: dict[str, np.ndarray], last: str) -> dict:
    """The weights of all systems as this project has them, with a dense layer of this name."""
    params = {"encoder": {"convs": convs(weights)}, "answer_head": {last: dense(weights, last)}}
    for i in range(2):
        inputs = {"kernel": weights[f"gru{i}_input"], "bias": weights[f"gru{i}_bias"]}
        params[f"gru_{i}"] = {"input": inputs, "step": gru_step(weights, i)}
    return {"params": params}


def convs(weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Those of the convolutions."""
    return {name: array for name, array in weights.items() if name.startswith("conv")}


def dense(weights: dict[str, np.ndarray], name: str) -> dict[str, np.ndarray]:
    """Those of a dense layer."""
    return {"kernel": weights[f"{name}_kernel"], "bias": weights[f"{name}_bias"]}


def gru_step(weights: dict[str, np.ndarray], i: int) -> dict[str, np.ndarray]:
    """Those of the GRU of this number, without its projection of the input."""
    reset, update, candidate = np.split(weights[f"gru{i}_recurrent"], 3, axis=1)
    return {
        "reset_kernel": reset,
        "update_kernel": update,
        "candidate_kernel": candidate,
        "candidate_bias": weights[f"gru{i}_candidate_bias"],
    }
