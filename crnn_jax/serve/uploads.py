"""The files of a request: received within limits, on disk only while they are answered about."""

import asyncio
import contextlib
import re
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import Message, Receive

MOST_BYTES = 32 * 2**20
MOST_FILES = 1_000
SECONDS = 20
"""Of one request: its length, its files, and how long it may take to arrive."""

HOW = "send files as multipart/form-data, as in curl -F file=@three.png ADDRESS/predict"

_LONGEST_NAME = 60  # characters; 240 bytes at most, and file systems take 255


@contextlib.asynccontextmanager
async def received(request: Request) -> AsyncIterator[list[UploadFile]]:
    """The files of a request, in order; they are gone after.

    Raises:
      HTTPException: there are none, or they are too many, too large or too slow, or the request
        is no form.
    """
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise HTTPException(415, f"the request holds no form: {HOW}")
    length = request.headers.get("content-length", "0")
    if not length.isascii() or not length.isdecimal() or int(length) > MOST_BYTES:
        raise _too_large()
    limited = _Limited(request.receive)
    reading = Request(request.scope, limited)
    try:
        async with asyncio.timeout(SECONDS):
            form = await reading.form(max_files=MOST_FILES, max_fields=MOST_FILES)
    except TimeoutError as error:
        raise HTTPException(408, f"the files took longer than {SECONDS} s to arrive") from error
    try:
        if not limited.tail.rstrip(b"\r\n").endswith(b"--"):  # Starlette would leave a file out
            raise HTTPException(400, f"the form is cut off: {HOW}")
        yield _only_files(form.multi_items())
    finally:
        await form.close()


class _Limited:
    """What a request receives, until more comes than it may hold; and how its content ended."""

    def __init__(self, receive: Receive) -> None:
        self.receive = receive
        self.total = 0
        self.tail = b""

    async def __call__(self) -> Message:
        message = await self.receive()
        content = message.get("body", b"")
        self.total += len(content)
        self.tail = (self.tail + content)[-4:]
        if self.total > MOST_BYTES:
            raise _too_large()
        return message


def _too_large() -> HTTPException:
    return HTTPException(413, f"the files are too large: expected {MOST_BYTES // 2**20} MB at most")


def _only_files(items: Sequence[tuple[str, UploadFile | str]]) -> list[UploadFile]:
    files = [value for _, value in items if isinstance(value, UploadFile)]
    if len(files) < len(items):
        name = next(name for name, value in items if isinstance(value, str))
        raise HTTPException(400, f"{name[:100]!r} is no file: {HOW}")
    if not files:
        raise HTTPException(400, f"found no file: {HOW}")
    return files


@contextlib.contextmanager
def saved(files: Sequence[UploadFile]) -> Iterator[list[Path]]:
    """Files on disk by the names that they came with; those of one name in folders of their own."""
    with tempfile.TemporaryDirectory(prefix="crnn_jax-") as folder:
        paths: list[Path] = []
        for i, file in enumerate(files):
            path = Path(folder, "0", plain_name(file.filename or ""))
            if path.exists():
                path = Path(folder, f"{i}", path.name)
            path.parent.mkdir(exist_ok=True)
            with path.open("xb") as out:
                shutil.copyfileobj(file.file, out)
            paths.append(path)
        yield paths


def plain_name(name: str) -> str:
    """A file's name as a client gives it, without folders and what no name should hold."""
    name = re.split(r"[\\/]", name)[-1][-_LONGEST_NAME:]
    return "".join(x if x.isprintable() else "_" for x in name).lstrip(".~") or "file"


def without_folders(message: str, paths: Sequence[Path]) -> str:
    """A message that names files as they came."""
    folder = re.escape(str(paths[0].parents[1]))
    message = re.sub(rf"{folder}/\d+/", "", message)
    return re.sub(rf"{folder}/\d+", "the files", message)
