"""How the cost of training and evaluation grows; one measurement in a process of its own.

    python -m benchmarks.growth length 512 FOLDER     # frames trained a second
    python -m benchmarks.growth images 1000000 FOLDER # sequences trained a second
    python -m benchmarks.growth devices 8 FOLDER      # sequences trained a second, batches of 256
    python -m benchmarks.growth tested 240000 FOLDER  # sequences tested a second

FOLDER holds images.npy and labels.npy. It prints a line `=> ` and `REPEATS` numbers as JSON.
"""

import sys
import time
from pathlib import Path

import jax
import numpy as np
from ml_collections import ConfigDict

from benchmarks.worker import STRETCH, say
from configs.sum8_2016 import get_config
from crnn_jax import evaluate
from crnn_jax.data.dataset import Dataset, known_info
from crnn_jax.data.split import Split
from crnn_jax.distributed import devices
from crnn_jax.train.batching import device_count
from crnn_jax.train.trainer import Trainer

VALUES = {
    "length": (8, 32, 128, 512),
    "images": (10_000, 100_000, 1_000_000),
    "devices": (1, 2, 4, 8),
    "tested": (15_000, 60_000, 240_000),
}
REPEATS = 5


def main() -> None:
    """Measures."""
    what, value, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    config = get_config()
    config.train.batch_size = 32
    config.train.steps_per_dispatch = 1
    images, cores = 60_000, None
    match what:
        case "length":
            config.task.min_length = config.task.max_length = value
        case "images":
            images = value
        case "devices":
            config.train.batch_size, cores = 256, value
        case "tested":
            config.eval.validation_sequences = value
    devices.use_cores(cores or device_count(config, devices.core_count(), 1))
    corpus = repeated(folder, images)
    if what == "tested":
        say(testing(config, corpus))
    else:
        frames = value * config.train.batch_size if what == "length" else config.train.batch_size
        say([frames * rate for rate in training(config, corpus)])


def repeated(folder: Path, images: int) -> Dataset:
    """The images again and again, so that there are so many; 10,000 of them for the test."""
    images_IxHxWxC = np.resize(np.load(folder / "images.npy"), (images, 28, 28, 1))
    labels_I = np.resize(np.load(folder / "labels.npy"), images).astype(np.int32)
    split = Split(images_IxHxWxC, labels_I)
    test = Split(images_IxHxWxC[:10_000], labels_I[:10_000])
    return Dataset(known_info("mnist:benchmark"), split, test, test)


def training(config: ConfigDict, corpus: Dataset) -> list[float]:
    """Steps/s of stretches of `STRETCH` seconds."""
    trainer = Trainer(config, corpus)
    state = devices.replicate(trainer.initial_state())
    source, own = next(trainer.feed.sources(0)), devices.device_inputs()
    found = []
    for _ in range(1 + REPEATS):
        start, steps = time.perf_counter(), 0
        while (seconds := time.perf_counter() - start) < STRETCH:
            state, metrics = trainer.dispatch(state, own, source)
            jax.block_until_ready(metrics)
            steps += 1
        found.append(steps / seconds)
    return found[1:]  # the first stretch held the compilation


def testing(config: ConfigDict, corpus: Dataset) -> list[float]:
    """Sequences/s of an evaluation."""
    trainer = Trainer(config, corpus)
    params = trainer.initial_state().params
    evaluation = evaluate.validation_evaluator(trainer.network, trainer.task, config, corpus)
    sequences = config.eval.validation_sequences
    return [sequences / evaluation(params)["seconds"] for _ in range(REPEATS)]


if __name__ == "__main__":
    main()
