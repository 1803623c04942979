import http.server
import socket
import threading
import time

import pytest

from crnn_jax.data import download as download_module
from crnn_jax.data.download import DownloadError, download


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def server(tmp_path):
    """Serves `tmp_path`; the value is its address."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=tmp_path)

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        threading.Thread(target=httpd.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{httpd.server_port}/"
        httpd.shutdown()


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
    monkeypatch.setattr(download_module, "PATIENCE_S", 0.2)
    content = bytes(3 * 2**20)
    (tmp_path / "a").write_bytes(content)
    fetch = download_module._fetch

    def slow_fetch(url, content):
        fetch(url, content)
        time.sleep(0.15)

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
