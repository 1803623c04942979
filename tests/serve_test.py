"""The server: it answers as the network does, within limits, and to nobody but its own page."""

import base64
import builtins
import concurrent.futures
import html.parser
import io
import json
import re
import sys
import tempfile
import time

import numpy as np
import pytest
import requests
from PIL import Image

from crnn_jax.config import default
from crnn_jax.pictures import frames_of
from crnn_jax.predict import Predictor
from crnn_jax.serve import __main__ as command
from crnn_jax.serve import guard, listening, service
from crnn_jax.serve.about import SHOWN, about, shown_frames
from tests.networks import asking, clip_predictor, restored
from tests.networks import digits as info
from tests.own_clips import noise
from tests.serving import png, serving, sum_predictor


@pytest.fixture(scope="module")
def predictor():
    return sum_predictor()


@pytest.fixture(scope="module")
def address(predictor):
    with serving(predictor) as address:
        yield address


@pytest.fixture
def post(address):
    """Posts files, and gives the status and what is answered."""

    def post(*files, headers=None, **options):
        parts = [("file", file) for file in files]
        return requests.post(f"{address}/predict", files=parts, params=options, headers=headers)

    return post


@pytest.fixture(scope="module")
def files(digits):
    """Names and bytes of pictures of digits."""
    return [(f"{i}.png", png(digits[i])) for i in range(4)]


def decoded(found):
    images = [image.removeprefix("data:image/png;base64,") for image in found["images"]]
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(image)))) for image in images]


def test_the_answer_is_that_of_predict(predictor, post, files, digits):
    for count in (1, 3):
        names = [name for name, _ in files[:count]]
        expected = predictor.explain(list(digits[:count]), split=False, names=names)
        response = post(*files[:count])
        assert (response.status_code, response.json()) == (200, expected)
    assert post(*reversed(files[:3])).json()["steps"] != expected["steps"]


def test_files_may_have_one_name(predictor, post, files, digits):
    same = [("image.png", content) for _, content in files[:3]]
    expected = predictor.explain(list(digits[:3]), split=False, names=["image.png"] * 3)
    assert post(*same).json() == expected
    error = post(*same[:2], ("image.png", b"none")).json()["error"]
    assert error.startswith("image.png: cannot be read")


def test_frames_are_those_that_the_network_got(post, files, digits):
    found = post(*files[:3], frames="true").json()["frames"]
    np.testing.assert_array_equal(decoded(found), digits[:3])
    assert (found["places"], found["cut"]) == ([0, 1, 2], False)
    drawn = np.full((90, 60), 255, np.uint8)
    drawn[10:80, 20:30] = 0
    found = post(("a.png", png(drawn)), frames="true").json()["frames"]
    np.testing.assert_array_equal(decoded(found), frames_of(drawn)[..., 0])


def test_frames_are_told_even_where_there_is_no_answer(post, files, predictor, monkeypatch):
    monkeypatch.setattr(type(predictor.restored.task), "fewest_pictures", 3)
    response = post(*files[:2], frames="true")
    assert response.status_code == 400
    assert response.json()["error"] == "2 pictures are given: expected 3 to 4 for this network"
    assert len(response.json()["frames"]["images"]) == 2


def test_options_are_those_of_the_command_line(post, files, digits, predictor):
    row = png(np.concatenate([np.pad(image, 9) for image in digits[:3]], axis=1))
    assert post(("row.png", row)).status_code == 400
    found = post(("row.png", row), split="true").json()
    assert len(found["steps"]) == 3
    sure = post(files[0]).json()["confidence"]
    told = post(files[0], min_confidence=sure / 2).json()
    assert (told["abstained"], told["confidence"]) == (False, sure)
    told = post(files[0], min_confidence=(1 + sure) / 2).json()
    assert told == {"answer": None, "confidence": sure, "abstained": True, "steps": []}
    for options in ({"min_confidence": "2"}, {"split": "yes"}, {"each": "true"}):
        response = post(files[0], **options)
        assert response.status_code == 400
        assert "expected" in response.json()["error"]


def test_fifty_at_a_time_are_answered(post, files):
    expected = post(files[0]).json()
    with concurrent.futures.ThreadPoolExecutor(50) as pool:
        found = list(pool.map(lambda _: post(files[0]).json(), range(60)))
    assert found == [expected] * 60


def test_nothing_is_kept(post, files, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for given in (files, [("large.png", bytes(2**21))], [("none.png", b"none")]):
        post(*given)
        assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://example.org"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Host": "example.org"},
        {"Host": "127.0.0.1.example.org"},
        {"Host": "[::1"},
    ],
)
def test_other_sites_are_refused(headers, post, files):
    response = post(files[0], headers=headers)
    assert response.status_code == 403
    assert response.headers["Content-Security-Policy"].startswith("default-src 'none'")


def test_the_page_itself_is_answered(post, files, address):
    for site in ("same-origin", "none"):
        headers = {"Origin": address, "Sec-Fetch-Site": site}
        assert post(files[0], headers=headers).status_code == 200
    port = address.rpartition(":")[2]
    tunnel = {"Host": f"localhost:{port}", "Origin": f"http://localhost:{port}"}
    assert post(files[0], headers=tunnel).status_code == 200


def test_hosts_are_named_by_addresses():
    assert [name for name in guard.LOCAL if guard.local_only(name) and guard.by_address(name)] == [
        *guard.LOCAL
    ]
    assert guard.by_address("192.168.1.7")
    assert not guard.local_only("192.168.1.7")
    assert not guard.by_address("example.org")


def test_every_answer_has_the_headers_of_the_guard(address):
    for path, status in (("/", 200), ("/about", 200), ("/style.css", 200), ("/none", 404)):
        response = requests.get(address + path)
        assert response.status_code == status
        assert {*map(str.lower, guard.HEADERS)} <= {*map(str.lower, response.headers)}


def test_the_page_loads_nothing_from_elsewhere(project):
    folder = project / "crnn_jax" / "serve" / "page"
    parts = {path.name: path.read_text() for path in folder.iterdir()}
    for name, text in parts.items():
        code = re.sub(r"(^|[;,] |\) )//.*$", "", text, flags=re.MULTILINE)
        addresses = re.findall(r"(?:https?:)?//[\w.]+", code)
        assert set(addresses) <= {"http://www.w3.org"}, name
    named = []
    parser = html.parser.HTMLParser()
    parser.handle_starttag = lambda _, given: named.extend(given)
    parser.feed(parts["index.html"])
    assert not [key for key, _ in named if key == "style" or key.startswith("on")]
    assert {value for key, value in named if key in ("src", "href")} <= {*parts}


def test_what_takes_too_long_is_given_up(post, files, predictor, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(service, "SECONDS", 0.05)
        patch.setattr(predictor, "read_files", lambda *_, **__: time.sleep(0.2))
        response = post(files[0])
    assert response.status_code == 503
    assert "took longer" in response.json()["error"]
    assert post(files[0]).status_code == 200


def test_more_than_can_wait_are_asked_to_come_back(post, files, monkeypatch):
    monkeypatch.setattr(service, "MOST_REQUESTS", 0)
    response = post(files[0])
    assert (response.status_code, response.headers["Retry-After"]) == (503, "1")


def test_a_fault_of_the_program_is_said_to_be_one(post, files, predictor, monkeypatch, caplog):
    monkeypatch.setattr(predictor, "read_files", lambda *_, **__: 1 // 0)
    response = post(files[0])
    assert response.status_code == 500
    assert response.json() == {"error": "the server failed: its terminal says why"}
    assert response.headers["X-Content-Type-Options"] == "nosniff"


def test_a_page_knows_what_each_network_takes(tiny_config):
    def told(task, head, length):
        config = asking(default(), task, head, length)
        if task == "line":
            config.model.aggregator = "bigru"
        found = about(Predictor(restored(config, info())), "a run")
        assert json.loads(json.dumps(found)) == {**found, "frame": list(found["frame"])}
        return [found[name] for name in ("takes", "draws", "fewest", "most", "asks", "symbols")]

    assert told("sum", "marginal", 4) == ["pictures", True, 1, 4, "sum", False]
    assert told("addition", "decoder", 6) == [
        "pictures", True, 6, 6, "sum of two numbers", True
    ]  # fmt: skip
    assert told("line", "ctc", 4) == ["line", True, 1, None, "text", True]
    assert told("caption", "decoder", 1) == ["clip", True, 8, 8, "caption", True]
    found = about(clip_predictor(tiny_config, "numbers"), "a run")
    assert (found["takes"], found["draws"], found["most"]) == ("clip", False, None)


def test_of_long_clips_some_frames_are_shown(tiny_config):
    found = shown_frames(clip_predictor(tiny_config).read(noise(200)))
    assert len(found["images"]) == len(found["places"]) == SHOWN
    assert (found["places"][0], found["places"][-1]) == (0, 199)
    for place, image in zip(found["places"], decoded(found), strict=True):
        np.testing.assert_array_equal(image, noise(200)[place, ..., 0])


def test_a_mistyped_command_is_one_line(capfd):
    with listening.listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        for argv, message in [
            ([], "the following arguments are required: --workdir"),
            (["--workdir=none", "--prot=1"], "--prot=1"),
            (["--workdir=none", f"--port={port}"], f"--port={port}: cannot listen there"),
            (["--workdir=none", "--port=99999"], "--port=99999: expected a number up to 65535"),
            (["--workdir=none", "--port=0"], "no run in none"),
            (["--workdir=none", "--port=0", "--step=last"], "--step=last: expected latest"),
        ]:
            assert command.main(argv) == 2
            error = capfd.readouterr().err
            assert error.startswith("error: ")
            assert message in error
            assert error.count("\n") == 1


def test_without_the_extra_it_says_what_to_install(monkeypatch, capfd):
    for name in [name for name in sys.modules if name.startswith("crnn_jax.serve.listening")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr("crnn_jax.serve.listening", raising=False)
    load = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "uvicorn":
            raise ImportError("No module named 'uvicorn'")
        return load(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    assert command.main(["--workdir=none", "--port=0"]) == 2
    assert "pip install 'crnn-jax[serve]'" in capfd.readouterr().err
