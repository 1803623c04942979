"""Makes clips as people have them, and lists them."""

from fractions import Fraction

import av
import numpy as np
from PIL import Image

from crnn_jax import config
from crnn_jax.data.prepare import prepare
from crnn_jax.data.sources.listing import Clip, Listing


def noise(length, height=10, width=12, *, channels=1, seed=0):
    """Frames LxHxWxC whose pixels are all different."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (length, height, width, channels), np.uint8)


def images(frames_LxHxWxC):
    return [
        Image.fromarray(frame.squeeze(-1) if frame.shape[-1] == 1 else frame)
        for frame in frames_LxHxWxC
    ]


def write_folder(path, frames_LxHxWxC):
    """One PNG a frame; returns their paths in order."""
    path.mkdir(parents=True)
    paths = [path / f"{i}.png" for i in range(len(frames_LxHxWxC))]
    for image, file in zip(images(frames_LxHxWxC), paths, strict=True):
        image.save(file)
    return tuple(paths)


def write_animation(path, frames_LxHxWxC, **options):
    """A GIF, TIFF or WebP; lossless if all frames are grey or it is no GIF."""
    first, *others = images(frames_LxHxWxC)
    first.save(path, save_all=True, append_images=others, lossless=True, exact=True, **options)
    return (path,)


def write_video(path, frames_LxHxWxC, times=None, codec="libx264", pixels="yuv420p"):
    """A video whose frames are shown at these times, in milliseconds."""
    times = [40 * i for i in range(len(frames_LxHxWxC))] if times is None else times
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.height, stream.width = frames_LxHxWxC.shape[1:3]
        stream.pix_fmt = pixels
        stream.codec_context.time_base = Fraction(1, 1000)
        for frame, time in zip(frames_LxHxWxC, times, strict=True):
            rgb = np.ascontiguousarray(np.broadcast_to(frame, (*frame.shape[:2], 3)))
            picture = av.VideoFrame.from_ndarray(rgb, format="rgb24")
            picture.pts, picture.time_base = time, Fraction(1, 1000)
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return (path,)


def many(folder):
    """300 clips of one file each, the same at every call."""
    paths = [folder / f"{i}.gif" for i in range(300)]
    if not folder.exists():
        folder.mkdir()
        for i, path in enumerate(paths):
            write_animation(path, noise(3, 32, 32, seed=i))
    for i, path in enumerate(paths):
        yield path.name, (path,), "ab"[i % 2], ("train", "validation", "test")[i % 3]


def listing(clips, answer="class", classes=("a", "b"), problems=()):
    """Of (name, source, answer, split)."""
    found = tuple(Clip(name, *rest, group=name) for name, *rest in clips)
    return Listing("made/clips", "made", answer, found, classes, problems)


def prepared(found, data_dir, *, unit="words", refuse=True, **fields):
    """Prepare with these fields of config.data."""
    data = config.default().data
    data.update(fields, data_dir=str(data_dir))
    return prepare(found, data, unit, refuse=refuse)
