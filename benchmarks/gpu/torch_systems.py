"""PyTorch on a GPU: eager, compiled, a step in one CUDA graph, packed by hand.

The corpus and the draw are on the device. Sequences are padded to 8 frames but for `torch-packed`
and `torch-packed-graph`, which encode real frames alone, with lengths that are the same in each
batch, so that nothing waits for the host.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks import lines
from benchmarks.protocol import DECAY, LEARNING_RATE, LENGTH, Corpus, weights
from benchmarks.systems import lines_pytorch, pytorch

torch.backends.cudnn.benchmark = True  # it chooses its convolutions by timing, as XLA does
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def build(name: str, corpus: Corpus, net: str, batch: int, dtype: str) -> Any:
    """A system by its name: torch-eager, torch-compile, torch-reduce-overhead, torch-graph, …."""
    if net == "rows":
        return Rows(
            lines.compose(corpus.images, corpus.labels), lines.ROWS.weights(), batch, DEVICE
        )
    return System(corpus, net, batch, dtype, name.removeprefix("torch-"))


class Sum8(pytorch.Network):
    """The layers of sum8 with the head of 2016, whose sums it can be trained on alike."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            *(nn.Conv2d(1, 24, 5), nn.MaxPool2d(2), nn.ReLU()),
            *(nn.Conv2d(24, 48, 3), nn.MaxPool2d(2), nn.ReLU()),
            *(nn.Conv2d(48, 96, 3), nn.ReLU(), nn.Flatten(1), nn.Linear(864, 192), nn.ReLU()),
        )
        self.grus = nn.ModuleList([nn.GRU(192, 128)])
        self.value = nn.Linear(128, 1)


class Rows(lines_pytorch.System):
    """`lines.ROWS`, eager; its lines are padded to the widest of the batch."""

    def train(self, steps: int) -> None:
        """See `worker.System`."""
        super().train(steps)
        if DEVICE == "cuda":
            torch.cuda.synchronize()

    def answers(self, frames: np.ndarray) -> np.ndarray:
        """See `worker.System`; about the first lines."""
        return super().answers(*self.corpus.first(len(frames)))


class System:
    """A network that trains on what it draws itself."""

    def __init__(self, corpus: Corpus, net: str, batch: int, dtype: str, form: str) -> None:
        self.images = torch.from_numpy(np.array(corpus.images)).to(DEVICE)
        self.labels = torch.from_numpy(corpus.labels.astype(np.float32)).to(DEVICE)
        self.batch, self.dtype, self.packed = batch, dtype, form.startswith("packed")
        self.network = Sum8() if net == "sum8" else pytorch.Network()
        if net == "sum8_2016":
            given = pytorch.state_dict(weights(), (0, 3), "value", (10, 10))
            self.network.load_state_dict(given)
        self.network.to(DEVICE).train()
        self.run = self.network.packed if self.packed else self.network
        if form == "compile":
            self.run = torch.compile(self.network)
        if form == "reduce-overhead":
            self.run = torch.compile(self.network, mode="reduce-overhead")
        self.optimizer = torch.optim.RMSprop(
            self.network.parameters(),
            LEARNING_RATE,
            alpha=DECAY,
            capturable=DEVICE == "cuda",
            foreach=True,
        )
        # By falling length, each equally often: those that have a frame at a step come first.
        lengths = torch.arange(LENGTH, 0, -1).repeat_interleave(max(1, batch // LENGTH))[:batch]
        real_TxB = torch.arange(LENGTH)[:, None] < lengths
        self.counts_T, self.owner_F = real_TxB.sum(1), real_TxB.nonzero()[:, 1].to(DEVICE)
        self.graph = form.endswith("graph")
        self.go = None if self.graph else self._step

    def _capture(self) -> None:
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(5):
                self._step()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._step()
        self.go = graph.replay

    def _draw(self) -> tuple[tuple[Tensor, ...], Tensor]:
        if self.packed:
            chosen_F = torch.randint(len(self.labels), self.owner_F.shape, device=DEVICE)
            sums = torch.zeros(self.batch, device=DEVICE)
            sums.index_add_(0, self.owner_F, self.labels[chosen_F])
            return (self.images[chosen_F], self.counts_T), sums
        lengths = torch.randint(1, LENGTH + 1, (self.batch, 1), device=DEVICE)
        chosen = torch.randint(len(self.labels), (self.batch, LENGTH), device=DEVICE)
        real = torch.arange(LENGTH, device=DEVICE) < lengths
        return (self.images[chosen] * real[..., None, None],), (self.labels[chosen] * real).sum(1)

    def _step(self) -> None:
        shown, sums = self._draw()
        self.optimizer.zero_grad(set_to_none=not self.graph)
        with torch.autocast(DEVICE, torch.bfloat16, enabled=self.dtype == "bfloat16"):
            answers = self.run(*shown)
        nn.functional.mse_loss(answers.float(), sums).backward()
        self.optimizer.step()

    def train(self, steps: int) -> None:
        """See `worker.System`."""
        if self.go is None:
            self._capture()
        for _ in range(steps):
            self.go()
        if DEVICE == "cuda":
            torch.cuda.synchronize()

    def answers(self, frames: np.ndarray) -> np.ndarray:
        """See `worker.System`."""
        self.network.eval()
        with (
            torch.inference_mode(),
            torch.autocast(DEVICE, torch.bfloat16, enabled=self.dtype == "bfloat16"),
        ):
            sums = self.network(torch.from_numpy(frames.copy()).to(DEVICE)).float().cpu().numpy()
        self.network.train()
        return sums

    def kernels(self) -> float:
        """See `worker.System`."""
        from torch.profiler import ProfilerActivity, profile

        with profile(activities=[ProfilerActivity.CUDA]) as trace:
            self.train(4)
        on_device = [e for e in trace.events() if e.device_type == torch.autograd.DeviceType.CUDA]
        return len(on_device) / 4
