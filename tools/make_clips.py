"""Make data of the kinds that people have, from handwritten digits; the same at every call.

python tools/make_clips.py motions OUT --form=avi --frames=5-60      # class/clip.avi
python tools/make_clips.py captions OUT --form=webp --data=mnist     # labels.csv: path,answer
python tools/make_clips.py speeds OUT --frames=20-60                 # labels.csv likewise
python tools/make_clips.py clothes OUT                               # class/image.png

motions: what a digit does is its class. captions: what a digit in colour does, in words. speeds:
how fast a digit moves at each frame, in pixels a frame. clothes: outlines in colour, of all sizes.
"""

import argparse
import csv
import itertools
import json
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import av
import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image, ImageColor, ImageDraw

from crnn_jax import exit_status, user_path
from crnn_jax.config import default
from crnn_jax.data import clips
from crnn_jax.data.dataset import load_dataset
from crnn_jax.distributed.files import whole_folder

CODECS: dict[str, tuple[str, str, dict[str, str]]] = {
    "mp4": ("libx264", "yuv420p", {"qp": "18"}),  # by crf, small frames differ from call to call
    "avi": ("mjpeg", "yuvj420p", {}),
    "webp": ("libwebp", "bgra", {"lossless": "1"}),  # Pillow would join frames that are equal
    "gif": ("gif", "gray", {}),
}
"""FFmpeg's encoder, form of pixels and options of a file, by its ending."""

COLOURS = ("red", "green", "blue", "yellow", "purple", "white")

CLOTHES = {
    "bag": "1 4, 2.5 4, 3.5 1, 6.5 1, 7.5 4, 9 4, 9 9, 1 9",
    "boot": "3 .5, 6 .5, 6 6, 9.5 7.5, 9.5 9.5, 3 9.5",
    "dress": "3.5 .5, 6.5 .5, 6 4, 9.5 9.5, .5 9.5, 4 4",
    "hat": "0 7.5, 2.5 6.5, 3 2.5, 5 1.5, 7 2.5, 7.5 6.5, 10 7.5, 10 8.5, 0 8.5",
    "shirt": "3 1, 7 1, 10 3.5, 8.5 5, 7.5 4, 7.5 9.5, 2.5 9.5, 2.5 4, 1.5 5, 0 3.5",
    "trousers": "2.5 .5, 7.5 .5, 8.5 9.5, 6 9.5, 5 4, 4 9.5, 1.5 9.5",
}
"""Outlines in a square of 10 by 10: x and y of each corner."""


def clips_of(
    images_IxHxWxC: np.ndarray,
    labels_I: np.ndarray,
    seed: int,
    count: int,
    lengths: Sequence[int] = (clips.FRAMES,),
) -> Iterator[tuple[np.ndarray, int, str]]:
    """Film images, each once before any is filmed again, doing something at random.

    Args:
      images_IxHxWxC: uint8.
      labels_I: of the images.
      seed: of images, lengths and scenes; clip i has the key i of `jax.random.split`.
      count: number of clips.
      lengths: from which each clip's is drawn, in frames; those of `FRAMES` alone are, to the last
        bit, what `Clips.render` makes.

    Yields:
      frames_LxHxWxC, the label, and one of `SCENES`.
    """
    rng = np.random.default_rng(seed)
    chosen_N = np.resize(rng.permutation(len(images_IxHxWxC)), count)
    lengths_N = rng.choice(lengths, count)
    keys_N = jax.random.split(jax.random.key(seed), count)
    # All have as many frames as the longest at first, so that one function is compiled for all.
    times = jax.jit(lambda: {x: jnp.linspace(-0.5, 0.5, x, dtype=np.float32) for x in lengths})()
    times_NxT = np.stack([np.resize(times[length], max(lengths)) for length in lengths_N])
    film = jax.jit(jax.vmap(clips.film))
    for first in range(0, count, 100):
        block = slice(first, first + 100)
        filmed = film(images_IxHxWxC[chosen_N[block]], keys_N[block], times_NxT[block])
        for i, frames, scene in zip(itertools.count(first), *map(np.asarray, filmed), strict=False):
            yield frames[: lengths_N[i]], int(labels_I[chosen_N[i]]), clips.SCENES[scene]


def speeds_of(
    images_IxHxWxC: np.ndarray, seed: int, count: int, lengths: Sequence[int]
) -> Iterator[tuple[np.ndarray, list[float]]]:
    """Film images that go round, now faster and now slower.

    Yields:
      frames_LxHxWxC, and the speed at each of them in pixels a frame.
    """
    rng = np.random.default_rng(seed)
    draw = jax.jit(clips.draw)
    for i in np.resize(rng.permutation(len(images_IxHxWxC)), count):
        length, radius = rng.choice(lengths), rng.uniform(8, 11)
        changes = rng.uniform(0, 4, 2 + length // 6)
        speed_L = np.interp(np.linspace(0, 1, length), np.linspace(0, 1, len(changes)), changes)
        way_L = rng.choice([-1, 1]) * (np.cumsum(speed_L) - speed_L / 2)
        angle_L = rng.uniform(0, 2 * np.pi) + way_L / radius
        places_Lx2 = radius * np.stack([np.sin(angle_L), np.cos(angle_L)], axis=1)
        places_Tx2 = np.resize(places_Lx2, (max(lengths), 2)).astype(np.float32)
        sizes_T = np.full(max(lengths), rng.uniform(0.5, 0.7), np.float32)
        frames = np.asarray(draw(images_IxHxWxC[i], places_Tx2, sizes_T))
        yield frames[:length], speed_L.round(3).tolist()


def write_clip(path: Path, frames_LxHxWxC: np.ndarray, form: str) -> Path:
    """Write a folder of PNG files, or one file in a form of `CODECS`; returns its path."""
    frames = frames_LxHxWxC[..., 0] if frames_LxHxWxC.shape[-1] == 1 else frames_LxHxWxC
    if form == "png":
        path.mkdir(parents=True)
        for i, frame in enumerate(frames):
            Image.fromarray(frame).save(path / f"{i}.png")
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    path = path.with_name(f"{path.name}.{form}")
    codec, pixels, settings = CODECS[form]
    with av.open(path, "w") as file:
        stream: Any = file.add_stream(codec, rate=10, options=settings)
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], pixels
        for frame in frames:
            shown = av.VideoFrame.from_ndarray(frame, "gray" if frame.ndim == 2 else "rgb24")
            file.mux(stream.encode(shown))
        file.mux(stream.encode(None))
    return path


def motions(out: Path, options: argparse.Namespace) -> None:
    """Write clips in folders of what the digit does."""
    made = clips_of(*_digits(options), options.seed, options.count, options.frames)
    for i, (frames, _, scene) in enumerate(made):
        write_clip(out / scene.replace(" ", "_") / f"clip{i}", frames, options.form)


def captions(out: Path, options: argparse.Namespace) -> None:
    """Write clips of digits in colour, and a list of what each does."""
    images_IxHxWxC, labels_I = _digits(options)
    colours_I = np.random.default_rng(options.seed).integers(0, len(COLOURS), len(labels_I))
    shades_IxC = np.array([*map(ImageColor.getrgb, COLOURS)], np.uint16)[colours_I]
    images_IxHxWxC = (images_IxHxWxC * shades_IxC[:, None, None] // 255).astype(np.uint8)
    kinds_I = [f"the {c} digit {n}" for c, n in itertools.product(COLOURS, clips.NUMERALS)]
    labels_I = colours_I * len(clips.NUMERALS) + labels_I
    made = clips_of(images_IxHxWxC, labels_I, options.seed, options.count, options.frames)
    write_list(out, ((x, f"{kinds_I[label]} {scene}") for x, label, scene in made), options.form)


def speeds(out: Path, options: argparse.Namespace) -> None:
    """Write clips, and a list of how fast the digit moves at each frame."""
    images_IxHxWxC, _ = _digits(options)
    made = speeds_of(images_IxHxWxC, options.seed, options.count, options.frames)
    write_list(out, ((frames, json.dumps(speed)) for frames, speed in made), options.form)


def write_list(out: Path, made: Iterator[tuple[np.ndarray, str]], form: str) -> None:
    """Write clips and labels.csv, which has their paths and answers."""
    with open(out / "labels.csv", "w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(("path", "answer"))
        for i, (frames, answer) in enumerate(made):
            path = write_clip(out / "clips" / f"clip{i}", frames, form)
            rows.writerow((path.relative_to(out).as_posix(), answer))


def clothes(out: Path, options: argparse.Namespace) -> None:
    """Write images in folders of what they show: sizes, places, turns and colours are random."""
    rng = np.random.default_rng(options.seed)
    for i, (kind, outline) in zip(range(options.count), itertools.cycle(CLOTHES.items())):
        corners = np.array([corner.split() for corner in outline.split(",")], float) / 10 - 0.5
        corners += rng.normal(0, 0.015, corners.shape)
        turn, size = rng.normal(0, 0.15), rng.integers(40, 121, 2)
        turned = corners @ [[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]
        corners = turned * rng.uniform(0.6, 0.9) + rng.uniform(0.45, 0.55, 2)
        colour = rng.integers(0, 256, 3)
        ground = (colour + rng.integers(64, 193, 3)) % 256  # another one in each channel
        image = Image.new("RGB", tuple(size.tolist()), tuple(ground.tolist()))
        ImageDraw.Draw(image).polygon([*map(tuple, corners * size)], tuple(colour.tolist()))
        noisy = np.asarray(image) + rng.normal(0, 10, (*size[::-1], 3))
        (out / kind).mkdir(exist_ok=True)
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(out / kind / f"{kind}{i}.png")


def _digits(options: argparse.Namespace) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels for training."""
    data = default().data
    dirs = {"data_dir": data.data_dir, "manual_dir": data.manual_dir}
    return load_dataset(options.data, **dirs, fallback=False).train


KINDS = {"motions": motions, "captions": captions, "speeds": speeds, "clothes": clothes}


def main(argv: Sequence[str]) -> None:
    """Write the data set that the command line asks for."""
    parser = argparse.ArgumentParser(
        prog="python tools/make_clips.py",
        usage=argparse.SUPPRESS,  # a mistake is one line then
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("out", help="the folder to write")
    parser.add_argument("--form", choices=("png", *CODECS), default="mp4", help="of clips")
    parser.add_argument("--count", type=_whole, default=3000, help="of clips or images")
    parser.add_argument("--frames", type=_lengths, default="8", help="of a clip: 8, or any of 5-60")
    parser.add_argument("--data", choices=("mnist", "mnist-5k", "optdigits"), default="mnist-5k")
    parser.add_argument("--seed", type=_whole, default=1)
    options = parser.parse_args(argv)
    if options.kind == "captions" and options.form == "gif":
        parser.error("--form=gif has grey frames alone here: expected png, webp, mp4 or avi")
    with whole_folder(user_path(options.out)) as unfinished:
        KINDS[options.kind](unfinished, options)


def _whole(text: str) -> int:
    if not re.fullmatch("[1-9][0-9]{0,6}", text):
        raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number, 1 to 9,999,999")
    return int(text)


def _lengths(text: str) -> range:
    match = re.fullmatch("([1-9][0-9]{0,2})(?:-([1-9][0-9]{0,2}))?", text)
    lengths = range(int(match[1]), int(match[2] or match[1]) + 1) if match else range(0)
    if not lengths or lengths[0] < 2:
        raise argparse.ArgumentTypeError(f"{text!r}: expected 2 or more, as in 8 or 5-60")
    return lengths


if __name__ == "__main__":
    sys.exit(exit_status(main, sys.argv[1:]))
