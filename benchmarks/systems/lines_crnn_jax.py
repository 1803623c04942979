"""This project on lines: several in a lane, a gap between them, convolved together."""

import jax
import numpy as np
from ml_collections import ConfigDict

from benchmarks.lines import (
    CAPTCHA,
    CLASSES,
    HEIGHT,
    LEARNING_RATE,
    LEAST_STEPS,
    MOST,
    ROWS,
    STRIP,
    Corpus,
    Network,
)
from benchmarks.systems.clips_crnn_jax import Stored, settings, stored
from benchmarks.systems.crnn_jax import convs, dense, gru_step
from crnn_jax.data.dataset import Dataset
from crnn_jax.data.lanes import Lanes
from crnn_jax.data.packing import fill, pack
from crnn_jax.model.columns import GAP
from crnn_jax.model.heads import Output

POOLS = {(2, 2): True, (2, 1): "tall"}


class Rows(Stored):
    """The network of `lines.ROWS`."""

    network: Network = ROWS
    steps = LEAST_STEPS  # of a dispatch

    def __init__(self, corpus: Corpus, weights: dict[str, np.ndarray], batch: int) -> None:
        self.corpus = corpus
        settings = config(self.network, batch, self.steps)
        super().__init__(settings, dataset(corpus), parameters(weights, self.network))

    def read(self, output: Output, lanes: Lanes) -> jax.Array:
        """See `Stored`."""
        del lanes
        return output.answers().answer

    def answers(self, strips: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """Log-probabilities BxTxK of lines of one length; here they stand in lanes."""
        packing = pack(lengths, 1, GAP)
        lanes = packing.lanes(0, lengths.astype(np.int32))
        shape = (packing.steps, packing.lanes_GxNxP.shape[1], HEIGHT, STRIP, 1)
        frames = np.zeros(shape, np.uint8)
        fill(frames, lanes, range(len(strips)), strips[..., None])
        logits = self.output(frames, lanes).logits_TxNxV
        return np.asarray(jax.nn.log_softmax(lanes.rows(logits, int(lengths.max()))))


class Captcha(Rows):
    """The network of `lines.CAPTCHA`."""

    network = CAPTCHA


def config(network: Network, batch: int, steps: int) -> ConfigDict:
    """The config of this network, with so many steps of a dispatch."""
    found = settings("line", batch, LEARNING_RATE, steps)
    found.data.strip, found.data.height = STRIP, HEIGHT
    found.model.encoder, found.model.head = "columns", "ctc"
    found.model.convs = tuple(
        (features, size, POOLS[pool], "same") for size, _, features, pool in network.convs
    )
    found.model.dense, found.model.encoder_dropout = (network.dense,), network.dropout
    found.model.aggregator, found.model.gru_units = "bigru", network.grus
    return found


def dataset(corpus: Corpus) -> Dataset:
    """The lines as a data set of this project."""
    digits = tuple(map(str, range(CLASSES - 1)))
    texts = np.array(["".join(map(str, text[text >= 0])) for text in corpus.answers])
    about = {"answer": "text", "vocabulary": digits, "symbols": MOST}
    return stored(corpus, (HEIGHT, STRIP, 1), texts, **about)


def parameters(weights: dict[str, np.ndarray], network: Network) -> dict:
    """The weights of all systems as this project has them."""
    head = {"symbol": dense(weights, "symbol"), "log_temperature": np.zeros((), np.float32)}
    encoder = {"convs": convs(weights), "dense0": dense(weights, "dense")}
    params: dict = {"encoder": encoder, "answer_head": head}
    for i in range(len(network.grus)):
        both = (2 * i, 2 * i + 1)  # which share the projection of their input
        inputs = {
            "kernel": np.concatenate([weights[f"gru{j}_input"] for j in both], axis=1),
            "bias": np.concatenate([weights[f"gru{j}_bias"] for j in both]),
        }
        steps = [{"step": gru_step(weights, j)} for j in both]
        params[f"bigru_{i}"] = {"input": inputs, "forward": steps[0], "backward": steps[1]}
    return {"params": params}
