"""The command line, as a person meets it: one clear line for every mistake, and nothing left."""

import gzip
import json
import re
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

import crnn_jax
from crnn_jax import main
from crnn_jax.config import files
from crnn_jax.data.sources import mnist
from crnn_jax.model import crnn
from crnn_jax.runs import folder
from crnn_jax.runs.checkpoint import Checkpoints
from crnn_jax.train import run
from tests.files import content, idx_bytes
from tests.tiny import config_text

TINY = config_text()


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """The current folder: some config files, good and bad, and a file."""
    monkeypatch.chdir(tmp_path)
    for name, text in {
        "tiny.py": TINY,
        "syntax.py": "def get_config(arg=None):\n    return (\n",
        "nothing.py": "steps = 1\n",
        "missing_import.py": "\nimport nothing_of_this_name\n",
        "raises.py": "def get_config(arg=None):\n    return 1 / 0\n",
        "number.py": "def get_config(arg=None):\n    return 5\n",
        "part.py": "from ml_collections import ConfigDict\n\n\n"
        "def get_config(arg=None):\n    return ConfigDict({'seed': 0})\n",
        "extra.py": TINY.replace("    return", "    c.train.stesp = 4\n    return"),
        "wrong_type.py": TINY.replace(
            "    c.train.steps = 8", "    del c.train.steps\n    c.train.steps = 8.0"
        ),
        "file": "mine",
    }.items():
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.fixture
def a_run(here, optdigits):
    """A folder `run` as training with tiny.py leaves it, but for the parameters: all are 0."""
    config = files.load_config("tiny.py", [])
    folder.claim(here / "run", config, optdigits)
    notes = {"config": json.loads(config.to_json()), "corpus": optdigits.identity}
    network = crnn.build(config, digits=len(optdigits.info.classes))
    shapes = crnn.parameter_shapes(network, config, (28, 28))
    params = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), shapes)
    state = {"step": np.zeros((), np.int32), "params": params}
    with Checkpoints(here / "run" / "checkpoints", keep_latest=1, keep_best=0) as checkpoints:
        checkpoints.save(4, state, notes, None)


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
    "nothing given": ([], ["--config is not given", "--config=configs/sum8.py"]),
    "no config": (["--workdir=new"], ["--config is not given"]),
    "mistyped flag": (["--confg=tiny.py"], ["--confg is no flag", "did you mean --config?"]),
    "abbreviated flag": (["--work=new"], ["--work is no flag"]),
    "flag of absl": (["--config=tiny.py", "--verbosity=1"], ["--verbosity is no flag"]),
    "flag of one dash": (["-config=tiny.py"], ["-config is no flag (did you mean --config?)"]),
    "no flag": (["--config=tiny.py", "train"], ["'train' is not expected", "--flag=value"]),
    "no value": (["--config"], ["--config", "expected one argument"]),
    "value for a switch": (
        ["--mode=evaluate", "--workdir=run", "--json=maybe"],
        ["--json", "'maybe'"],
    ),
    "unknown mode": (["--config=tiny.py", "--mode=test"], ["'test'", "train", "evaluate"]),
    "pictures when training": (
        ["--config=tiny.py", "three.png"],
        ["'three.png' is not expected", "pictures are for --mode=predict"],
    ),
    "split when training": (
        ["--config=tiny.py", "--split"],
        ["--split is only for --mode=predict, not for train"],
    ),
    "beside when training": (
        ["--config=tiny.py", "--beside=run"],
        ["--beside is only for --mode=figures, not for train"],
    ),
    "json when drawing": (
        ["--mode=figures", "--workdir=run", "--json"],
        ["--json is only for --mode=evaluate or --mode=predict", "not for figures"],
    ),
    "step when training": (["--config=tiny.py", "--step=4"], ["--step is only for --mode=eval"]),
    "json when training": (["--config=tiny.py", "--json"], ["--json is only for --mode=eval"]),
    "profile when evaluating": (
        ["--mode=evaluate", "--workdir=run", "--profile"],
        ["--profile is only for --mode=train"],
    ),
    "config when predicting": (
        ["--mode=predict", "--workdir=run", "--config=tiny.py", "file"],
        ["--config is only for --mode=train or --mode=evaluate", "not for predict"],
    ),
    "split when evaluating": (
        ["--mode=evaluate", "--workdir=run", "--split"],
        ["--split is only for --mode=predict"],
    ),
    "pictures when evaluating": (
        ["--mode=evaluate", "--workdir=run", "three.png"],
        ["'three.png' is not expected", "pictures are for --mode=predict"],
    ),
    "no picture": (["--mode=predict", "--workdir=run"], ["no picture is given"]),
    "no picture to split": (
        ["--mode=predict", "--workdir=run", "--split", "--json"],
        ["no picture is given", "three.png"],
    ),
    "no workdir when predicting": (["--mode=predict", "file"], ["--workdir is not given"]),
    "no workdir when drawing": (["--mode=figures"], ["--workdir is not given"]),
}
OF_CONFIG_FILES = {
    "no such file": (["--config=tin.py"], ["tin.py is no file", "did you mean tiny.py?"]),
    "a folder": (["--config=."], ["--config=. is no file"]),
    "of a long name": (["--config=" + "x" * 300], ["is no file"]),
    "in a folder of a long name": (["--config=" + "x" * 300 + "/y.py"], ["is no file"]),
    "empty": (["--config="], ["--config= is no file"]),
    "syntax error": (["--config=syntax.py"], ["syntax.py", "SyntaxError", "line 2"]),
    "no get_config": (["--config=nothing.py"], ["nothing.py", "get_config"]),
    "missing import": (
        ["--config=missing_import.py"],
        ["missing_import.py, line 2: ModuleNotFoundError", "nothing_of_this_name"],
    ),
    "exception": (["--config=raises.py"], ["raises.py, line 2: ZeroDivisionError"]),
    "no ConfigDict": (["--config=number.py"], ["get_config returns int", "ConfigDict"]),
    "lacks fields": (["--config=part.py"], ["part.py lacks task.name: expected sum"]),
    "unknown field in the file": (["--config=extra.py"], ["extra.py has train.stesp"]),
    "wrong type in the file": (["--config=wrong_type.py"], ["train.steps=8.0", "a whole number"]),
    "unknown variant": (["--config=tiny.py:smok"], ["FILE:smok", "FILE:smoke"]),
    "unknown among variants": (["--config=tiny.py:smoke,large"], ["FILE:large", "FILE:smoke"]),
    "no variant": (["--config=tiny.py:"], ["FILE:smoke"]),
}
OF_FIELDS = {
    "unknown": (["train.stesp=8"], ["train.stesp is no field", "did you mean train.steps?"]),
    "without section": (["learning_rate=1"], ["did you mean train.learning_rate?"]),
    "section": (["train=8"], ["--config.train is no field"]),
    "no value": (["train.steps"], ["--config.train.steps=VALUE"]),
    "word for a number": (["train.steps=many"], ["train.steps=many", "a whole number from 1"]),
    "empty for a number": (["train.steps="], ["train.steps=: expected a whole number from 1"]),
    "fraction": (["train.batch_size=16.5"], ["batch_size=16.5", "a whole number"]),
    "word for a switch": (["data.fallback=maybe"], ["fallback=maybe", "true or false"]),
    "negative": (["train.batch_size=-16"], ["batch_size=-16", "from 1"]),
    "no multiple": (["train.batch_size=60"], ["batch_size=60", "a multiple of 16", "8 device"]),
    "micro-batch": (["train.micro_batch_size=7"], ["micro_batch_size=7", "a multiple of 2"]),
    "no steps": (["train.steps=0"], ["steps=0", "from 1"]),
    "too many steps": (["train.steps=99999999999"], ["steps=99999999999", "2,147,483,647"]),
    "part of a dispatch": (["train.steps=6"], ["steps=6", "train.steps_per_dispatch=4"]),
    "learning rate of 0": (["train.learning_rate=0"], ["learning_rate=0", "above 0"]),
    "learning rate below 0": (["train.learning_rate=-1"], ["learning_rate=-1", "above 0"]),
    "learning rate nan": (["train.learning_rate=nan"], ["learning_rate=nan", "above 0"]),
    "learning rate inf": (["train.learning_rate=inf"], ["learning_rate=inf", "above 0"]),
    "no frames": (["task.max_length=0"], ["max_length=0", "from 1"]),
    "lengths": (["task.min_length=3"], ["max_length=2", "task.min_length=3 or more"]),
    "dropout": (["model.state_dropout=1.5"], ["dropout=1.5", "less than 1"]),
    "dropout nan": (["model.state_dropout=nan"], ["dropout=nan", "less than 1"]),
    "dtype": (["model.dtype=float16"], ["float16", "float32 or bfloat16"]),
    "head": (["model.head=mean"], ["mean", "last or cumulative or marginal"]),
    "activation": (["model.activation=gelu"], ["gelu", "relu or tanh or sigmoid"]),
    "feed": (["data.feed=tape"], ["tape", "resident or streamed"]),
    "corpus": (["data.corpus=emnist"], ["emnist", "mnist or optdigits"]),
    "optimizer": (["train.optimizer=adamw"], ["adamw", "adam or rmsprop or sgd"]),
    "mistyped tuple": (["model.convs=(1,2)"], ["convs=(1, 2)", "((16, 5, True),)"]),
    "half a tuple": (["model.convs=((1, 2)"], ["convs=((1, 2)", "((16, 5, True),)"]),
    "code for a tuple": (["model.gru_units=exit(1)"], ["exit(1)", "(100, 50)"]),
    "nothing left": (["model.convs=((4,20,True),(4,20,True))"], ["convs=", "frame of 28x28"]),
    "no GRU": (["model.gru_units=()"], ["recurrent=()", "aggregator=gru", "layers with gru"]),
    "GRU that nothing reads": (
        ["model.aggregator=mean"],
        ["recurrent=(8,)", "aggregator=mean", "() with the others"],
    ),
    "aggregator": (["model.aggregator=sum"], ["sum", "gru or mean or none"]),
    "no padding": (["model.convs=((4,3,True,'valid'),)"], ["'valid'", "(features, kernel size"]),
    "lengths to test": (["eval.lengths=(10,0)"], ["lengths=(10, 0)", "(1, 10, 100)"]),
    "seed": (["seed=-1"], ["seed=-1", "from 0"]),
    "no data folder": (["data.data_dir="], ["data_dir=", "a folder"]),
    "data folder is a file": (["data.data_dir=file"], ["file", "data.data_dir=FOLDER"]),
    "data folder of nobody": (["data.data_dir=~nobody-here/x"], ["~nobody-here/x: no such home"]),
    "files of nobody": (
        ["data.corpus=mnist", "data.data_dir=new", "data.manual_dir=~nobody-here"],
        ["~nobody-here: no such home"],
    ),
    "data folder of a long name": (
        ["data.data_dir=" + "x" * 300, "data.corpus=mnist", "data.manual_dir=file"],
        ["File name too long", "data.data_dir=FOLDER"],
    ),
}
OF_WORKDIRS = {
    "empty": (["--config=tiny.py", "--workdir="], ["--workdir is not given"]),
    "a file": (["--config=tiny.py", "--workdir=file"], ["--workdir=file cannot be written"]),
    "below a file": (["--config=tiny.py", "--workdir=file/a/b"], ["file is no folder"]),
    "too long": (["--config=tiny.py", "--workdir=" + "x" * 300], ["File name too long"]),
    "nobody's": (
        ["--config=tiny.py", "--workdir=~nobody-here/x"],
        ["~nobody-here/x: no such home"],
    ),
    "nobody's picture": (
        ["--mode=predict", "--workdir=run", "~nobody-here/x.png"],
        ["~nobody-here/x.png: no such home"],
    ),
    "beside nobody's": (
        ["--mode=figures", "--workdir=run", "--beside=~nobody-here"],
        ["~nobody-here: no such home"],
    ),
    "other config": (
        [
            "--config=tiny.py",
            "--workdir=run",
            "--config.train.learning_rate=0.5",
            "--config.seed=3",
        ],
        ["another config", "seed: 0, not 3", "train.learning_rate: 0.003, not 0.5"],
    ),
    "nothing to evaluate": (["--mode=evaluate"], ["--workdir is not given"]),
    "no run": (["--mode=evaluate", "--workdir=new"], ["no run in new"]),
    "no run of so long a name": (["--mode=evaluate", "--workdir=" + "x" * 300], ["no run in xxx"]),
    "no run of that config": (["--mode=evaluate", "--config=tiny.py"], ["no run in runs/tiny"]),
    "no run to predict with": (["--mode=predict", "--workdir=new", "file"], ["no run in new"]),
    "no run to draw": (["--mode=figures", "--workdir=new"], ["no run in new"]),
    "no run beside": (["--mode=figures", "--workdir=run", "--beside=new"], ["no run in new"]),
    "picture not found": (
        ["--mode=predict", "--workdir=run", "three.png"],
        ["three.png: not found", "a picture"],
    ),
    "no such step": (["--mode=evaluate", "--workdir=run", "--step=5"], ["5", "one of the steps 4"]),
    "no number": (["--mode=evaluate", "--workdir=run", "--step=last"], ["--step=last: expected"]),
    "below 0": (["--mode=evaluate", "--workdir=run", "--step=-4"], ["--step=-4: expected"]),
    "no best": (["--mode=evaluate", "--workdir=run", "--step=best"], ["has a score"]),
    "evaluate with another config": (
        ["--mode=evaluate", "--workdir=run", "--config=tiny.py", "--config.seed=3"],
        ["--config differs", "seed: 0, not 3", "leave --config out"],
    ),
    "field without config": (
        ["--mode=evaluate", "--workdir=run", "--config.seed=3"],
        ["--config.seed=3 needs a config: give --config=FILE too"],
    ),
}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param(*case, id=f"{of}: {what}")
        for of, cases in (("flags", OF_FLAGS), ("config file", OF_CONFIG_FILES))
        for what, case in cases.items()
    ],
)
def test_a_wrong_flag_or_config_file_is_one_line_and_leaves_nothing(here, arguments, words, capsys):
    before = content(here)
    assert_refused(arguments, words, capsys)
    assert content(here) == before


@pytest.mark.parametrize(("fields", "words"), OF_FIELDS.values(), ids=OF_FIELDS)
def test_a_wrong_field_is_one_line_and_leaves_nothing(here, fields, words, capsys):
    before = content(here)
    arguments = ["--config=tiny.py", *(f"--config.{field}" for field in fields)]
    assert_refused(arguments, words, capsys)
    assert content(here) == before


@pytest.mark.parametrize(("arguments", "words"), OF_WORKDIRS.values(), ids=OF_WORKDIRS)
@pytest.mark.usefixtures("a_run")
def test_a_wrong_workdir_is_one_line_and_changes_nothing(here, arguments, words, capsys):
    before = content(here)
    assert_refused(arguments, words, capsys)
    assert content(here) == before


def test_a_damaged_workdir_is_one_line_and_stays_as_it_is(here, capsys):
    (here / "run").mkdir()
    (here / "run" / "config.json").write_text("{")
    before = content(here)
    assert_refused(["--config=tiny.py", "--workdir=run"], ["run/config.json is damaged"], capsys)
    assert content(here) == before


def idx(array):
    return gzip.compress(idx_bytes(array))


def mnist_files(folder):
    """Small files that have MNIST's form: nothing but the checksums is wrong with them."""
    folder.mkdir()
    for name in mnist.PUBLISHED.sha256:
        count = 6 if name.startswith("train") else 3
        shape = (count, 28, 28) if "images" in name else (count,)
        (folder / name).write_bytes(idx(np.ones(shape)))


IMAGES, LABELS = "train-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"
DAMAGE = {
    "damaged": (IMAGES, b"<html>no such file</html>", ["SHA-256", "not the official MNIST file"]),
    "missing": (LABELS, None, [f"no {LABELS}", "manual_dir"]),
}
FROM_FILES = ["--config=tiny.py", "--config.data.corpus=mnist", "--config.data.manual_dir=files"]


@pytest.mark.parametrize(("name", "damaged", "words"), DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_data_file_is_one_line_and_nothing_is_prepared(
    here, name, damaged, words, capsys
):
    mnist_files(here / "files")
    if damaged is None:
        (here / "files" / name).unlink()
    else:
        (here / "files" / name).write_bytes(damaged)
    before = content(here)
    assert_refused(FROM_FILES, [*words, name, "files"], capsys)
    assert content(here) == before


def test_a_missing_data_folder_is_one_line(here, capsys):
    assert_refused(FROM_FILES, ["files: no such folder", "manual_dir"], capsys)
    assert not (here / "runs").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--config=tiny.py", "--config.trian.steps=8"], "did you mean train.steps?"),
        ([*FROM_FILES, "--workdir=new"], "not the official MNIST file"),
    ],
)
def test_a_mistake_in_a_process_of_its_own(here, project, arguments, words):
    mnist_files(here / "files")
    (here / "files" / IMAGES).write_bytes(b"<html>")
    child = subprocess.run(
        [sys.executable, "-m", "crnn_jax.main", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "", "PYTHONPATH": str(project), "JAX_PLATFORMS": "cpu", "HOME": str(here)},
    )
    assert child.returncode == 2
    assert child.stdout == ""
    assert child.stderr.startswith("error: ")
    assert child.stderr.count("\n") == 1
    assert words in child.stderr
    assert not (here / "new").exists()
    assert not (here / "runs").exists()
    assert not (here / ".cache").exists()


def test_help_is_short_and_has_examples(project):
    child = subprocess.run(
        [sys.executable, "-m", "crnn_jax.main", "--help"],
        capture_output=True,
        text=True,
        check=False,
        cwd=project,
        env={"PATH": "", "COLUMNS": "80"},
    )
    assert child.returncode == 0
    assert child.stderr == ""
    lines = child.stdout.splitlines()
    assert len(lines) <= 34
    assert max(map(len, lines)) <= 100
    for words in ("--config", "--workdir", "--mode", "--step", "--json", "--profile", ":smoke"):
        assert words in child.stdout
    examples = [line.split() for line in lines if line.startswith("  python -m crnn_jax.main")]
    assert len(examples) >= 3
    for foreign in ("absl", "--helpfull", "--verbosity", "--flagfile"):
        assert foreign not in child.stdout


def test_the_examples_of_the_help_are_understood(project, monkeypatch):
    monkeypatch.chdir(project)
    for mode in ("train", "evaluate", "predict", "figures"):
        monkeypatch.setattr(run, mode, lambda *args, **kwargs: None)
    examples = [line.split() for line in main.EXAMPLES.splitlines() if "crnn_jax.main" in line]
    assert len(examples) >= 3
    for example in examples:
        assert main.main(example[3:]) == 0


@pytest.fixture
def calls(monkeypatch):
    """What the modes were called with."""
    calls = []
    for mode in ("train", "evaluate", "predict"):
        monkeypatch.setattr(
            run, mode, lambda *args, mode=mode, **kwargs: calls.append((mode, *args, kwargs))
        )
    return calls


def test_fields_of_every_type_are_set(calls):
    fields = {
        "seed": ("7", 7),
        "data.fallback": ("false", False),
        "data.manual_dir": ("a=b", "a=b"),
        "model.convs": (
            "((4, 3, False), (2, 2, True, 'same'))",
            ((4, 3, False), (2, 2, True, "same")),
        ),
        "model.dense": ("(32, 16)", (32, 16)),
        "eval.lengths": ("(1, 50)", (1, 50)),
        "model.gru_units": ("5", (5,)),
        "train.learning_rate": ("1", 1.0),
        "train.clip_norm": ("1e-3", 1e-3),
    }
    arguments = [f"--config.{field}={text}" for field, (text, _) in fields.items()]
    assert main.main(["--config=tiny.py", *arguments, "--config.seed=8"]) == 0
    ((_, _, config, _),) = calls
    for field, (_, value) in fields.items():
        section, _, name = field.rpartition(".")
        found = config[section][name] if section else config.seed
        assert found == (8 if field == "seed" else value)
        assert type(found) is type(value)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--config=tiny.py"], ("train", Path("runs/tiny"), {"profile": False})),
        (["--config=tiny.py:smoke"], ("train", Path("runs/tiny-smoke"), {"profile": False})),
        (
            ["--config=tiny.py", "--workdir=~/my", "--mode=train", "--profile"],
            ("train", Path("~/my").expanduser(), {"profile": True}),
        ),
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
def test_modes_are_called_with_what_was_given(calls, arguments, expected):
    assert main.main(arguments) == 0
    ((mode, folder, config, options),) = calls
    assert (mode, folder, options) == expected
    given = any(argument.startswith("--config=") for argument in arguments)
    assert (config is not None) == given


def test_predict_is_called_with_the_pictures_in_order(calls):
    flags = ["--mode=predict", "--workdir=run", "--split", "--step=best"]
    assert main.main(["b.png", *flags, "~/a.png"]) == 0
    ((mode, folder, pictures, options),) = calls
    assert (mode, folder) == ("predict", Path("run"))
    assert pictures == [Path("b.png"), Path("~/a.png").expanduser()]
    assert options == {"split": True, "step": "best", "as_json": False}


def test_a_message_of_several_lines_is_printed_as_one(monkeypatch, capsys):
    def fail(*args, **kwargs):
        raise main.UserError("one\ntwo")

    monkeypatch.setattr(run, "train", fail)
    assert main.main(["--config=tiny.py"]) == 2
    assert capsys.readouterr() == ("", "error: one two\n")


def test_train_then_the_same_again_then_evaluate(here, data_dir, optdigits, capsys):
    data = f"--config.data.data_dir={data_dir}"
    assert main.main(["--config=tiny.py", data]) == 0
    captured = capsys.readouterr()
    assert "parameters" in captured.out
    assert optdigits.identity in captured.out
    assert "step 8/8" in captured.err
    assert main.main(["--config=tiny.py", data]) == 0
    assert capsys.readouterr().err == "the run in runs/tiny is complete\n"
    assert main.main(["--mode=evaluate", "--workdir=runs/tiny", "--json"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert json.loads(captured.out)["corpus"] == optdigits.identity
    assert sorted(path.name for path in (here / "runs").iterdir()) == ["tiny"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory, data_dir):
    """Folder of a complete run."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        Path("tiny.py").write_text(TINY)
        data = f"--config.data.data_dir={data_dir}"
        assert main.main(["--config=tiny.py", data, "--config.train.steps=4"]) == 0
    return folder / "runs" / "tiny"


def test_predict_answers_about_picture_files(here, trained, optdigits, capsys):
    images = list(optdigits.test.images_NxHxWxC[:2, ..., 0])
    for i, image in enumerate(images):
        Image.fromarray(image).save(here / f"{i}.png")
    arguments = ["--mode=predict", f"--workdir={trained}", "1.png", "0.png"]
    assert main.main([*arguments, "--json"]) == 0
    out, err = capsys.readouterr()
    answer = json.loads(out)
    assert err == ""
    assert answer == crnn_jax.load(trained)(images[::-1])
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
        main.main(["--config=tiny.py", "--config.data.corpus=mnist", files])
    assert json.loads((here / "runs/tiny/run.json").read_text())["corpus"].startswith("mnist:")
    capsys.readouterr()
    other = ["--config=tiny.py", "--workdir=runs/tiny"]
    assert_refused(other, ["data.corpus: mnist, not optdigits"], capsys)
