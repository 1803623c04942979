"""Times training steps of configs/sum8_2016.py: one JSON line with sequences/s and sgemm's rate.

python benchmarks/rate_crnn_jax.py --batch-size=64
"""

import argparse
import json
import statistics
import time

import jax
import jax.numpy as jnp

from configs.sum8_2016 import get_config
from crnn_jax import parallel
from crnn_jax.data.corpora import load_corpus
from crnn_jax.model.flops import frame_flops
from crnn_jax.train import Trainer


def sgemm_rate(size: int = 2048, repeats: int = 10) -> float:
    """Floating-point operations a second of a square float32 matrix product, the best of some."""
    matrix = jax.random.normal(jax.random.key(0), (size, size))
    product = jax.jit(lambda a: a @ a)
    product(matrix).block_until_ready()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        product(matrix).block_until_ready()
        seconds.append(time.perf_counter() - start)
    return 2 * size**3 / min(seconds)


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--dispatches", type=int, default=20, help="of 10 steps each")
    options = parser.parse_args()

    config = get_config()
    config.train.batch_size = options.batch_size
    config.train.steps_per_dispatch = 10
    data = config.data
    corpus = load_corpus(
        data.corpus, data_dir=data.data_dir, manual_dir=data.manual_dir, fallback=data.fallback
    )
    trainer = Trainer(config, corpus)
    state = parallel.replicate(trainer.initial_state())
    devices, sources = parallel.local_devices(), trainer.feed.sources(0)
    rates = []
    for n in range(options.dispatches + 2):
        source = next(sources)
        start = time.perf_counter()
        state, metrics = trainer.dispatch(state, devices, source)
        jax.block_until_ready(metrics)
        if n >= 2:  # the first ones compile and warm up
            rates.append(10 * options.batch_size / (time.perf_counter() - start))
    rate = statistics.median(rates)
    # Forward, and twice as much backward, but for the first convolution's input gradient.
    images = jnp.asarray(corpus.train.images_NxHxW[0])
    whole = 3 * frame_flops(config.model, *images.shape)
    first = 2 * 25 * 25 * 4 * 4 * 8
    sequence_flops = 4.5 * (whole - first)
    sgemm = sgemm_rate()
    print(
        json.dumps(
            {
                "sequences_per_second": rate,
                "sgemm_gflops": sgemm / 1e9,
                "share_of_sgemm": rate * sequence_flops / sgemm,
                "mflop_a_sequence": sequence_flops / 1e6,
                "corpus": corpus.identity,
            }
        )
    )


if __name__ == "__main__":
    main()
