import errno
import functools
import hashlib
import socket
import threading
import time

import pytest
import requests

from crnn_jax import UserError
from crnn_jax.data.sources import published as published_module
from crnn_jax.data.sources.published import DownloadError, Published
from tests.files import served

CONTENT = {"a": bytes(range(256)) * 1_000, "b": b""}
SHA256 = {name: hashlib.sha256(content).hexdigest() for name, content in CONTENT.items()}


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def folder(tmp_path):
    """Holds the files."""
    folder = tmp_path / "files"
    folder.mkdir()
    for name, content in CONTENT.items():
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture
def here(tmp_path):
    """Where downloads go."""
    (tmp_path / "here").mkdir()
    return tmp_path / "here"


@pytest.fixture
def server(folder):
    with served(folder) as address:
        yield address


@pytest.fixture
def silent_server():
    """Takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
    for thread in threading.enumerate():
        if "retrieve" in thread.name:
            thread.join(2)


def of(url):
    return Published("Numbers", url, SHA256)


class TestCheck:
    def test_the_official_files_are_known_by_their_checksums(self, folder):
        of("http://x/").check(folder)
        (folder / "b").write_bytes(b"<html>")
        found = hashlib.sha256(b"<html>").hexdigest()
        expected = f"SHA-256 {found}, expected {SHA256['b']}: .*not the official Numbers file"
        with pytest.raises(UserError, match=f"^{folder}/b: {expected} from http://x/"):
            of("http://x/").check(folder)
        Published("Numbers", "", {"b": ""}).check(folder)  # any content will do

    def test_what_is_missing_is_named(self, folder):
        for absent in (folder / "absent", folder / ("x" * 300), folder / "a"):
            with pytest.raises(UserError, match=f"^{absent}: no such folder.*a, b.*manual_dir"):
                of("http://x/").check(absent)
        (folder / "a").unlink()
        with pytest.raises(UserError, match=f"^{folder}: no a; expected Numbers's a, b"):
            of("http://x/").check(folder)

    def test_other_files_may_be_there_instead(self, folder):
        published = Published("Numbers", "", {"zip": "0"}, instead=("a", "b"))
        published.check(folder)
        (folder / "a").unlink()
        with pytest.raises(UserError, match=r"no zip; expected Numbers's zip \(or a, b\)"):
            published.check(folder)

    def test_what_cannot_be_read(self, folder):
        (folder / "a").unlink()
        (folder / "a").mkdir()
        with pytest.raises(UserError, match=f"^{folder}/a: cannot be read .*expected the official"):
            of("http://x/").check(folder)


class TestDownload:
    def test_the_files_are_written(self, here, server, capfd):
        of(server).download(here)
        assert {path.name: path.read_bytes() for path in here.iterdir()} == CONTENT
        assert capfd.readouterr() == ("", f"downloading Numbers from {server}\n")

    def test_without_an_address(self, here):
        with pytest.raises(DownloadError, match="no address is known"):
            of("").download(here)

    @pytest.mark.parametrize("content", [b"<html>", CONTENT["a"][1:], CONTENT["a"] + b"x"])
    def test_another_file_is_not_kept(self, here, folder, server, content):
        (folder / "a").write_bytes(content)
        with pytest.raises(DownloadError, match=f"^{server}a: .* not the official file$"):
            of(server).download(here)
        assert list(here.iterdir()) == []

    def test_an_answer_other_than_200(self, here, folder, server):
        (folder / "a").unlink()
        with pytest.raises(DownloadError, match=f"^{server}a: the server answers 404$"):
            of(server).download(here)
        assert list(here.iterdir()) == []

    def test_no_server(self, here):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        with pytest.raises(DownloadError, match=f"^{url}a: ConnectionError$"):
            of(url).download(here)
        assert list(here.iterdir()) == []

    def test_gives_up_on_a_silent_server(self, here, monkeypatch, silent_server):
        monkeypatch.setattr(published_module, "PATIENCE_S", 0.2)
        start = time.monotonic()
        with pytest.raises(DownloadError, match=f"^{silent_server}a: 0 bytes in 0.2 s$"):
            of(silent_server).download(here)
        assert time.monotonic() - start < 2
        left_behind = [thread for thread in threading.enumerate() if "retrieve" in thread.name]
        assert left_behind
        assert all(thread.daemon for thread in left_behind), "it would hold up the exit"

    @pytest.fixture
    def trickle(self, monkeypatch):
        """Has chunks arrive every .05 s, of which 0.2 s are waited for; or none after so many."""
        monkeypatch.setattr(published_module, "PATIENCE_S", 0.2)
        monkeypatch.setattr(published_module, "_CHUNK_BYTES", 16_000)
        over, iter_content = threading.Event(), requests.Response.iter_content

        def slowly(response, size, *, most):
            for i, chunk in enumerate(iter_content(response, size)):
                over.wait(5 if i == most else 0.05)
                yield chunk

        def start(most=100):
            part = functools.partialmethod(slowly, most=most)
            monkeypatch.setattr(requests.Response, "iter_content", part)
            return over

        return start

    def test_a_slow_server_is_waited_for_while_enough_comes(
        self, here, monkeypatch, trickle, server, capfd
    ):
        monkeypatch.setattr(published_module, "LEAST_BYTES", 10_000)
        trickle()
        of(server).download(here)
        assert (here / "a").read_bytes() == CONTENT["a"]
        first, second = capfd.readouterr().err.splitlines()[:2]
        assert first == f"downloading Numbers from {server}"
        assert second == f"downloading {server}a: 0 of 0 MB"

    def test_a_file_that_stops_coming_is_given_up_and_deleted(self, here, trickle, server):
        over = trickle(most=3)
        with pytest.raises(DownloadError, match=rf"^{server}a: [\d,]+ bytes in 0\.2 s$"):
            of(server).download(here)
        over.set()
        for thread in threading.enumerate():
            if "retrieve" in thread.name:
                thread.join(2)
        assert list(here.iterdir()) == []

    def test_a_full_disk(self, here, monkeypatch, server):
        def no_room(*args, **kwargs):
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(requests, "get", no_room)
        with pytest.raises(OSError, match="No space left"):
            of(server).download(here)
        assert list(here.iterdir()) == []
