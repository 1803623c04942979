"""Memory of a training run on clips that are streamed, beside their size.

python -m benchmarks.streaming FOLDER --clips=540

Makes clips of 300 frames of 64×64 RGB noise, 3.7 MB each, prepares them, and trains 20 steps of a
small network on them with data.feed=streamed, in a process of its own. Prints the largest memory
that the process held: RSS after JAX has started, and at its highest.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import av
import numpy as np

FRAMES, SIZE = 300, 64

TRAIN = """
import json, resource, sys
from pathlib import Path
import jax
from crnn_jax.config import default
from crnn_jax.runs.load import load_configured
from crnn_jax.train.loop import train

folder = Path(sys.argv[1])
c = default()
c.task.name, c.data.path, c.data.data_dir = "class", str(folder / "clips"), str(folder / "data")
c.data.feed = sys.argv[2]
c.model.convs, c.model.head = ((8, 5, True), (8, 5, True), (8, 5, True)), "class"
c.train.update(batch_size=8, steps=20, steps_per_dispatch=2)
c.eval.every = c.checkpoint.every = 10
if __name__ == "__main__":
    dataset = load_configured(c, c.data.name, fallback=False)
    parts = (dataset.train, dataset.validation, dataset.test)
    size = sum(int(part.lengths_B.sum()) for part in parts)
    jax.device_count()
    rss = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    before = rss()
    train(c, dataset, folder / f"run-{sys.argv[2]}", profile=False)
    bytes_of_frames = size * 64 * 64 * 3
    print(json.dumps({"frames": bytes_of_frames, "before": before, "after": rss()}))
"""


def make(folder: Path, clips: int) -> None:
    """Make clips of noise, each another, in two classes."""
    for i in range(clips):
        path = folder / "clips" / "ab"[i % 2] / f"{i}.mp4"
        if path.exists():
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(i)
        part = path.with_suffix(".part")
        with av.open(str(part), "w", format="mp4") as container:
            stream = container.add_stream("mpeg4", rate=25)
            stream.height, stream.width, stream.pix_fmt = SIZE, SIZE, "yuv420p"
            for _ in range(FRAMES):
                noise = rng.integers(0, 256, (SIZE // 8, SIZE // 8, 3), np.uint8)
                frame = np.ascontiguousarray(noise.repeat(8, 0).repeat(8, 1))
                container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            container.mux(stream.encode())
        part.rename(path)


def main() -> None:
    """Make the clips, train, and print the memory."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--clips", type=int, default=540)
    parser.add_argument("--feeds", nargs="+", default=["streamed"])
    options = parser.parse_args()
    make(options.folder, options.clips)
    script = options.folder / "train.py"
    script.write_text(TRAIN)
    for feed in options.feeds:
        command = [sys.executable, str(script), str(options.folder), feed]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        found = json.loads(done.stdout.splitlines()[-1])
        numbers = ", ".join(f"{name} {size / 2**20:,.0f} MiB" for name, size in found.items())
        print(f"{feed}: {numbers}")


if __name__ == "__main__":
    main()
