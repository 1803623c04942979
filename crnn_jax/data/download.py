"""Downloading a few small files, given up soon where they cannot be had."""

import threading
from collections.abc import Sequence
from concurrent.futures import Future

import requests

PATIENCE_S = 20.0  # in every such span of time ...
_LEAST_BYTES = 2 * 2**20  # ... this much must come in, or all of it
_TIMEOUT_S = (5.0, 10.0)  # to connect to one address; of silence from the server
_LARGEST_BYTES = 64 * 2**20
_CHUNK_BYTES = 2**16


class DownloadError(Exception):
    """A file could not be downloaded; one line says which and why."""


def download(urls: Sequence[str]) -> list[bytes]:
    """Downloads small files into memory.

    The time-outs of `requests` bind neither the look-up of a name nor the number of addresses
    that are tried one after the other, so the work is done in a thread that is left behind when
    its time is over.

    Args:
      urls: where the files are; together they must fit into memory.

    Returns:
      The content of each file.

    Raises:
      DownloadError: no connection, an answer other than 200, a file above 64 MiB, or less than
        2 MiB in any `PATIENCE_S` seconds.
    """
    contents = [bytearray() for _ in urls]
    done: Future[None] = Future()

    def fetch_all() -> None:
        try:
            for url, content in zip(urls, contents, strict=True):
                _fetch(url, content)
            done.set_result(None)
        except (requests.RequestException, DownloadError) as error:
            done.set_exception(error)

    threading.Thread(target=fetch_all, daemon=True).start()
    received = 0
    while True:
        try:
            done.result(timeout=PATIENCE_S)
            return [bytes(content) for content in contents]
        except TimeoutError:
            total = sum(len(content) for content in contents)
            if total - received < _LEAST_BYTES:
                raise DownloadError(
                    f"{urls[0]}: {total - received:,} bytes in {PATIENCE_S:g} s"
                ) from None
            received = total
        except requests.RequestException as error:
            raise DownloadError(f"{urls[0]}: {type(error).__name__}") from error


def _fetch(url: str, content: bytearray) -> None:
    with requests.get(url, stream=True, timeout=_TIMEOUT_S) as response:
        if response.status_code != requests.codes.ok:
            raise DownloadError(f"{url}: the server answers {response.status_code}")
        for chunk in response.iter_content(_CHUNK_BYTES):
            content += chunk
            if len(content) > _LARGEST_BYTES:
                raise DownloadError(f"{url}: more than {_LARGEST_BYTES:,} bytes")
