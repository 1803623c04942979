"""How fast the page answers: `python -m benchmarks.serve --workdir=RUN`.

Starts `python -m crnn_jax.serve` on a run that reads one glyph a picture, such as sum8, twice: the
first time it may have to compile. Clients are threads of this process, on the same cores.
"""

import argparse
import concurrent.futures
import functools
import io
import itertools
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import requests
from PIL import Image, ImageDraw

from crnn_jax.pictures import frames_of

FOUR = [[(14, 10), (10, 38), (52, 38)], [(44, 12), (42, 66)]]
"""A digit as the page sends it: strokes in a picture 80 high."""

_local = threading.local()


def png(image: Image.Image) -> bytes:
    """The bytes of a PNG file."""
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def drawing() -> Image.Image:
    """A four."""
    image = Image.new("L", (72, 80), "white")
    for stroke in FOUR:
        places = [(x + 6, y + 2) for x, y in stroke]
        ImageDraw.Draw(image).line(places, "black", 7, joint="curve")
    return image


def post(address: str, files: Sequence[bytes], **options: str) -> float:
    """Seconds until files are answered."""
    if not hasattr(_local, "session"):
        _local.session = requests.Session()
    started = time.perf_counter()
    parts = [("file", (f"{i}.png", file)) for i, file in enumerate(files)]
    _local.session.post(f"{address}/predict", files=parts, params=options).raise_for_status()
    return time.perf_counter() - started


def start(workdir: str) -> Iterator[tuple[str, float]]:
    """Start a server; give its address, and when it was started."""
    started = time.perf_counter()
    command = [sys.executable, "-m", "crnn_jax.serve", f"--workdir={workdir}", "--port=0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        line = server.stdout.readline()
        found = re.search(r"http://\S+", line)
        if found is None:
            sys.exit(f"the server did not start: {line}")
        yield found[0], started
        server.terminate()


def report(name: str, seconds: Sequence[float], rate: float) -> None:
    """Print a row of a table."""
    median, worst = np.percentile(np.array(seconds) * 1e3, [50, 99])
    print(f"| {name} | {rate:.0f} | {median:.1f} ms | {worst:.1f} ms |", flush=True)


def measure(name: str, ask: Callable[[int], float], count: int, at_a_time: int) -> None:
    """Ask so many times, so many at a time, and report it."""
    with concurrent.futures.ThreadPoolExecutor(at_a_time) as pool:
        list(pool.map(ask, range(at_a_time)))
        started = time.perf_counter()
        seconds = list(pool.map(ask, range(count)))
        report(name, seconds, count / (time.perf_counter() - started))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="How fast the page answers.")
    parser.add_argument("--workdir", required=True, help="a run such as sum8")
    workdir = parser.parse_args().workdir
    for address, started in start(workdir):
        post(address, [png(drawing())])
        print(f"first start to first answer: {time.perf_counter() - started:.1f} s")
    for address, started in start(workdir):
        post(address, [png(drawing())])
        print(f"second start to first answer: {time.perf_counter() - started:.1f} s")
        measure_requests(address)


def measure_requests(address: str) -> None:
    """Measure how fast pictures are answered, and print it as a table."""
    image = drawing()
    frame = png(Image.fromarray(frames_of(image)[0, ..., 0]))
    drawn, photo = png(image), png(image.resize((720, 800), Image.Resampling.BICUBIC))
    most = requests.get(f"{address}/about").json()["most"]
    kinds = {"frame, 28×28": frame, "drawing, 72×80": drawn, "picture, 720×800": photo}
    print("| request | a second | median | 99 of 100 within |\n|---|---|---|---|")
    for (name, file), at_a_time in itertools.product(kinds.items(), (1, 50)):
        ask = functools.partial(_ask_one, address, file)
        measure(f"one {name}, {at_a_time} at a time", ask, 300, at_a_time)
    ask = functools.partial(_ask_added, address, frame, drawn, most)
    measure(f"a drawing after 0 to {most - 1} frames, as the page asks", ask, 300, 1)


def _ask_one(address: str, file: bytes, i: int) -> float:
    del i
    return post(address, [file])


def _ask_added(address: str, frame: bytes, drawn: bytes, most: int, i: int) -> float:
    return post(address, [*[frame] * (i % most), drawn], frames="true")


if __name__ == "__main__":
    main()
