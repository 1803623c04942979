"""Published files: telling whether a folder holds them, and downloading them."""

import dataclasses
import hashlib
import os
import threading
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from crnn_jax import UserError, say

PATIENCE_S = 20.0
LEAST_BYTES = 2**18
"""A download is given up when fewer bytes arrive in so many seconds."""

_TIMEOUT_S = (5.0, 10.0)  # to connect to one address; of silence from the server
_CHUNK_BYTES = 2**13


class DownloadError(Exception):
    """A file cannot be downloaded; one line says which and why."""


@dataclasses.dataclass(frozen=True)
class Published:
    """The files of a data set."""

    title: str  # what people call the data set
    url: str  # the folder they are downloaded from; '' where there is none
    sha256: dict[str, str]  # hex digits for each file, by name; '' for a file that is not checked
    instead: tuple[str, ...] = ()  # files that may be there in place of those, not checked

    def has_instead(self, folder: Path) -> bool:
        """Whether a folder holds all of `instead`."""
        return self.instead != () and all(os.path.exists(folder / name) for name in self.instead)

    def check(self, folder: Path) -> None:
        """Check that a folder holds the files, byte for byte.

        Raises:
          UserError: names the folder or file, and what is missing or wrong.
        """
        missing = [name for name in self.sha256 if not os.path.exists(folder / name)]
        if self.has_instead(folder):
            return
        if missing:
            # Not `folder.is_dir`, which raises for names too long.
            found = f"no {', '.join(missing)}" if os.path.isdir(folder) else "no such folder"
            others = f" (or {', '.join(self.instead)})" if self.instead else ""
            raise UserError(
                f"{folder}: {found}; expected {self.title}'s {', '.join(self.sha256)}{others} "
                f"from {self.url}: correct --config.data.manual_dir, or leave it empty to download "
                "them"
            )
        for name, expected in self.sha256.items():
            official = f"the official {self.title} file from {self.url}"
            try:
                with open(folder / name, "rb") as file:
                    found = hashlib.file_digest(file, "sha256").hexdigest()
            except OSError as error:
                raise UserError(
                    f"{folder / name}: cannot be read ({error}), expected {official}"
                ) from error
            if expected not in ("", found):
                raise UserError(
                    f"{folder / name}: SHA-256 {found}, expected {expected}: damaged, or not "
                    f"{official}"
                )

    def download(self, folder: Path) -> None:
        """Download the files into `folder`, which exists.

        Raises:
          DownloadError: no connection, an answer other than 200, too little in `PATIENCE_S`
            seconds, or another content. No part of that file is left.
          OSError: `folder` cannot be written.
        """
        if not self.url:
            raise DownloadError("no address is known")
        say(f"downloading {self.title} from {self.url}")
        for name, expected in self.sha256.items():
            _download(self.url + name, folder / name, expected or None)


def _download(url: str, path: Path, sha256: str | None) -> None:
    """Download in a thread that is left behind when it takes too long.

    The timeouts of a connection bind neither the look-up of a name nor the number of addresses
    tried one after the other.
    """
    import pooch  # these two take .2 s, which only a download should
    import requests

    received, size, given_up, done = 0, 0, threading.Event(), Future()

    def fetch(*given: Any, **_: Any) -> None:
        """In place of pooch's own downloader, which leaves a refused connection open."""
        nonlocal received, size
        _, file_name, _ = given
        with (
            open(file_name, "wb") as file,
            requests.get(url, stream=True, timeout=_TIMEOUT_S) as response,
        ):
            if response.status_code != requests.codes.ok:
                raise DownloadError(f"{url}: the server answers {response.status_code}")
            size = int(response.headers.get("content-length", 0))
            for chunk in response.iter_content(_CHUNK_BYTES):
                if given_up.is_set():
                    raise DownloadError("given up")  # pooch deletes the file
                received += file.write(chunk)

    def retrieve() -> None:
        try:
            pooch.get_logger().setLevel("WARNING")
            done.set_result(pooch.retrieve(url, sha256, path.name, path.parent, downloader=fetch))
        except Exception as error:
            done.set_exception(error)

    threading.Thread(target=retrieve, daemon=True).start()
    before = 0
    while True:
        try:
            done.result(PATIENCE_S)
            return
        except TimeoutError:
            arrived, before = received - before, received
        except requests.RequestException as error:
            raise DownloadError(f"{url}: {type(error).__name__}") from error
        except ValueError as error:  # of the checksum
            raise DownloadError(f"{url}: checksum mismatch: not the official file") from error
        if arrived < LEAST_BYTES:
            given_up.set()
            raise DownloadError(f"{url}: {arrived:,} bytes in {PATIENCE_S:g} s")
        megabytes = f"{before / 1e6:,.0f} of {size / 1e6:,.0f} MB"
        say(f"downloading {url}: {megabytes}")
