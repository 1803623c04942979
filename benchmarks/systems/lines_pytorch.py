"""PyTorch on lines: padded to the widest of the batch, eager and compiled; and hardly padded."""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from benchmarks.lines import CLASSES, LEARNING_RATE, ROWS, STRIP, Corpus, on_side
from benchmarks.systems.pytorch import conv_state, gru_state, state

SORTED = 16  # batches whose lines are sorted by width together


class Network(nn.Module):
    """`lines.ROWS`; in "channels_last", which is faster here."""

    def __init__(self) -> None:
        super().__init__()
        convs = [
            (nn.Conv2d(channels, features, size, padding="same"), nn.MaxPool2d(pool), nn.ReLU())
            for size, channels, features, pool in ROWS.convs
        ]
        self.encoder = nn.Sequential(*[layer for conv in convs for layer in conv])
        self.encoder.to(memory_format=torch.channels_last)
        self.dense = nn.Linear(ROWS.column, ROWS.dense)
        self.gru = nn.GRU(ROWS.dense, ROWS.grus[0], bidirectional=True)
        self.symbol = nn.Linear(2 * ROWS.grus[0], CLASSES)

    def forward(self, pictures_BxWxH: Tensor, lengths_B: Tensor) -> Tensor:
        """Log-probabilities TxBxK of padded lines."""
        pictures = pictures_BxWxH.mT[:, None].float() / 255
        columns = self.encoder(pictures.contiguous(memory_format=torch.channels_last))
        features_TxBxD = self.dense(columns.permute(3, 0, 2, 1).flatten(2)).relu()
        packed = pack_padded_sequence(features_TxBxD, lengths_B, enforce_sorted=False)
        hidden_TxBxU, _ = pad_packed_sequence(self.gru(packed)[0])
        return self.symbol(hidden_TxBxU).log_softmax(-1)


class System:
    """Training and inference; the lines are on the device as uint8, padded to the widest."""

    def __init__(
        self, corpus: Corpus, weights: dict[str, np.ndarray], batch: int, device: str = "cpu"
    ) -> None:
        self.corpus, self.batch, self.rng = corpus, batch, np.random.default_rng(0)
        strips = corpus.padded(np.arange(len(corpus.lengths)), corpus.lengths.max())
        self.pictures = torch.from_numpy(on_side(strips)).to(device)
        self.lengths = torch.from_numpy(corpus.lengths)  # on the CPU, where they are packed by
        self.texts = torch.from_numpy(corpus.answers).long().to(device)
        self.run = self.network = Network()
        self.network.load_state_dict(state_dict(weights))
        self.network.to(device)
        self.optimizer = torch.optim.Adam(self.network.parameters(), LEARNING_RATE)

    def _chosen(self) -> np.ndarray:
        """Numbers of the lines of a batch."""
        return self.rng.integers(0, len(self.pictures), self.batch)

    def _draw(self) -> tuple[Tensor, Tensor, Tensor]:
        chosen = self._chosen()
        lengths = self.lengths[chosen]
        return self._padded(chosen, STRIP * int(lengths.max())), lengths, self.texts[chosen]

    def _padded(self, chosen: np.ndarray, widest: int) -> Tensor:
        """Pictures BxWxH of these lines, whose widest has so many pixels."""
        return self.pictures[chosen, :widest]

    def train(self, steps: int) -> None:
        """Make so many updates."""
        self.network.train()
        for _ in range(steps):
            lines, lengths, texts = self._draw()
            self.optimizer.zero_grad()
            logs = self.run(lines, lengths)
            loss = nn.functional.ctc_loss(
                *(logs, texts.clamp(min=0), lengths, (texts >= 0).sum(1)),
                blank=CLASSES - 1,
                reduction="sum",
            )
            (loss / self.batch).backward()
            self.optimizer.step()

    def infer(self, batches: int) -> None:
        """Answer so many drawn batches: the likeliest symbol of each column."""
        self.network.eval()
        with torch.inference_mode():
            for _ in range(batches):
                self.run(*self._draw()[:2]).argmax(-1)

    def answers(self, strips: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """Log-probabilities BxTxK of lines that need no padding."""
        self.network.eval()
        lines = torch.from_numpy(on_side(strips)).to(self.pictures.device)
        with torch.inference_mode():
            return self.run(lines, torch.from_numpy(lengths)).transpose(0, 1).cpu().numpy()


class Compiled(System):
    """With `torch.compile`, and all padded to the widest there is: it would compile each width."""

    def __init__(self, corpus: Corpus, weights: dict[str, np.ndarray], batch: int) -> None:
        super().__init__(corpus, weights, batch)
        self.run = torch.compile(self.network, dynamic=False)

    def _padded(self, chosen: np.ndarray, widest: int) -> Tensor:
        del widest
        return self.pictures[chosen]


class Sorted(System):
    """Batches of lines of like widths, in random order: next to nothing is padded."""

    ahead: tuple[np.ndarray, ...] = ()

    def _chosen(self) -> np.ndarray:
        if not self.ahead:
            chosen = self.rng.integers(0, len(self.pictures), SORTED * self.batch)
            by_width = chosen[np.argsort(self.corpus.lengths[chosen])].reshape(SORTED, self.batch)
            self.ahead = tuple(self.rng.permutation(by_width))
        *self.ahead, chosen = self.ahead
        return chosen


def state_dict(weights: dict[str, np.ndarray]) -> dict[str, Tensor]:
    """The weights of `lines.ROWS` as PyTorch has them."""
    forward, backward = (gru_state(weights, i) for i in range(2))
    arrays = conv_state(weights, (0, 3, 6))
    arrays |= {f"gru.{name}_l0": array for name, array in forward.items()}
    arrays |= {f"gru.{name}_l0_reverse": array for name, array in backward.items()}
    return state(weights, arrays, "dense", "symbol")
