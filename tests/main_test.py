"""The command line, as a person meets it: one clear line for every mistake, and nothing left."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

import crnn_jax
from crnn_jax import evaluate, export, figures, inspection, main, predict
from crnn_jax.pictures import find_pictures
from crnn_jax.train import run
from tests.files import content
from tests.tiny import config_text

TINY = config_text()


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The current folder, with a config file and a file."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.py").write_text(TINY)
    (tmp_path / "file").write_text("mine")
    return tmp_path


@pytest.fixture(scope="module")
def trained(tmp_path_factory, data_dir):
    """Folder of a complete run of tiny.py."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        Path("tiny.py").write_text(TINY)
        assert main.main(["--config=tiny.py", f"--config.data.data_dir={data_dir}"]) == 0
    return folder / "runs" / "tiny"


@pytest.fixture
def calls(monkeypatch):
    """What the modes were called with."""
    calls = []
    for module, mode in ((run, "train"), (evaluate, "evaluate"), (predict, "predict")):
        monkeypatch.setattr(
            module, mode, lambda *args, mode=mode, **kwargs: calls.append((mode, *args, kwargs))
        )
    return calls


def assert_refused(arguments, words, capsys):
    assert main.main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert err.endswith("\n")
    for word in words:
        assert word in err


OF_FLAGS = {
    "nothing given": ([], ["--config is not given", "--config=sum8"]),
    "no config": (["--workdir=new"], ["--config is not given"]),
    "mistyped flag": (["--confg=tiny.py"], ["unknown flag --confg", "did you mean --config?"]),
    "abbreviated flag": (["--work=new"], ["unknown flag --work"]),
    "flag of absl": (["--config=tiny.py", "--verbosity=1"], ["unknown flag --verbosity"]),
    "unknown flag of one dash": (["--config=tiny.py", "-x"], ["flag 'x'", "--help"]),
    "no flag": (["--config=tiny.py", "train"], ["'train' is not expected", "--flag=value"]),
    "no value": (["--config"], ["Missing value for flag --config"]),
    "value for a switch": (["--config=tiny.py", "--profile=maybe"], ["--profile=maybe"]),
    "value for a switch off": (["--config=tiny.py", "--noprofile=1"], ["--noprofile=1"]),
    "no number": (["--config=tiny.py", "--num_processes=two"], ["--num_processes=two"]),
    "no flagfile": (["--flagfile=new"], ["flagfile", "new"]),
    "unknown mode": (["--config=tiny.py", "--mode=test"], ["--mode=test", "train", "evaluate"]),
    "pictures when training": (
        ["--config=tiny.py", "three.png"],
        ["'three.png' is not expected", "pictures are for --mode=predict"],
    ),
    "pictures when evaluating": (
        ["--mode=evaluate", "--workdir=run", "three.png"],
        ["'three.png' is not expected", "--mode=predict"],
    ),
    "no picture": (["--mode=predict", "--workdir=run", "--split"], ["no picture is given"]),
    "field when predicting": (
        ["--mode=predict", "--workdir=run", "--config.seed=3", "file"],
        ["--config.seed=3 is not expected with --mode=predict"],
    ),
    "field without config": (
        ["--mode=evaluate", "--workdir=run", "--config.seed", "3"],
        ["'--config.seed' is not expected", "needs --config=FILE too"],
    ),
    "no workdir when predicting": (["--mode=predict", "file"], ["--workdir is not given"]),
    "no workdir when drawing": (["--mode=figures"], ["--workdir is not given"]),
    "no workdir when evaluating": (["--mode=evaluate"], ["--workdir is not given"]),
    "empty workdir": (["--config=tiny.py", "--workdir="], ["--workdir is not given"]),
    "two coordinators": (
        ["--config=tiny.py", "--distributed", "--coordinator=a:1"],
        ["--distributed finds its coordinator"],
    ),
}
OF_CONFIGS = {
    "no such file": (["--config=tin.py"], ["tin.py is not a file", "did you mean tiny.py?"]),
    "unknown variant": (["--config=tiny.py:smok"], ["FILE:smok", "FILE:smoke"]),
    "unknown field": (
        ["--config=tiny.py", "--config.train.stesp", "8"],
        ["train.stesp is not a field", "did you mean train.steps?"],
    ),
    "no such value": (["--config=tiny.py", "--config.model.dtype=float16"], ["or bfloat16"]),
    "part of a dispatch": (
        ["--config=tiny.py", "--config.train.steps=6"],
        ["steps=6", "train.steps_per_dispatch=4"],
    ),
    "data folder is a file": (
        ["--config=tiny.py", "--config.data.data_dir=file"],
        ["file", "data.data_dir=FOLDER"],
    ),
    "data folder of nobody": (
        ["--config=tiny.py", "--config.data.data_dir=~nobody-here/x"],
        ["~nobody-here/x: no such home"],
    ),
    "workdir of nobody": (
        ["--config=tiny.py", "--workdir=~nobody-here/x"],
        ["~nobody-here/x: no such home"],
    ),
    "workdir is a file": (["--config=tiny.py", "--workdir=file"], ["--workdir=file cannot be wr"]),
    "no run of that config": (["--mode=evaluate", "--config=tiny.py"], ["no run in runs/tiny"]),
    "no run to predict with": (["--mode=predict", "--workdir=new", "file"], ["no run in new"]),
    "no run to draw": (["--mode=figures", "--workdir=new"], ["no run in new"]),
}
OF_RUNS = {
    "other config": (
        ["--config=tiny.py", "--workdir=run", "--config.train.learning_rate=0.5"],
        ["another config", "train.learning_rate: 0.003, not 0.5"],
    ),
    "other steps": (
        ["--config=tiny.py", "--workdir=run", "--config.train.steps=80"],
        ["train.steps: 8, not 80", "--config.init.workdir=RUN --config.init.part=all"],
    ),
    "evaluate with another config": (
        ["--mode=evaluate", "--workdir=run", "--config=tiny.py", "--config.seed=3"],
        ["--config differs", "seed: 0, not 3", "leave --config out"],
    ),
    "no such step": (["--mode=evaluate", "--workdir=run", "--step=5"], ["5", "8"]),
    "no number": (["--mode=evaluate", "--workdir=run", "--step=last"], ["--step=last: expected"]),
    "no run beside": (["--mode=figures", "--workdir=run", "--beside=new"], ["no run in new"]),
    "picture not found": (
        ["--mode=predict", "--workdir=run", "three.png"],
        ["three.png: not found", "a picture"],
    ),
    "nobody's picture": (
        ["--mode=predict", "--workdir=run", "~nobody-here/x.png"],
        ["~nobody-here/x.png: no such home"],
    ),
}


@pytest.mark.parametrize(
    ("arguments", "words"), (OF_FLAGS | OF_CONFIGS).values(), ids=OF_FLAGS | OF_CONFIGS
)
def test_a_mistake_is_one_line_and_leaves_nothing(here, arguments, words, capsys):
    before = content(here)
    assert_refused(arguments, words, capsys)
    assert content(here) == before


FOR_OTHER_MODES = [
    (flag, mode)
    for flag, (_, modes, *_) in main.FLAGS.items()
    for mode in main.MODES
    if modes and mode not in modes.split()
]


@pytest.mark.parametrize(("flag", "mode"), FOR_OTHER_MODES)
def test_a_flag_of_other_modes_is_refused(here, flag, mode, capsys):
    switches = ("profile", "json", "split", "distributed")
    given = f"--{flag}" if flag in switches else f"--{flag}=1"
    config = ["--config=tiny.py"] if mode == "train" else []
    words = [f"--{flag} is only for --mode=", f"not for {mode}"]
    assert_refused([f"--mode={mode}", "--workdir=run", given, *config], words, capsys)


@pytest.mark.parametrize(("arguments", "words"), OF_RUNS.values(), ids=OF_RUNS)
def test_a_mistake_about_a_run_is_one_line_and_changes_nothing(
    here, trained, arguments, words, capsys
):
    shutil.copytree(trained, here / "run")
    before = content(here)
    assert_refused(arguments, words, capsys)
    assert content(here) == before


def environment(here, project):
    return {"PATH": "", "PYTHONPATH": str(project), "JAX_PLATFORMS": "cpu", "HOME": str(here)}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--config.trian.steps=8"], "did you mean train.steps?"),
        (["--config.data.name=mnist", "--config.data.manual_dir=new"], "new: no such folder"),
    ],
)
def test_a_mistake_in_a_process_of_its_own(here, project, arguments, words):
    before = content(here)
    child = subprocess.run(
        [sys.executable, "-m", "crnn_jax.main", "--config=tiny.py", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=environment(here, project),
    )
    assert child.returncode == 2
    assert child.stdout == ""
    assert child.stderr.startswith("error: ")
    assert child.stderr.count("\n") == 1
    assert words in child.stderr
    assert content(here) == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_program_before_it_trains(here, project, number):
    """Neither a traceback nor a handler that absl or JAX might put in between."""
    (here / "waits.py").write_text("import time\nprint('here', flush=True)\ntime.sleep(60)\n")
    child = subprocess.Popen(
        [sys.executable, "-m", "crnn_jax.main", "--config=waits.py"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(here, project),
    )
    child.stdout.readline()
    os.kill(child.pid, number)
    assert child.communicate(timeout=20) == (b"", b"")
    assert child.returncode == -number


def test_help_is_short_and_has_examples(capsys):
    assert main.main(["--help"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    lines = out.splitlines()
    assert len(lines) <= 40
    assert max(map(len, lines)) <= 100
    assert ":smoke" in out
    for flag in main.FLAGS:
        assert f"--{flag} " in out
    for foreign in ("absl", "--helpfull", "--verbosity"):
        assert foreign not in out


def test_the_version_is_that_of_the_package(capsys):
    assert main.main(["--version"]) == 0
    assert capsys.readouterr() == (f"crnn_jax {crnn_jax.__version__}\n", "")


def test_the_examples_of_the_help_are_understood(here, monkeypatch, calls):
    monkeypatch.setattr(figures, "draw", lambda *args, **kwargs: calls.append(("figures",)))
    monkeypatch.setattr(inspection, "inspect", lambda *args, **kwargs: calls.append(("data",)))
    monkeypatch.setattr(export, "export", lambda *args, **kwargs: calls.append(("export",)))
    examples = [line.split() for line in main.EXAMPLES.splitlines() if "crnn_jax.main" in line]
    for example in examples:
        assert main.main(example[3:]) == 0
    assert {call[0] for call in calls} == set(main.MODES)
    assert len(calls) == len(examples)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--config=tiny.py"], ("train", Path("runs/tiny"), {"profile": False})),
        (["--config=tiny.py:smoke"], ("train", Path("runs/tiny-smoke"), {"profile": False})),
        (
            ["--config", "tiny.py", "--workdir=~/my", "--mode", "train", "--profile"],
            ("train", Path("~/my").expanduser(), {"profile": True}),
        ),
        (["--noprofile", "-config=tiny.py"], ("train", Path("runs/tiny"), {"profile": False})),
        (["--flagfile=flags"], ("train", Path("there"), {"profile": True})),
        (
            ["--mode", "evaluate", "--workdir", "run"],
            ("evaluate", Path("run"), {"step": "latest", "as_json": False}),
        ),
        (
            ["--mode=evaluate", "--config=tiny.py", "--step=4", "--json"],
            ("evaluate", Path("runs/tiny"), {"step": "4", "as_json": True}),
        ),
    ],
)
def test_modes_are_called_with_what_was_given(here, calls, arguments, expected):
    (here / "flags").write_text(
        "# a comment\n--config=tiny.py\n--workdir=there\n--profile\n--config.train.steps=12\n"
    )
    assert main.main(arguments) == 0
    ((mode, folder, config, options),) = calls
    assert (mode, folder, options) == expected
    assert (config is None) == (arguments[-1] == "run")
    if "--flagfile=flags" in arguments:
        assert config.train.steps == 12


def test_fields_are_set_wherever_they_stand(here, calls):
    fields = ["--config.train.steps", "20", "--noconfig.data.fallback", "--config.seed=3"]
    assert main.main([*fields, "--workdir=new", "--config=tiny.py", "--config.seed=4"]) == 0
    ((_, _, config, _),) = calls
    assert (config.train.steps, config.data.fallback, config.seed) == (20, False, 4)
    with pytest.raises(AttributeError):
        config.train.stesp = 20


def test_predict_is_called_with_the_pictures_in_order(calls):
    flags = ["--mode=predict", "--workdir=run", "--split", "--step=best", "--csv=a.csv"]
    flags.append("--min_confidence=0.9")
    assert main.main(["b.png", *flags, "~/a.png"]) == 0
    ((mode, folder, pictures, options),) = calls
    assert (mode, folder) == ("predict", Path("run"))
    assert pictures == ["b.png", "~/a.png"]
    assert options == {
        "split": True,
        "each": False,
        "step": "best",
        "as_json": False,
        "table": "a.csv",
        "figure": None,
        "min_confidence": 0.9,
    }


def test_the_same_command_again_then_evaluate(here, trained, data_dir, optdigits, capsys):
    arguments = ["--config=tiny.py", f"--workdir={trained}", f"--config.data.data_dir={data_dir}"]
    assert main.main(arguments) == 0
    assert capsys.readouterr().err == f"the run in {trained} is complete\n"
    assert main.main(["--mode=evaluate", f"--workdir={trained}", "--json"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert json.loads(captured.out)["corpus"] == optdigits.identity


def test_predict_answers_about_picture_files(here, trained, optdigits, capsys):
    images = list(optdigits.test.images_IxHxWxC[:2, ..., 0])
    for i, image in enumerate(images):
        Image.fromarray(image).save(here / f"{i}.png")
    arguments = ["--mode=predict", f"--workdir={trained}", "1.png", "0.png"]
    assert main.main([*arguments, "--json"]) == 0
    out, err = capsys.readouterr()
    answer = json.loads(out)
    assert err == ""
    expected = crnn_jax.load(trained)(images[::-1])
    for step, name in zip(expected["steps"], ("1.png", "0.png"), strict=True):
        step["name"] = f"after {name}"
    assert answer == expected
    assert main.main(arguments) == 0
    _, *rows = capsys.readouterr().out.splitlines()
    names, values = zip(*(re.split(r"\s{2,}", row.strip()) for row in rows), strict=True)
    assert names == ("answer", "estimate", "confidence", "after 1.png", "after 0.png")
    assert values[0] == answer["answer"]
    assert values[1] == f"{answer['estimate']:.2f}"
    assert values[3].startswith(f"{answer['steps'][0]['answer']} · ")


def test_figures_prints_where_they_are(trained, capsys):
    assert main.main(["--mode=figures", f"--workdir={trained}"]) == 0
    paths = [Path(line) for line in capsys.readouterr().out.splitlines()]
    assert paths[0] == trained / "figures" / "curves.png"
    assert sorted(paths) == sorted((trained / "figures").iterdir())
    for path in paths:
        with Image.open(path) as image:
            assert image.format == "PNG"


def test_mnist_from_its_files(here, mnist_dir, capsys, monkeypatch):
    """The data is found and named; training on it would take longer."""
    monkeypatch.setattr(run, "train_loop", lambda *args, **kwargs: sys.exit("enough"))
    files = f"--config.data.manual_dir={mnist_dir}"
    with pytest.raises(SystemExit, match="enough"):
        main.main(["--config=tiny.py", "--config.data.name=mnist", files])
    assert json.loads((here / "runs/tiny/run.json").read_text())["corpus"].startswith("mnist:")
    capsys.readouterr()
    other = ["--config=tiny.py", "--workdir=runs/tiny"]
    assert_refused(other, ["data.name: mnist, not optdigits"], capsys)


@pytest.mark.parametrize("name", ["-3.png", "~x.png"])
def test_pictures_of_odd_names_are_read_as_they_are_named(name, here, monkeypatch):
    Image.new("L", (28, 28)).save(here / name)
    named = []
    monkeypatch.setattr(predict, "predict", lambda workdir, pictures, **_: named.extend(pictures))
    assert main.main(["--mode=predict", "--workdir=run", "--", name]) == 0
    assert find_pictures([f"./{named[0]}"]) == [Path(name)]


def test_captions_of_other_lengths_are_refused_before_training(here):
    config = Path(__file__).parents[1] / "configs" / "captions.py"
    arguments = [f"--config={config}:smoke", "--config.eval.lengths=(1,)", "--workdir=new"]
    assert main.main(arguments) == 2
    assert not (here / "new").exists()
