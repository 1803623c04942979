import errno
import hashlib
import re
import socket
import threading
import time

import pytest

from crnn_jax import UserError
from crnn_jax.data.sources import download as download_module
from crnn_jax.data.sources.download import DownloadError, check_sha256, download, download_file
from tests.files import served


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def server(tmp_path):
    """Serves `tmp_path`; the value is its address."""
    with served(tmp_path) as address:
        yield address


@pytest.fixture
def silent_server():
    """Takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"


def test_brings_the_bytes_in_the_order_asked_for(tmp_path, server):
    large = bytes(range(256)) * 1_000
    (tmp_path / "a").write_bytes(large)
    (tmp_path / "b").write_bytes(b"")
    assert download([server + "b", server + "a"]) == [b"", large]


def test_an_answer_other_than_200(server):
    with pytest.raises(DownloadError, match=f"^{server}absent: the server answers 404$"):
        download([server + "absent"])


def test_no_server():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
    with pytest.raises(DownloadError, match=f"^{url}: ConnectionError$"):
        download([url])


def test_gives_up_on_a_silent_server(monkeypatch, silent_server):
    monkeypatch.setattr(download_module, "PATIENCE_S", 0.2)
    start = time.monotonic()
    with pytest.raises(DownloadError, match=f"^{silent_server}: 0 bytes in 0.2 s$"):
        download([silent_server])
    assert time.monotonic() - start < 2
    left_behind = [thread for thread in threading.enumerate() if "fetch_all" in thread.name]
    assert left_behind
    assert all(thread.daemon for thread in left_behind), "it would hold up the exit"


def test_a_slow_server_is_waited_for_while_enough_comes(monkeypatch, tmp_path, server):
    monkeypatch.setattr(download_module, "PATIENCE_S", 0.6)
    content = bytes(3 * 2**20)
    (tmp_path / "a").write_bytes(content)
    fetch = download_module._fetch

    def slow_fetch(url, content):
        fetch(url, content)
        time.sleep(0.4)

    monkeypatch.setattr(download_module, "_fetch", slow_fetch)
    assert download([server + "a"] * 4) == [content] * 4


def test_gives_up_on_a_server_that_falls_silent(monkeypatch):
    monkeypatch.setattr(download_module, "PATIENCE_S", 0.2)
    over = threading.Event()

    def stalling_fetch(url, content):
        content += bytes(3 * 2**20)
        over.wait(2)

    monkeypatch.setattr(download_module, "_fetch", stalling_fetch)
    with pytest.raises(DownloadError, match=r": 0 bytes in 0\.2 s$"):
        download(["http://127.0.0.1/"])
    over.set()


def test_a_file_that_is_too_large(monkeypatch, tmp_path, server):
    monkeypatch.setattr(download_module, "_LARGEST_BYTES", 10)
    (tmp_path / "a").write_bytes(bytes(11))
    with pytest.raises(DownloadError, match="more than 10 bytes"):
        download([server + "a"])


LARGE = bytes(range(256)) * 1_000
OFFICIAL = {"size": len(LARGE), "sha256": hashlib.sha256(LARGE).hexdigest()}


def test_a_large_file_is_written(tmp_path, server, capsys):
    (tmp_path / "a").write_bytes(LARGE)
    download_file(server + "a", tmp_path / "b", **OFFICIAL)
    assert (tmp_path / "b").read_bytes() == LARGE
    assert capsys.readouterr() == ("", f"downloading {server}a, 0 MB\n")


@pytest.mark.parametrize(
    ("served", "message"),
    [
        (None, "the server answers 404"),
        (b"<html>", r"is not the official file .6 bytes"),
        (LARGE[:-1] + b"x", r"is not the official file .256,000 bytes"),
        (LARGE + b"x", "more than 256,000 bytes"),
    ],
)
def test_a_large_file_that_does_not_come_leaves_nothing(tmp_path, server, served, message):
    if served is not None:
        (tmp_path / "a").write_bytes(served)
    with pytest.raises(DownloadError, match=message):
        download_file(server + "a", tmp_path / "b", **OFFICIAL)
    assert not (tmp_path / "b").exists()


def test_a_large_file_is_waited_for_while_anything_comes(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(download_module, "PATIENCE_S", 0.6)
    content = bytes(8_000_000)

    def trickle(url):
        for _ in range(8):
            time.sleep(0.1)
            yield bytes(1_000_000)

    monkeypatch.setattr(download_module, "_chunks", trickle)
    sha256 = hashlib.sha256(content).hexdigest()
    download_file("http://x/", tmp_path / "b", size=len(content), sha256=sha256)
    assert (tmp_path / "b").read_bytes() == content
    first, second = capsys.readouterr().err.splitlines()[:2]
    assert first == "downloading http://x/, 8 MB"
    assert re.fullmatch("downloading http://x/: [1-7] of 8 MB", second)


def test_a_large_file_that_stops_coming_leaves_nothing(monkeypatch, tmp_path):
    monkeypatch.setattr(download_module, "PATIENCE_S", 0.2)
    over = threading.Event()

    def stall(url):
        yield LARGE[:64_000]
        over.wait(5)
        yield LARGE[64_000:]

    monkeypatch.setattr(download_module, "_chunks", stall)
    with pytest.raises(DownloadError, match=r"^http://x/: 0 bytes in 0\.2 s$"):
        download_file("http://x/", tmp_path / "b", **OFFICIAL)
    over.set()
    left = [thread for thread in threading.enumerate() if "fetch_all" in thread.name]
    for thread in left:
        thread.join(2)
    assert list(tmp_path.iterdir()) == []


def test_a_large_file_that_cannot_be_written(monkeypatch, tmp_path):
    def no_room(url):
        raise OSError(errno.ENOSPC, "No space left on device")
        yield

    monkeypatch.setattr(download_module, "_chunks", no_room)
    with pytest.raises(OSError, match="No space left"):
        download_file("http://x/", tmp_path / "b", **OFFICIAL)
    assert list(tmp_path.iterdir()) == []


def test_official_files_are_known_by_their_checksum(tmp_path):
    (tmp_path / "a").write_bytes(LARGE)
    known = {"corpus": "EMNIST", "url": "http://x/a"}
    check_sha256(tmp_path / "a", OFFICIAL["sha256"], **known)
    with pytest.raises(
        UserError,
        match=f"a: SHA-256 {OFFICIAL['sha256']}, expected 0: not the official EMNIST .*x/a",
    ):
        check_sha256(tmp_path / "a", "0", **known)
    with pytest.raises(UserError, match=f"^{tmp_path}: cannot be read .*EMNIST .*x/a"):
        check_sha256(tmp_path, "0", **known)
