"""The notebook runs from top to bottom, with no network and nothing prepared."""

import os

import pytest

from tests.documents import ROOT
from tests.tiny import takes_long


@takes_long
def test_the_notebook_runs(tmp_path, monkeypatch):
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    for name in [name for name in os.environ if name.startswith(("JAX_", "XLA_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    notebook = nbformat.read(ROOT / "docs" / "sum8.ipynb", as_version=4)
    nbclient.NotebookClient(notebook, timeout=900).execute(cwd=str(tmp_path))
    images = [o for c in notebook.cells for o in c.get("outputs", []) if "image/png" in str(o)]
    assert len(images) >= 6
