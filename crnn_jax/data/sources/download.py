"""Official files: downloading them, given up soon where they cannot be had, and knowing them."""

import hashlib
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path

import requests

from crnn_jax import UserError

PATIENCE_S = 20.0  # in every such span of time ...
_LEAST_BYTES = 2 * 2**20  # ... this much of small files must come in, or all of it
_TIMEOUT_S = (5.0, 10.0)  # to connect to one address; of silence from the server
_LARGEST_BYTES = 64 * 2**20
_CHUNK_BYTES = 2**16


class DownloadError(Exception):
    """A file could not be downloaded; one line says which and why."""


def download(urls: Sequence[str]) -> list[bytes]:
    """Downloads small files into memory.

    Args:
      urls: where the files are; together they must fit into memory.

    Returns:
      The content of each file.

    Raises:
      DownloadError: no connection, an answer other than 200, a file above 64 MiB, or less than
        2 MiB in any `PATIENCE_S` seconds.
    """
    contents = [bytearray() for _ in urls]

    def fetch() -> None:
        for url, content in zip(urls, contents, strict=True):
            _fetch(url, content)

    for _ in _wait(fetch, urls[0], lambda: sum(map(len, contents)), _LEAST_BYTES):
        pass
    return [bytes(content) for content in contents]


def download_file(url: str, path: Path, *, size: int, sha256: str) -> None:
    """Downloads a large file, and says on stderr every `PATIENCE_S` seconds how far it is.

    Args:
      url: where the file is.
      path: where to write it.
      size: bytes that it has.
      sha256: of its content, in hex digits.

    Raises:
      DownloadError: no connection, an answer other than 200, nothing in any `PATIENCE_S` seconds,
        or what came is another file. `path` does not exist then.
      OSError: `path` cannot be written. Nor does it exist then.
    """
    print(f"downloading {url}, {size / 1e6:,.0f} MB", file=sys.stderr, flush=True)
    digest = hashlib.sha256()
    try:
        with path.open("wb") as file:

            def fetch() -> None:
                for chunk in _chunks(url):
                    file.write(chunk)  # raises once the file is closed: this ends the thread
                    digest.update(chunk)
                    if file.tell() > size:
                        raise DownloadError(f"{url}: more than {size:,} bytes")

            for received in _wait(fetch, url, file.tell, least_bytes=1):
                progress = f"{received / 1e6:,.0f} of {size / 1e6:,.0f} MB"
                print(f"downloading {url}: {progress}", file=sys.stderr, flush=True)
            if digest.hexdigest() != sha256:
                raise DownloadError(f"{url} is not the official file ({file.tell():,} bytes)")
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def check_sha256(path: Path, expected: str, *, corpus: str, url: str) -> None:
    """Checks that a file is the official one, byte for byte.

    Args:
      path: the file.
      expected: SHA-256 of the official one, in hex digits.
      corpus: what it belongs to, for the message.
      url: where the official one is, for the message.

    Raises:
      UserError: names the file, and the SHA-256 found and the one expected or why it cannot be
        read.
    """
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(
            f"{path}: cannot be read ({error}), expected the official {corpus} file from {url}"
        ) from error
    if found != expected:
        raise UserError(
            f"{path}: SHA-256 {found}, expected {expected}: not the official {corpus} file; "
            f"fetch it anew, for example from {url}"
        )


def _wait(
    fetch: Callable[[], None], url: str, received: Callable[[], int], least_bytes: int
) -> Iterator[int]:
    """Runs `fetch` and yields what `received` counts whenever `PATIENCE_S` seconds have passed.

    The time-outs of `requests` bind neither the look-up of a name nor the number of addresses
    that are tried one after the other, so the work is done in a thread that is left behind when
    its time is over.
    """
    done: Future[None] = Future()

    def fetch_all() -> None:
        try:
            fetch()
            done.set_result(None)
        except Exception as error:
            done.set_exception(error)

    threading.Thread(target=fetch_all, daemon=True).start()
    before = 0
    while True:
        try:
            done.result(timeout=PATIENCE_S)
            return
        except TimeoutError:
            total = received()
        except requests.RequestException as error:
            raise DownloadError(f"{url}: {type(error).__name__}") from error
        if total - before < least_bytes:
            raise DownloadError(f"{url}: {total - before:,} bytes in {PATIENCE_S:g} s")
        before = total
        yield total


def _fetch(url: str, content: bytearray) -> None:
    for chunk in _chunks(url):
        content += chunk
        if len(content) > _LARGEST_BYTES:
            raise DownloadError(f"{url}: more than {_LARGEST_BYTES:,} bytes")


def _chunks(url: str) -> Iterator[bytes]:
    with requests.get(url, stream=True, timeout=_TIMEOUT_S) as response:
        if response.status_code != requests.codes.ok:
            raise DownloadError(f"{url}: the server answers {response.status_code}")
        yield from response.iter_content(_CHUNK_BYTES)
