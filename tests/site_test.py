"""The documents as a site: it builds without a warning, and asks no other server for anything."""

import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser

import pytest

from tests.documents import ROOT
from tools import draw_batch
from tools.reference import REFERENCE, reference


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Folder of the built site."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


class Requests(HTMLParser):
    """What a browser asks for when it shows a page."""

    def __init__(self):
        super().__init__()
        self.asked = []

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        if tag == "link" and given.get("rel") not in ("canonical", "next", "prev"):
            self.asked.append(given.get("href"))
        elif tag != "a":
            self.asked += [given[name] for name in ("src", "srcset", "data") if name in given]


@pytest.mark.xdist_group("site")
def test_every_page_asks_its_own_server_alone(site):
    pages = list(site.rglob("*.html"))
    assert len(pages) > 10
    for page in pages:
        requests = Requests()
        requests.feed(page.read_text())
        assert len(requests.asked) > 3
        for address in requests.asked:
            assert not re.match(r"(?!data:)\w*:?//|\w+:(?!/)(?<!data:)", address), (page, address)
            if not address.startswith("data:"):
                above = site if address.startswith("/") else page.parent
                assert (above / address.lstrip("/")).exists(), (page, address)
    for script in site.rglob("*.js"):
        found = re.search(r"[\"'`]https?://(?!www\.w3\.org)\w", script.read_text())
        assert not found, (script, found)


@pytest.mark.xdist_group("site")
def test_the_documents_beside_docs_and_the_notebook_are_pages(site):
    for name in ("CHANGELOG", "benchmarks/NOTES", "sum8", "reference", "faq"):
        assert (site / f"{name}.html").exists(), name
    assert (site / "sum8.ipynb").exists()


def test_the_reference_is_up_to_date():
    assert REFERENCE.read_text() == reference(), "run python tools/reference.py"


def test_the_pictures_are_as_the_script_draws_them(tmp_path):
    assert draw_batch.main([str(tmp_path)]) == 0
    pictures = sorted(tmp_path.glob("*.svg"))
    assert len(pictures) == 4
    for picture in pictures:
        shown = (ROOT / "docs" / "images" / picture.name).read_text()
        assert shown == picture.read_text(), "run python tools/draw_batch.py docs/images"


def test_the_notebook_shows_what_it_prints_and_draws():
    path = ROOT / "docs" / "sum8.ipynb"
    assert path.stat().st_size < 400_000
    cells = [x for x in json.loads(path.read_text())["cells"] if x["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert {output["output_type"] for output in outputs} <= {
        "display_data", "execute_result", "stream",
    }  # fmt: skip
    assert sum("image/png" in output.get("data", {}) for output in outputs) >= 6
    assert not any("/tmp" in json.dumps(output) for output in outputs)
