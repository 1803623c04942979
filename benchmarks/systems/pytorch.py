"""PyTorch: eager, compiled, and eager with packed frames as an expert would write it."""

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.protocol import DECAY, DROPOUT, LEARNING_RATE, LENGTH, Corpus


class Network(nn.Module):
    """The network of 2016."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(1, 8, 4), nn.MaxPool2d(2), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU()
        )
        self.grus = nn.ModuleList([nn.GRU(800, 100), nn.GRU(100, 50)])
        self.dropout = nn.Dropout(DROPOUT)
        self.value = nn.Linear(50, 1)

    def encode(self, frames_FxHxW: Tensor) -> Tensor:
        """Features (F, 800) of uint8 frames."""
        return self.encoder(frames_FxHxW[:, None].float() / 255).flatten(1)

    def forward(self, frames_BxTxHxW: Tensor) -> Tensor:
        """Sums B of padded frames."""
        batch, steps = frames_BxTxHxW.shape[:2]
        hidden = self.encode(frames_BxTxHxW.flatten(0, 1)).reshape(batch, steps, -1).transpose(0, 1)
        for gru in self.grus:
            hidden, _ = gru(hidden)
        return self.value(self.dropout(hidden[-1]))[:, 0]

    def packed(self, frames_FxHxW: Tensor, counts_T: Tensor) -> Tensor:
        """Sums of sequences by falling length, from real frames alone.

        Args:
          frames_FxHxW: the first frames of all sequences, then the second ones, and so on.
          counts_T: how many sequences have a frame at each step, on the CPU.
        """
        hidden = nn.utils.rnn.PackedSequence(self.encode(frames_FxHxW), counts_T)
        for gru in self.grus:
            hidden, last = gru(hidden)
        return self.value(self.dropout(last[0]))[:, 0]


class System:
    """Training and inference; the corpus is in memory as uint8."""

    def __init__(
        self, corpus: Corpus, weights: dict[str, np.ndarray], batch: int, form: str = "eager"
    ) -> None:
        self.corpus, self.batch, self.rng = corpus, batch, np.random.default_rng(0)
        self.images = torch.from_numpy(np.array(corpus.images))
        self.network = Network()
        self.network.load_state_dict(state_dict(weights, (0, 3), "value", (10, 10)))
        self.show = self._packed if form == "packed" else self._padded
        self.run = self.network.packed if form == "packed" else self.network
        if form == "compile":
            self.run = torch.compile(self.network)
        self.optimizer = torch.optim.RMSprop(self.network.parameters(), LEARNING_RATE, alpha=DECAY)

    def _padded(self, chosen: Tensor, lengths: Tensor) -> tuple[Tensor, ...]:
        real = torch.arange(LENGTH) < lengths[:, None]
        return (self.images[chosen] * real[..., None, None],)

    def _packed(self, chosen: Tensor, lengths: Tensor) -> tuple[Tensor, ...]:
        # By falling length: those that have a frame at a step are the first ones.
        real_TxB = torch.arange(LENGTH)[:, None] < lengths
        return self.images[chosen.T[real_TxB]], real_TxB.sum(1)[: int(lengths[0])]

    def _draw(self) -> tuple[tuple[Tensor, ...], Tensor]:
        chosen, lengths, sums = map(torch.from_numpy, self.corpus.draw(self.rng, self.batch))
        if self.show == self._packed:
            order = torch.argsort(lengths, descending=True)
            chosen, lengths, sums = chosen[order], lengths[order], sums[order]
        return self.show(chosen, lengths), sums

    def train(self, steps: int) -> None:
        """Make so many updates."""
        self.network.train()
        for _ in range(steps):
            shown, sums = self._draw()
            self.optimizer.zero_grad()
            nn.functional.mse_loss(self.run(*shown), sums).backward()
            self.optimizer.step()

    def infer(self, batches: int) -> None:
        """Answer so many drawn batches."""
        self.network.eval()
        with torch.inference_mode():
            for _ in range(batches):
                self.run(*self._draw()[0])

    def answers(self, frames: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """Sums (B,) of frames (B, 8, 28, 28), black ones behind the end."""
        self.network.eval()
        with torch.inference_mode():
            if self.show != self._packed:
                return self.run(torch.from_numpy(frames)).numpy()
            order = np.argsort(-lengths)
            real_TxB = np.arange(LENGTH)[:, None] < lengths[order]
            by_step = torch.from_numpy(frames[order].swapaxes(0, 1)[real_TxB])
            counts_T = torch.from_numpy(real_TxB.sum(1)[: lengths.max()])
            sums = np.empty(len(frames), np.float32)
            sums[order] = self.run(by_step, counts_T).numpy()
            return sums


class Compiled(System):
    """With `torch.compile`."""

    def __init__(self, corpus: Corpus, weights: dict[str, np.ndarray], batch: int) -> None:
        super().__init__(corpus, weights, batch, "compile")


class Packed(System):
    """Real frames alone, by hand."""

    def __init__(self, corpus: Corpus, weights: dict[str, np.ndarray], batch: int) -> None:
        super().__init__(corpus, weights, batch, "packed")


def state_dict(
    weights: dict[str, np.ndarray], convs: tuple[int, ...], last: str, size: tuple[int, int]
) -> dict[str, Tensor]:
    """Weights of convolutions, of two GRUs and of a dense layer, as PyTorch has them.

    Args:
      weights: of all systems.
      convs: where the convolutions stand in `encoder`.
      last: name of the dense layer.
      size: height and width of what the encoder makes.
    """
    arrays = conv_state(weights, convs)
    for i in range(2):
        arrays |= {f"grus.{i}.{name}_l0": array for name, array in gru_state(weights, i).items()}
    gates, features = arrays["grus.0.weight_ih_l0"].shape
    by_place = arrays["grus.0.weight_ih_l0"].reshape(gates, *size, -1)
    # Features lie as channels, height, width here.
    arrays["grus.0.weight_ih_l0"] = by_place.transpose(0, 3, 1, 2).reshape(gates, features)
    return state(weights, arrays, last)


def conv_state(weights: dict[str, np.ndarray], places: tuple[int, ...]) -> dict[str, np.ndarray]:
    """Convolutions at these places of `encoder`: features come first in their kernels."""
    arrays = {}
    for i, place in enumerate(places):
        arrays[f"encoder.{place}.weight"] = weights[f"conv{i}_kernel"].transpose(3, 2, 0, 1)
        arrays[f"encoder.{place}.bias"] = weights[f"conv{i}_bias"]
    return arrays


def gru_state(weights: dict[str, np.ndarray], i: int) -> dict[str, np.ndarray]:
    """The GRU of this number, whose gates have two biases each."""
    own = weights[f"gru{i}_candidate_bias"]
    return {
        "weight_ih": weights[f"gru{i}_input"].T,
        "weight_hh": weights[f"gru{i}_recurrent"].T,
        "bias_ih": weights[f"gru{i}_bias"],
        "bias_hh": np.concatenate([np.zeros(2 * len(own), np.float32), own]),
    }


def state(
    weights: dict[str, np.ndarray], arrays: dict[str, np.ndarray], *dense: str
) -> dict[str, Tensor]:
    """These arrays and the dense layers of these names, as tensors."""
    for name in dense:
        arrays[f"{name}.weight"] = weights[f"{name}_kernel"].T
        arrays[f"{name}.bias"] = weights[f"{name}_bias"]
    return {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}
