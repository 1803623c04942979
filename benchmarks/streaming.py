"""Memory of a training run on clips that are streamed, beside their size.

python -m benchmarks.streaming FOLDER --clips=540

Makes clips of 300 frames of 64×64 RGB noise, 3.7 MB each, prepares them, and trains 20 steps of a
small network on them with data.feed=streamed. Prints the largest memory that the process held:
once the data is open, once two steps are trained, and at the end.
"""

import argparse
import resource
from pathlib import Path

import av
import numpy as np

from crnn_jax.config import default
from crnn_jax.data.dataset import Dataset
from crnn_jax.runs.load import load_configured
from crnn_jax.train.loop import train

FRAMES, SIZE, BLOCK = 300, 64, 8


def make(folder: Path, clips: int) -> None:
    """Make clips of blocks of noise, each another, in two classes; those that are there stay."""
    for i in range(clips):
        path = folder / "ab"[i % 2] / f"{i}.mp4"
        if path.exists():
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        rng, draft = np.random.default_rng(i), path.with_suffix(".part")
        with av.open(str(draft), "w", format="mp4") as container:
            stream = container.add_stream("mpeg4", rate=25)
            stream.height, stream.width, stream.pix_fmt = SIZE, SIZE, "yuv420p"
            for _ in range(FRAMES):
                noise = rng.integers(0, 256, (SIZE // BLOCK, SIZE // BLOCK, 3), np.uint8)
                frame = np.ascontiguousarray(noise.repeat(BLOCK, 0).repeat(BLOCK, 1))
                container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            container.mux(stream.encode())
        draft.rename(path)


def largest() -> str:
    """The largest memory so far."""
    return f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10:,.0f} MiB"


def frames(dataset: Dataset) -> int:
    """Bytes of all frames."""
    parts = (dataset.train, dataset.validation, dataset.test)
    return sum(int(part.lengths_B.sum()) for part in parts) * SIZE * SIZE * 3


def main() -> None:
    """Make the clips, train, and print the memory."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--clips", type=int, default=540)
    options = parser.parse_args()
    make(options.folder / "clips", options.clips)
    c = default()
    c.task.name, c.data.feed = "class", "streamed"
    c.data.path, c.data.data_dir = (str(options.folder / name) for name in ("clips", "data"))
    c.model.convs, c.model.head = ((8, 5, True), (8, 5, True), (8, 5, True)), "class"
    c.train.update(batch_size=8, steps=2, steps_per_dispatch=2)
    c.eval.every = c.checkpoint.every = 20
    dataset = load_configured(c, c.data.name, fallback=False)
    print(f"frames {frames(dataset) / 2**20:,.0f} MiB; open: {largest()}", flush=True)
    for steps in (2, 20):  # the second run goes on
        c.train.steps = steps
        train(c, dataset, options.folder / "run", profile=False)
        print(f"{steps} steps: {largest()}", flush=True)


if __name__ == "__main__":
    main()
