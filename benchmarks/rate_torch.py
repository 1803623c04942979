"""Times training steps of the same network in eager PyTorch: one JSON line with sequences/s.

Written as one writes it: sequences padded with black frames to 8, images in memory as uint8.

    python benchmarks/rate_torch.py --batch-size=64
"""

import argparse
import json
import statistics
import time

import torch
from torch import Tensor, nn


class Network(nn.Module):
    """mnistCRNN's network: two convolutions, two GRU layers, dropout, one dense unit."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(1, 8, 4), nn.MaxPool2d(2), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU()
        )
        self.first = nn.GRU(800, 100, batch_first=True)
        self.second = nn.GRU(100, 50, batch_first=True)
        self.dropout = nn.Dropout(0.2)
        self.value = nn.Linear(50, 1)

    def forward(self, frames_BxTxHxW: Tensor) -> Tensor:
        """Sums B of uint8 frames."""
        batch, steps, height, width = frames_BxTxHxW.shape
        frames = frames_BxTxHxW.reshape(-1, 1, height, width).float() / 255
        hidden, _ = self.first(self.encoder(frames).reshape(batch, steps, -1))
        hidden, _ = self.second(hidden)
        return self.value(self.dropout(hidden[:, -1]))[:, 0]


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--steps", type=int, default=100)
    options = parser.parse_args()

    images = torch.randint(0, 256, (60_000, 28, 28), dtype=torch.uint8)
    labels = torch.randint(0, 10, (60_000,))
    network = Network()
    optimizer = torch.optim.RMSprop(network.parameters(), 1e-3, alpha=0.9)
    rates = []
    for n in range(options.steps + 10):
        start = time.perf_counter()
        lengths = torch.randint(1, 9, (options.batch_size, 1))
        chosen = torch.randint(0, len(images), (options.batch_size, 8))
        real = torch.arange(8) < lengths
        frames = images[chosen] * real[:, :, None, None]
        target = (labels[chosen] * real).sum(1).float()
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(network(frames), target)
        loss.backward()
        optimizer.step()
        if n >= 10:
            rates.append(options.batch_size / (time.perf_counter() - start))
    print(json.dumps({"sequences_per_second": statistics.median(rates)}))


if __name__ == "__main__":
    main()
