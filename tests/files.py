"""Files that tests write, serve, and compare."""

import contextlib
import gzip
import http.server
import json
import struct
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tensorboardX.proto.event_pb2 import Event


def idx_bytes(array: np.ndarray, shape: tuple[int, ...] | None = None) -> bytes:
    """The content of an IDX file of bytes; `shape` is what its header claims."""
    shape = array.shape if shape is None else shape
    header = bytes([0, 0, 8, len(shape)]) + np.array(shape, ">u4").tobytes()
    return header + array.astype(np.uint8).tobytes()


def png_bytes(width: int, height: int) -> bytes:
    """A PNG file's beginning: its header promises pixels that are not there."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        checked = kind + content
        return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0"))


def content(folder: Path) -> dict[Path, bytes | None]:
    """Every file under a folder and its bytes, every folder and None; Python's own cache aside."""
    return {
        path: path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
        if "__pycache__" not in str(path)
    }


METRICS = [
    {"step": 2, "gradient_norm": 1.0, "loss": 3.0},
    {"step": 2, "validation_rmse": 5.0, "validation_exact": 0.25},
    {"step": 4, "gradient_norm": "nan", "loss": 2.0},
    {"step": 4, "validation_rmse": 4.5, "validation_exact": 0.5},
]


def write_metrics(workdir: Path, text: str | None = None) -> Path:
    """A run's metrics.jsonl: `METRICS`, or a text."""
    workdir.mkdir(exist_ok=True)
    path = workdir / "metrics.jsonl"
    path.write_text("".join(json.dumps(x) + "\n" for x in METRICS) if text is None else text)
    return path


def tensorboard_events(workdir: Path) -> Iterator[Event]:
    """What stands in a run's TensorBoard files, in order."""
    for path in sorted((workdir / "tensorboard").iterdir()):
        data, offset = path.read_bytes(), 0
        while offset < len(data):
            (length,) = struct.unpack_from("<Q", data, offset)
            yield Event.FromString(data[offset + 12 : offset + 12 + length])
            offset += length + 16  # the length and its check before it, its own check after it


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serves a folder by HTTP on this machine; gives its address."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: object) -> None:
            super().__init__(*args, directory=folder)

        def log_message(self, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        threading.Thread(target=httpd.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{httpd.server_port}/"
        httpd.shutdown()


def write_idx_pair(folder: Path, prefix: str, *, images=(12, 28, 28), labels=(1,) * 12) -> None:
    """Writes gzipped IDX files of images, all of different pixels, and of labels."""
    pixels = np.arange(np.prod(images)).astype(np.uint8).reshape(images)
    for name, array in [("images-idx3", pixels), ("labels-idx1", np.array(labels, np.uint8))]:
        (folder / f"{prefix}-{name}-ubyte.gz").write_bytes(gzip.compress(idx_bytes(array), mtime=0))
