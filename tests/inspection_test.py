"""--mode=data: what was understood, all that is wrong, and how to go on."""

import json
import shlex

import pytest
from PIL import Image

from crnn_jax import main
from crnn_jax.train import run
from tests.own_clips import noise, write_animation
from tests.tiny import clips_config_text


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The current folder, with a config and clips of two classes, 3 to 14 frames long."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.py").write_text(clips_config_text())
    clips = [("train", name, i) for i in range(4) for name in ("cat", "dog")]
    clips += [(part, name, 0) for part in ("val", "test") for name in ("cat", "dog")]
    for number, (part, name, i) in enumerate(clips):
        folder = tmp_path / "clips" / part / name
        folder.mkdir(parents=True, exist_ok=True)
        write_animation(folder / f"{i}.gif", noise(3 + number, seed=number))
    return tmp_path


def look(*arguments):
    return main.main(["--mode=data", "--config=tiny.py", *arguments])


def test_the_command_it_ends_with_trains_on_what_was_looked_at(here, capsys, monkeypatch):
    assert look("--config.seed=3", "--config.data.path=./clips", "--workdir=my run") == 0
    out = capsys.readouterr().out
    for word in (
        "3 to 14 frames",
        "2 classes",
        "8 train · 2 validation · 2 test",
        "12 × 10 pixels",
    ):
        assert word in out
    calls = []
    monkeypatch.setattr(run, "train", lambda *given, **_: calls.append(given))
    last = out.splitlines()[-1]
    assert last.startswith("ready to train: python -m crnn_jax.main ")
    assert main.main(shlex.split(last.removeprefix("ready to train: "))[3:]) == 0
    ((workdir, config),) = calls
    assert (str(workdir), config.seed, config.data.path) == ("my run", 3, "./clips")


def test_examples_are_drawn_into_the_runs_folder(here, capsys):
    assert look() == 0
    assert "examples: runs/tiny/figures/data.png" in capsys.readouterr().out
    with Image.open(here / "runs" / "tiny" / "figures" / "data.png") as image:
        assert image.width == 1100


def test_all_problems_are_named_and_the_status_is_2(here, capsys):
    (here / "clips" / "train" / "dog" / "notes.xyz").write_text("no clip")
    for name in ("bad.gif", "worse.gif"):
        (here / "clips" / "train" / "cat" / name).write_text("no picture")
    write_animation(here / "clips" / "train" / "dog" / "wide.gif", noise(2, 10, 14, seed=9))
    assert look("--json") == 2
    out, err = capsys.readouterr()
    found = json.loads(out)
    names = ["train/cat/bad.gif", "train/cat/worse.gif", "train/dog/wide.gif"]
    assert sorted(x["name"] for x in found["problems"] if x["fatal"]) == names
    assert [x["name"] for x in found["problems"] if not x["fatal"]] == ["train/dog/notes.xyz"]
    assert found["command"] == ""
    assert err.splitlines()[-1].startswith("error: 3 problems must be mended first, such as train/")
    assert look() == 2
    out, err = capsys.readouterr()
    assert all(f"! {name}" in out for name in names)
    assert "ready to train" not in out
    assert "Traceback" not in err


def test_published_data_is_looked_at_too(here, capsys, data_dir):
    fields = ["--config.data.path=", f"--config.data.data_dir={data_dir}"]
    assert look(*fields, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["name"] == "optdigits"
    assert len(found["classes"]) == 10
    assert found["command"].endswith(shlex.join(fields))


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("--config.data.path=clip", "not found"),
        ("--workdir=tiny.py", "cannot be written"),
    ],
)
def test_what_cannot_be_looked_at_is_one_line(argument, words, here, capsys):
    assert look(argument) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert words in err
    assert err.count("error: ") == 1


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (["--config.train.steps=6"], "expected a multiple of train.steps_per_dispatch=4"),
        (["--config.model.head=last"], "gives no class"),
        (["--config.train.batch_size=16"], "has 8 sequences to train on"),
        (["--config.task.name=sum", "--config.model.head=marginal"], "clips of up to 14 frames"),
    ],
)
def test_what_training_would_refuse_is_a_problem(fields, words, here, capsys):
    assert look(*fields) == 2
    out, err = capsys.readouterr()
    assert "ready to train" not in out
    assert err.count("error: ") == 1
    assert words in err


def test_it_says_how_full_the_lanes_will_be(here, capsys):
    assert look("--json") == 0
    lanes = json.loads(capsys.readouterr().out)["training"]["lanes"]
    # One for each of eight devices: of 3 to 10 frames.
    assert lanes == "65.0% full: 8 lanes of 10 frames for the 8 of a batch"
