"""A run of revision 63bc817, stopped after step 8 of 12: it is read, evaluated and resumed.

What the revision itself made of it stands in expected.json, and in final.npz its parameters after
step 12. Today's program gives the same bits on the machine that made them (one CPU device); other
machines round differently.
"""

import json
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest

import crnn_jax
from crnn_jax import evaluate
from crnn_jax.config import read_config
from crnn_jax.runs import trees
from crnn_jax.runs.load import restore
from crnn_jax.train import run

OLD = Path(__file__).parent / "data" / "run-63bc817"
EXPECTED = json.loads((OLD / "expected.json").read_text())


def test_it_is_evaluated_as_it_was(optdigits, monkeypatch, capsys):
    monkeypatch.setattr("crnn_jax.runs.load.load_dataset", lambda *_, **__: optdigits)
    evaluate.evaluate(OLD, None, step="best", as_json=True)
    found = json.loads(capsys.readouterr().out)
    for name, value in EXPECTED["evaluate"].items():
        if isinstance(value, list):
            assert found[name] == [pytest.approx(row, rel=1e-5) for row in value]
        else:
            assert found[name] == (pytest.approx(value, rel=1e-5) if name != "corpus" else value)


def test_it_answers_as_it_did():
    y, x = np.mgrid[:28, :28] - 13.5
    ring = (abs(np.hypot(x, y) - 8) < 2) * np.uint8(255)  # both of MNIST's size, and centred
    bar = ((abs(x) < 2) & (abs(y) < 10)) * np.uint8(255)
    found = crnn_jax.load(OLD)([ring, bar])
    assert found["answer"] == EXPECTED["predict"]["answer"]
    for name in ("estimate", "confidence"):
        assert found[name] == pytest.approx(EXPECTED["predict"][name], rel=1e-5)


def test_it_resumes_and_ends_where_the_old_program_did(tmp_path, optdigits, monkeypatch):
    monkeypatch.setattr("crnn_jax.runs.load.load_dataset", lambda *_, **__: optdigits)
    workdir = shutil.copytree(OLD, tmp_path / "run")
    config = read_config(json.loads((OLD / "config.json").read_text()), "the old config")
    run.train(workdir, config, profile=False)
    restored = restore(workdir)
    assert restored.step == 12
    found = trees.leaves(restored.params["params"])
    expected = np.load(OLD / "final.npz")
    assert sorted(found) == sorted(expected)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6),
        found,
        {name: expected[name] for name in found},
    )
