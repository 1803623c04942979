"""The benchmark on a GPU, as far as it can be tried without one."""

import json

import numpy as np

from benchmarks.gpu import __main__ as benchmark
from benchmarks.gpu import report
from benchmarks.gpu.worker import Worker

ROW = ("sum8_2016", 64, "float32")


def results(tmp_path):
    return benchmark.Results(tmp_path / "gpu.json", limit=60)


def test_systems_whose_answers_differ_are_not_timed(tmp_path):
    found = results(tmp_path)
    answers = {"first": [1.0, 20.0], "same": [1.01, 20.0], "other": [1.0, 21.0], "nan": [np.nan, 1]}
    ready = {system: {ROW: np.array(values)} for system, values in answers.items()}
    ready["not ready"] = {}
    assert benchmark.agree(ROW, ready, found) == ["first", "same"]
    written = json.loads((tmp_path / "gpu.json").read_text())
    assert [what for what, _ in written["failed"]] == [f"other {ROW}", f"nan {ROW}"]
    heads_differ = ("sum8", *ROW[1:])
    assert benchmark.agree(heads_differ, {"a": {heads_differ: 1}, "b": {}}, found) == ["a"]


def test_every_network_of_a_group_is_timed_against_this_project():
    for group in benchmark.GROUPS:
        assert group.keys() <= set(benchmark.SYSTEMS)
        assert all(row in group["crnn_jax"] for rows in group.values() for row in rows)


def test_one_row_that_fails_costs_no_other(capsys):
    class System:
        def __init__(self, batch):
            self.batch, self.made = batch, []

        def answers(self, frames):
            if self.batch == 1:
                raise MemoryError("too large")
            return frames.sum((1, 2, 3))

        def train(self, steps):
            self.made.append(steps)

    images = np.ones((512, 28, 28), np.uint8)
    corpus = type("Corpus", (), {"images": images})
    worker = Worker("some", corpus, lambda name, corpus, net, batch, dtype: System(batch), 1)
    worker.prepare([("net", 1, "float32"), ("net", 2, "float32")])
    said = [json.loads(line[3:]) for line in capsys.readouterr().out.splitlines()]
    assert [words[0] for words in said] == ["failed", "ready", "prepared"]
    assert said[0][2] == "MemoryError: too large"
    assert said[1][3] == [8 * 28 * 28] * 64


def test_what_was_not_measured_says_so(tmp_path):
    rates = [
        {"system": "crnn_jax", "row": ROW, "rates": [3e5, 2e5, 4e5], "kernels": 145.4},
        {"system": "torch-graph", "row": ROW, "rates": [1e5, 1e5, 2e5], "kernels": None},
        {"system": "crnn_jax", "row": ("sum8", 1024, "bfloat16"), "rates": [5e5]},
    ]
    measured = {
        "about": {"card": "some card"},
        "peaks": {"float32": 4e14, "bfloat16": 8e14, "copy": 4e12},
        "rates": rates,
        "failed": [["more", "no time left"]],
        "runs": {"warm": {"results": 9.24, "rmse": 0.5469, "exact": 0.98017}},
    }
    report.write(measured, tmp_path)
    text = (tmp_path / "GPU.md").read_text()
    assert "| crnn_jax | 300,000 (200,000 – 400,000) | 3.00 | 145 |" in text
    assert "| torch-graph | 100,000 (100,000 – 200,000) | 1.00 | not measured |" in text
    assert "| crnn_jax | 500,000 (500,000 – 500,000) | not measured | not measured |" in text
    assert "Not measured: more (no time left)." in text
    assert "warm cache: 9.2 s to the results; test RMSE 0.547, exact 0.9802." in text
    assert (tmp_path / "figures" / "gpu.png").stat().st_size > 10_000
