"""The command that trains what published figures are compared with, and writes them down."""

import json
import statistics
import sys

import pytest

from crnn_jax import UserError
from crnn_jax.config import load_config
from tools import record_rows, records

LENGTHS = (1, 10, 100, 1000)


def results(config, exact=0.9, seconds=50.0, error=4.0):
    """What a complete run of a config left."""
    asked = load_config(f"{records.ROOT / 'configs' / config.partition(':')[0]}.py", [])
    lengths = asked.eval.lengths
    return {
        "step": asked.train.steps,
        "n": asked.eval.test_sequences,
        "exact": exact,
        "rmse": 0.5,
        "per_symbol": 0.99,
        "training_seconds": seconds,
        "lengths": [{"length": n, "exact": exact, "rmse_every_step": error**0.5} for n in lengths],
    }


def put(runs, config, seed, **scores):
    """Leave a complete run in its folder."""
    folder = records.folder_of(runs, config, seed)
    folder.path.mkdir(parents=True)
    file, colon, variant = config.partition(":")
    given = f"{records.ROOT / 'configs' / file}.py{colon}{variant}"
    folder.config.write_text(load_config(given, [f"--config.seed={seed}"]).to_json())
    folder.results.write_text(json.dumps(results(config, **scores)))
    about = {"versions": {"jax": "1"}, "python": "3", "git_revision": "0123456789+changes"}
    about |= {"started": "2026-11-28T00:00:00", "cores": 2, "processor": "an abacus"}
    folder.record.write_text(json.dumps(about))
    return folder


def lines(path, start):
    return [line for line in path.read_text().splitlines() if line.startswith(start)]


def test_what_is_there_is_not_trained_again_and_the_rest_is(tmp_path, monkeypatch, capsys):
    started = []

    def run(command):
        started.append(command)
        put(tmp_path / "runs", "mnist_add:n1", 1, exact=0.992)
        return 0

    monkeypatch.setattr(records, "status_of", run)
    put(tmp_path / "runs", "mnist_add:n1", 0, exact=0.990)
    given = ["--only=mnist_add:n1", "--seeds=2", f"--runs={tmp_path / 'runs'}"]
    records.main([*given, f"--out={tmp_path / 'records.md'}"])
    (command,) = started
    assert command[:3] == [sys.executable, "-m", "crnn_jax.main"]
    assert command[4:] == ["--config.seed=1", f"--workdir={tmp_path / 'runs'}/mnist_add-n1-seed1"]
    (row,) = lines(tmp_path / "records.md", "| N = 1,")
    assert row == "| N = 1, exact % | 98.1 | 99.10 ± 0.14 | 2 | 50 ± 0 s | `mnist_add:n1` |"
    (other,) = lines(tmp_path / "records.md", "| N = 4,")
    assert "| not measured |" in other
    (machine,) = lines(tmp_path / "records.md", "- 2 core(s) of an abacus")
    assert machine.endswith("revision 0123456, 2026-11-28: `mnist_add:n1`")
    assert "[2/2] mnist_add:n1, seed 1" in capsys.readouterr().err


def test_a_run_that_is_stopped_ends_the_command_and_goes_on_at_the_next(tmp_path, monkeypatch):
    given = ["--only=mnist_add:n1", "--seeds=1", f"--runs={tmp_path}", f"--out={tmp_path / 'r.md'}"]
    monkeypatch.setattr(records, "status_of", lambda _: 130)
    with pytest.raises(SystemExit) as end:
        records.main(given)
    assert end.value.code == 130
    monkeypatch.setattr(records, "status_of", lambda _: put(tmp_path, "mnist_add:n1", 0) and 0)
    records.main(given)
    assert "| 90.00 | 1 |" in (tmp_path / "r.md").read_text()


def test_results_of_other_tests_are_made_anew(tmp_path, monkeypatch):
    folder = put(tmp_path, "mnist_add:n1", 0)
    folder.results.write_text(json.dumps(results("mnist_add:n1") | {"n": 7}))
    seen = []
    monkeypatch.setattr(records, "status_of", lambda _: seen.append(folder.results.exists()) or 3)
    with pytest.raises(SystemExit):
        records.train("mnist_add:n1", 0, folder)
    assert seen == [False]


def test_one_seed_is_enough_of_what_trains_long(tmp_path, monkeypatch):
    put(tmp_path, "mnist_add:n1", 0, seconds=601.0)
    monkeypatch.setattr(records, "status_of", lambda _: pytest.fail("trained another seed"))
    given = ["--only=mnist_add:n1", "--seeds=3", f"--runs={tmp_path}", f"--out={tmp_path / 'r.md'}"]
    records.main(given)


def test_success_is_an_error_below_the_bound_of_the_references(tmp_path):
    for seed, error in enumerate((4.0, 5.0, 6.0)):
        put(tmp_path, "nau:reference", seed, error=error)
    for seed, error in enumerate((1.0, 8.9, 9.1)):
        put(tmp_path, "nau", seed, error=error)
    found, _ = records.complete_runs(tmp_path)
    # Of two degrees of freedom, 99 % of Student's t are below 6.9646.
    expected = 5 + 6.9646 * statistics.stdev((4.0, 5.0, 6.0)) / 3**0.5
    assert record_rows.bound(found["nau:reference"], 100) == pytest.approx(expected, rel=1e-5)
    assert record_rows.succeeded("nau", 100)(found).startswith(
        "2 of 3 (median error 8.9, bound 9.02"
    )
    found["nau:reference"] = found["nau:reference"][:1]
    assert "no bound" in record_rows.succeeded("nau", 100)(found)


def test_an_interval_is_of_the_mean_and_the_range_of_the_seeds():
    found = {"depth:relu1": [results("depth:relu1", exact=exact) for exact in (0.90, 0.92, 0.97)]}
    # Of two degrees of freedom, 97.5 % of Student's t are below 4.3027; the deviation is .03606.
    assert record_rows.interval("depth:relu1")(found) == "0.9300 ± 0.0896 (0.9000 to 0.9700)"
    found["depth:relu1"] = found["depth:relu1"][:1]
    assert record_rows.interval("depth:relu1")(found) == "0.9000"


def test_every_config_that_is_named_is_there():
    for config in records.chosen(""):
        file, colon, variant = config.partition(":")
        load_config(f"{records.ROOT / 'configs' / file}.py{colon}{variant}", [])
    assert records.chosen("nau") == {"nau": 10, "nau:reference": 10}
    with pytest.raises(UserError, match="--only=nua: expected some of sum8:best, "):
        records.chosen("sum8,nua")
