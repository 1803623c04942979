"""Broken uploads: each is refused in one line, nothing is left of it, and the server goes on."""

import http.client
import json
import socket
import tempfile
from urllib.parse import urlsplit

import numpy as np
import pytest

from crnn_jax.serve import uploads
from tests.files import png_bytes
from tests.serving import png, serving, sum_predictor

BLANK = png(np.full((60, 60), 255, np.uint8))
WHOLE = png(np.pad(np.zeros((40, 8), np.uint8), 20, constant_values=255))
FORM = "multipart/form-data; boundary=x"


def part(content, name='name="file"; filename="a.png"', end=b"--x--\r\n"):
    """A form with one file."""
    head = f"--x\r\nContent-Disposition: form-data; {name}\r\n\r\n".encode(errors="surrogateescape")
    return head + content + b"\r\n" + end


KINDS = {
    "no form": (b"{}", "application/json", 415),
    "a form without files": (b"a=b", "application/x-www-form-urlencoded", 415),
    "nothing at all": (b"", "", 415),
    "an empty form": (b"", FORM, 400),
    "no boundary": (part(WHOLE), "multipart/form-data", 400),
    "another boundary": (part(WHOLE), "multipart/form-data; boundary=y", 400),
    "cut in its head": (part(WHOLE)[:30], FORM, 400),
    "cut after a file": (part(WHOLE, end=b"") + part(WHOLE)[:120], FORM, 400),
    "cut in its file": (part(WHOLE)[:120], FORM, 400),
    "no disposition": (b"--x\r\n\r\nabc\r\n--x--\r\n", FORM, 400),
    "no name": (part(WHOLE, 'filename="a.png"'), FORM, 400),
    "a field": (part(b"abc", 'name="file"'), FORM, 400),
    "two pictures, one a field": (
        part(WHOLE, end=b"") + part(b"abc", 'name="file"'), FORM, 400
    ),
    "an empty file": (part(b""), FORM, 400),
    "text": (part(b"no picture"), FORM, 400),
    "a page": (part(b"<svg xmlns='http://www.w3.org/2000/svg'/>"), FORM, 400),
    "a cut picture": (part(WHOLE[: len(WHOLE) // 2]), FORM, 400),
    "a picture without pixels": (part(png_bytes(20, 20)), FORM, 400),
    "a huge picture": (part(png_bytes(100_000, 100_000)), FORM, 400),
    "a GIF's first bytes": (part(b"GIF89a\x10\0\x10\0\xf0\0\0"), FORM, 400),
    "a TIFF that points nowhere": (part(b"II*\0\xff\xff\xff\x7f"), FORM, 400),
    "no video": (part(b"\0\0\0 ftypisom", 'name="file"; filename="a.mp4"'), FORM, 400),
    "blank paper": (part(BLANK), FORM, 400),
    "too many for the network": (part(WHOLE, end=b"") * 4 + part(WHOLE), FORM, 400),
    "too many": (part(b"", end=b"") * 1000 + part(b""), FORM, 400),
    "a name up the tree": (part(b"", 'name="file"; filename="../../../etc/passwd"'), FORM, 400),
    "no characters": (part(b"", 'name="file"; filename="a\0\x1b[2J\udcff.png"'), FORM, 400),
    "a name too long": (part(b"", f'name="file"; filename="{"€" * 9000}"'), FORM, 400),
    "an empty name": (part(b"", 'name="file"; filename=""'), FORM, 400),
    "an unknown charset": (part(b""), FORM + "; charset=none", 400),
}  # fmt: skip


@pytest.fixture(scope="module")
def address():
    with serving(sum_predictor()) as address:
        yield urlsplit(address).netloc


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Where the server keeps files while it answers."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    yield tmp_path
    assert not list(tmp_path.iterdir())


def post(address, body, content_type):
    """The status and the answer."""
    connection = http.client.HTTPConnection(address, timeout=60)
    connection.request("POST", "/predict", body, {"Content-Type": content_type})
    response = connection.getresponse()
    found = response.status, json.loads(response.read())
    connection.close()
    return found


def test_a_whole_one_is_answered(address):
    assert post(address, part(WHOLE), FORM)[0] == 200


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("kind", KINDS)
def test_broken_uploads_are_refused(kind, address, folder):
    body, content_type, expected = KINDS[kind]
    status, found = post(address, body, content_type)
    assert (status, [*found]) == (expected, ["error"])
    assert found["error"].isprintable()
    assert str(folder) not in found["error"]


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (f"Content-Length: {uploads.MOST_BYTES + 1}", b"413"),
        ("Content-Length: 9" + "9" * 30, b"400"),
        ("Content-Length: -1", b"400"),
        ("Content-Length: 1\r\nContent-Length: 2", b"400"),
        ("Transfer-Encoding: chunked\r\n\r\nno length", b"400"),
        ("X: " + "y" * 100_000, b"400"),
    ],
)
def test_lengths_that_cannot_be(head, status, address):
    assert status_of(address, head) == status


def status_of(address, head):
    """The status of a request with a line more in its head, and nothing behind it."""
    host, port = address.split(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        lines = (
            f"POST /predict HTTP/1.1\r\nHost: {address}\r\nContent-Type: {FORM}\r\n{head}\r\n\r\n"
        )
        connection.sendall(lines.encode())
        return connection.recv(4096).split()[1]


def test_files_that_arrive_too_slowly_are_given_up(address, monkeypatch):
    monkeypatch.setattr(uploads, "SECONDS", 0.1)
    assert status_of(address, "Content-Length: 100") == b"408"


def test_more_than_a_request_may_hold_is_not_read(address, monkeypatch):
    monkeypatch.setattr(uploads, "MOST_BYTES", 1000)
    chunks = iter([part(bytes(900)), part(bytes(900))])
    assert post(address, chunks, FORM)[0] == 413


def test_those_who_leave_are_not_waited_for(address):
    host, port = address.split(":")
    head = f"POST /predict HTTP/1.1\r\nHost: {address}\r\nContent-Type: {FORM}\r\n"
    for sent in (head, f"{head}Content-Length: 999\r\n\r\n", f"{head}Content-Length: 9\r\n\r\n--x"):
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(sent.encode())
    assert post(address, part(b"text"), FORM)[0] == 400


@pytest.mark.parametrize(
    ("given", "plain"),
    [
        ("three.png", "three.png"),
        (r"C:\photos\drei ü.png", "drei ü.png"),
        ("../..", "file"),
        ("~x.png", "x.png"),
        (".hidden", "hidden"),
        ("a\n\0b.png", "a__b.png"),
        ("", "file"),
        ("x" * 99 + ".png", "x" * 56 + ".png"),
    ],
)
def test_names_are_plain(given, plain):
    assert uploads.plain_name(given) == plain
