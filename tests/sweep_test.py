"""Sweeps: every variant is trained once, and told in one table and one picture."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time

import jax
import pytest
from PIL import Image

from crnn_jax.runs.folder import RunFolder
from crnn_jax.runs.metrics import Writer
from tests.tiny import config_text

TINY = config_text(
    'c.model.aggregator = "none"',
    "c.model.gru_units = ()",
    "c.train.steps_per_dispatch = 2",
    "c.eval.every = 2",
    variants=', last=lambda c: c.model.update(head="last"), '
    'cumulative=lambda c: c.model.update(head="cumulative")',
)
TINY += """

def sweep():
    return ["last", "cumulative"]
"""


@pytest.fixture(scope="module")
def sweep(project):
    """The script, as a module."""
    spec = importlib.util.spec_from_file_location("sweep", project / "launch" / "sweep.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The current folder, with a config file of two variants."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.py").write_text(TINY)
    return tmp_path


@pytest.fixture
def environment(monkeypatch, project):
    """What lets the processes of the runs find the program, and compile quickly."""
    for name, value in {
        "PYTHONPATH": project,
        "XLA_FLAGS": "",  # one device
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "true",
        "JAX_COMPILATION_CACHE_DIR": jax.config.jax_compilation_cache_dir,
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }.items():
        monkeypatch.setenv(name, str(value))


def content(folder):
    """Every file of the runs in a folder."""
    files = {path for path in folder.glob("*/**/*") if path.is_file()}
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["tiny.py", "--seeds=0"], ["--seeds=0", "positive"]),
        (["tiny.py", "--seeds=x"], ["--seeds=x"]),
        (["tiny.py", "--sedes=2"], ["flag 'sedes'"]),
        (["tiny.py", "--config.seed=7"], ["--config.seed", "expected --seeds=N"]),
        (["tiny.py", "--config.train.stesp", "7"], ["train.stesp", "did you mean train.steps?"]),
        (["tiny.py", "more.py"], ["'more.py' is not expected"]),
        ([], ["FILE"]),
        (["--config.train.steps", "8", "tiny.py"], ["expected FILE first"]),
        (["tin.py"], ["tin.py is not a file", "did you mean tiny.py?"]),
        (["tiny.py:last"], ["tiny.py:last is not a file"]),
    ],
)
def test_a_wrong_argument_is_one_line_and_leaves_nothing(sweep, here, arguments, words, capfd):
    assert sweep.main(arguments) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    for word in words:
        assert word in err
    assert list(here.iterdir()) == [here / "tiny.py"]


def test_a_run_that_fails_ends_the_sweep_with_its_status(sweep, here, environment, capfd):
    with pytest.raises(SystemExit) as end:
        sweep.main(["tiny.py", "--config.train.steps=7"])
    assert end.value.code == 2
    out, err = capfd.readouterr()
    assert out == ""
    command, error = err.splitlines()
    assert command.endswith(
        "--config=tiny.py:last --config.train.steps=7 --config.seed=0 "
        "--workdir=runs/tiny-last-seed0"
    )
    assert error.startswith("error: --config.train.steps=7: expected a multiple of")
    assert not (here / "runs").exists()


def test_every_variant_is_trained_once_and_told_again(
    sweep, here, environment, data_dir, capfd, monkeypatch
):
    arguments = ["tiny.py", "--config.train.steps=4", f"--config.data.data_dir={data_dir}"]
    assert sweep.main(arguments) == 0
    out, _ = capfd.readouterr()
    runs = here / "runs"
    folders = {name: runs / f"tiny-{name}-seed0" for name in ("last", "cumulative")}
    picture = runs / "tiny-sweep.png"
    assert sorted(runs.iterdir()) == sorted([*folders.values(), picture])
    title, *rows, last_line = out.splitlines()
    assert title.strip() == "tiny, 1 seed(s)"
    for (name, folder), line in zip(folders.items(), rows, strict=True):
        assert json.loads((folder / "config.json").read_text())["model"]["head"] == name
        results = json.loads((folder / "results.json").read_text())
        assert results["step"] == 4
        assert line.strip().split(maxsplit=1) == [f"tiny-{name}", sweep.row([results])]
        assert sweep.curve(folder)[0] == [2, 4]
    assert last_line == "curves: runs/tiny-sweep.png"
    with Image.open(picture) as image:
        assert image.format == "PNG"

    before = content(runs)
    picture.unlink()
    monkeypatch.setenv("HOME", str(here))
    assert sweep.main([*arguments, "--runs=~/runs"]) == 0
    assert capfd.readouterr().out == out.replace("runs/tiny-sweep.png", str(picture))
    assert content(runs) == before
    assert picture.exists()


def test_ctrl_c_lets_the_run_save(here, environment, data_dir, project):
    command = [sys.executable, project / "launch" / "sweep.py", "tiny.py"]
    command += ["--config.train.steps=4000000", "--config.eval.every=4000000"]
    command += ["--config.checkpoint.every=4000000", f"--config.data.data_dir={data_dir}"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
    metrics = here / "runs" / "tiny-last-seed0" / "metrics.jsonl"
    deadline = time.monotonic() + 60
    while not (metrics.exists() and metrics.read_bytes()):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    assert process.wait(timeout=30) == 128 + signal.SIGINT
    (step,) = (metrics.parent / "checkpoints").iterdir()
    assert step.name.isdecimal()


def test_a_row_of_one_result(sweep):
    result = {"exact": 0.98421, "rmse": 0.5084, "training_seconds": 349.6, "mae": 1.0}
    assert sweep.row([result]) == "exact 0.9842 · rmse 0.508 · 350 s"


def test_a_row_of_several_results_tells_their_spread(sweep):
    results = [
        {"exact": exact, "per_symbol": per_symbol, "training_seconds": seconds}
        for exact, per_symbol, seconds in ((0.5, 0.9, 9.0), (0.7, 0.91, 13.0), (0.6, 0.95, 11.0))
    ]
    # Squared deviations .01, .01, 0; .0004, .0001, .0009; 4, 4, 0: roots of half their sums.
    assert sweep.row(results) == "exact 0.6000 ± 0.1000 · per_symbol 0.920 ± 0.026 · 11 ± 2 s"


def test_a_curve_is_of_the_validation_scores(sweep, tmp_path):
    with Writer(RunFolder(tmp_path), 0) as writer:
        for step, exact in ((2, 0.25), (4, 0.5)):
            writer.write(step, {"loss": 3.0, "gradient_norm": 1.0})
            writer.write(step, {"validation_rmse": 5.0, "validation_exact": exact})
    assert sweep.curve(tmp_path) == ([2, 4], [0.25, 0.5])


def test_every_curve_is_drawn(sweep, tmp_path):
    one = {"one": ([2, 4], [0.25, 0.5])}
    pictures = set()
    for curves in (one, one | {"two": ([2, 4], [0.5, 0.75])}):
        sweep.draw_curves(curves, tmp_path / "curves.png")
        with Image.open(tmp_path / "curves.png") as image:
            assert image.format == "PNG"
            assert image.size == (770, 495)
            pictures.add(image.convert("RGB").tobytes())
    assert len(pictures) == 2
