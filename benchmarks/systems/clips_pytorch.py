"""PyTorch on clips, eager: padded to the longest of the batch, the GRUs over a packed sequence."""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_sequence

from benchmarks.clips import CLASSES, CONVS, DROPOUT, GRUS, LEARNING_RATE, Corpus
from benchmarks.systems.pytorch import state_dict


class Network(nn.Module):
    """The network of `clips.py`."""

    def __init__(self) -> None:
        super().__init__()
        convs = [
            (nn.Conv2d(channels, features, size), nn.MaxPool2d(2), nn.ReLU())
            for size, channels, features in CONVS
        ]
        self.encoder = nn.Sequential(*[layer for conv in convs for layer in conv], nn.Flatten())
        self.grus = nn.ModuleList([nn.GRU(*sizes, batch_first=True) for sizes in GRUS])
        self.dropout = nn.Dropout(DROPOUT)
        self.add_module("class", nn.Linear(GRUS[-1][1], CLASSES))  # as the weights are named

    def forward(self, frames_BxTxHxW: Tensor, lengths_B: Tensor) -> Tensor:
        """Logits BxK of padded frames."""
        batch, steps = frames_BxTxHxW.shape[:2]
        frames_FxCxHxW = frames_BxTxHxW.flatten(0, 1)[:, None].float() / 255
        features = self.encoder(frames_FxCxHxW).reshape(batch, steps, -1)
        hidden = pack_padded_sequence(features, lengths_B, batch_first=True, enforce_sorted=False)
        for gru in self.grus:
            hidden, last = gru(hidden)
        return self.get_submodule("class")(self.dropout(last[-1]))


class System:
    """Training and inference; the clips are in memory as uint8."""

    def __init__(self, corpus: Corpus, weights: dict[str, np.ndarray], batch: int) -> None:
        self.batch, self.rng = batch, np.random.default_rng(0)
        self.clips = [
            torch.from_numpy(clip) for clip in corpus.clips(np.arange(len(corpus.lengths)))
        ]
        self.lengths, self.classes = map(torch.from_numpy, (corpus.lengths, corpus.answers))
        self.network = Network()
        self.network.load_state_dict(state_dict(weights, (0, 3, 6), "class", (3, 3)))
        self.optimizer = torch.optim.Adam(self.network.parameters(), LEARNING_RATE)

    def _draw(self) -> tuple[Tensor, Tensor, Tensor]:
        chosen = self.rng.integers(0, len(self.clips), self.batch)
        frames = pad_sequence([self.clips[i] for i in chosen], batch_first=True)
        return frames, self.lengths[chosen], self.classes[chosen]

    def train(self, steps: int) -> None:
        """Make so many updates."""
        self.network.train()
        for _ in range(steps):
            frames, lengths, classes = self._draw()
            self.optimizer.zero_grad()
            nn.functional.cross_entropy(self.network(frames, lengths), classes).backward()
            self.optimizer.step()

    def infer(self, batches: int) -> None:
        """Answer so many drawn batches."""
        self.network.eval()
        with torch.inference_mode():
            for _ in range(batches):
                self.network(*self._draw()[:2])

    def answers(self, frames: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """Probabilities of the classes (B, 13)."""
        self.network.eval()
        with torch.inference_mode():
            logits = self.network(torch.from_numpy(frames), torch.from_numpy(lengths))
            return logits.softmax(-1).numpy()
