"""Config files: what they may import, what is left of them, their variants, and their sweeps."""

import sys

import pytest

from crnn_jax import UserError
from crnn_jax.config import check, load_config, load_sweep, shipped, variant

BASE = """
from crnn_jax.config import default


def get_config():
    c = default()
    c.seed = {seed}
    return c
"""
MINE = """
from base import get_config as base


def get_config(arg=None):
    c = base()
    c.train.steps = 20
    return c
"""


def write(folder, seed):
    """A folder with a config and the neighbour that it builds on."""
    folder.mkdir()
    (folder / "base.py").write_text(BASE.format(seed=seed))
    (folder / "mine.py").write_text(MINE)
    return folder


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """Some folder as the current one."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def test_a_neighbour_is_found_from_any_folder(tmp_path, elsewhere):
    write(tmp_path / "one", 1)
    for path in (tmp_path / "one" / "mine.py", "../one/mine.py"):
        config = load_config(str(path), [])
        assert (config.seed, config.train.steps) == (1, 20)


def test_a_neighbour_may_be_imported_late(tmp_path, elsewhere):
    folder = write(tmp_path / "one", 1)
    first, _, rest = MINE.strip().partition("\n")
    late = rest.replace("    c = base()", f"    {first}\n    c = base()")
    (folder / "mine.py").write_text(late)
    assert load_config("../one/mine.py", []).seed == 1


def test_neighbours_of_one_name_in_two_folders_are_not_mixed_up(tmp_path, elsewhere, monkeypatch):
    write(tmp_path / "one", 1)
    write(tmp_path / "two", 2)
    (elsewhere / "base.py").write_text(BASE.format(seed=3))
    monkeypatch.syspath_prepend(elsewhere)  # as `python -m` does: yet it is no neighbour
    found = [load_config(f"../{name}/mine.py", []).seed for name in ("one", "two", "one")]
    assert found == [1, 2, 1]


@pytest.mark.parametrize("fails", [False, True])
def test_nothing_is_left_of_a_config_file(tmp_path, elsewhere, fails):
    folder = write(tmp_path / "one", 1)
    if fails:
        (folder / "mine.py").write_text(MINE.replace("    return c", "    return 1 / 0"))
    path, modules = list(sys.path), set(sys.modules)
    if fails:
        with pytest.raises(UserError, match=r"mine\.py, line 8: ZeroDivisionError"):
            load_config("../one/mine.py", [])
    else:
        load_config("../one/mine.py", [])
    assert sys.path == path
    assert set(sys.modules) == modules


def test_a_shipped_config_is_found_by_its_name_from_any_folder(project, elsewhere):
    assert set(shipped()) == {path.stem for path in (project / "configs").glob("*.py")}
    file = project / "configs" / "sum8.py"
    for variants in ("", ":quick", ":quick,smoke"):
        assert load_config(f"sum8{variants}", []) == load_config(f"{file}{variants}", [])
    assert load_sweep("depth") == load_sweep(str(project / "configs" / "depth.py"))


def test_a_file_goes_before_the_shipped_config_of_its_name(elsewhere):
    (elsewhere / "sum8").mkdir()
    assert load_config("sum8", []).seed == 0  # a folder is no config
    (elsewhere / "sum8").rmdir()
    (elsewhere / "sum8").write_text(BASE.format(seed=7))
    assert load_config("sum8", []).seed == 7


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        ("sum9", " (did you mean sum8?)"),
        ("configs/sum8.py", " (did you mean sum8?)"),  # as in a clone
        ("Sum8:quick", " (did you mean sum8?)"),
        ("mine", ""),
    ],
)
def test_what_is_neither_file_nor_shipped_is_told_all_that_are(elsewhere, given, hint):
    with pytest.raises(UserError) as refusal:
        load_config(given, [])
    path = given.partition(":")[0]
    assert str(refusal.value) == (
        f"--config={path} is not a file{hint}: expected a config file, or one of "
        + ", ".join(sorted(shipped()))
    )


def test_a_mistake_in_a_neighbour_is_one_line_that_names_the_config(tmp_path, elsewhere):
    folder = write(tmp_path / "one", 1)
    (folder / "base.py").write_text("def get_config():\n    return 1 / 0\n")
    with pytest.raises(UserError, match=r"^--config=.*mine\.py, line 6: ZeroDivisionError: "):
        load_config("../one/mine.py", [])


def test_a_config_file_of_an_older_revision_has_the_fields_of_today(tmp_path):
    (tmp_path / "old.py").write_text(
        "from ml_collections import ConfigDict\n\n\ndef get_config(arg=None):\n"
        "    return ConfigDict({'task': {'name': 'glyph'}, 'model': {'recurrent': (5,)}})\n"
    )
    config = load_config(str(tmp_path / "old.py"), ["--config.train.steps=20"])
    assert (config.task.name, config.model.gru_units) == ("class", (5,))
    assert (config.train.steps, config.eval.seed) == (20, 1)


FIELDS = {
    "words": (["--config.train.steps", "20"], ("train", "steps"), 20),
    "equals": (["--config.train.steps=20"], ("train", "steps"), 20),
    "one dash": (["-config.train.steps=20"], ("train", "steps"), 20),
    "negative": (["--config.train.clip_norm", "-1"], ("train", "clip_norm"), -1.0),
    "whole number": (["--config.train.clip_norm=1"], ("train", "clip_norm"), 1.0),
    "switch on": (["--config.task.every_step"], ("task", "every_step"), True),
    "switch off": (["--noconfig.data.fallback"], ("data", "fallback"), False),
    "switch by word": (["--config.data.fallback=false"], ("data", "fallback"), False),
    "text": (["--config.data.manual_dir=a=b c"], ("data", "manual_dir"), "a=b c"),
    "tuple": (["--config.model.dense=(32, 16)"], ("model", "dense"), (32, 16)),
    "item": (["--config.model.dense", "5"], ("model", "dense"), (5,)),
    "items": (["--config.eval.lengths=1", "--config.eval.lengths=2"], ("eval", "lengths"), (1, 2)),
    "nested": (
        ["--config.model.convs=((4, 3, False), (2, 2, True, 'same'))"],
        ("model", "convs"),
        ((4, 3, False), (2, 2, True, "same")),
    ),
    "last": (["--config.eval.seed=7", "--config.eval.seed=8"], ("eval", "seed"), 8),
}


@pytest.mark.parametrize(("arguments", "field", "value"), FIELDS.values(), ids=FIELDS)
def test_fields_of_every_type_are_set(tmp_path, arguments, field, value):
    config = load_config(str(write(tmp_path / "one", 1) / "mine.py"), arguments)
    section, name = field
    assert config[section][name] == value
    assert type(config[section][name]) is type(value)
    assert config.is_locked


def test_a_sweep_names_variants(tmp_path, project):
    names = load_sweep(str(project / "configs" / "depth.py"))
    assert sorted(names) == ["relu1", "relu2", "relu3", "sigmoid1", "sigmoid2", "sigmoid3"]
    for name in names:
        load_config(f"{project / 'configs' / 'depth.py'}:{name}", [])
    assert load_sweep(str(write(tmp_path / "one", 1) / "mine.py")) == [""]


def test_a_mistake_in_a_sweep_is_one_line(tmp_path, elsewhere):
    folder = write(tmp_path / "one", 1)
    (folder / "mine.py").write_text(MINE + "\n\ndef sweep():\n    return [1 / 0]\n")
    with pytest.raises(UserError, match=r"mine\.py, line 12: ZeroDivisionError"):
        load_sweep("../one/mine.py")
    with pytest.raises(UserError, match=r"mime\.py is not a file .*did you mean .*mine\.py"):
        load_sweep("../one/mime.py")


def deep(config):
    config.model.dense = (8, 8)


def relu(config):
    config.model.activation = "relu"


def long(config):
    config.train.steps = 2000


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (None, ((), "tanh", 1000)),
        ("deep", ((8, 8), "tanh", 1000)),
        ("relu,long", ((), "relu", 2000)),
        ("smoke", ((), "tanh", 4)),
        ("smoke,deep,long,relu", ((8, 8), "relu", 4)),  # smoke is small wherever it stands
    ],
)
def test_variants_one_by_one_and_together(tiny_config, names, expected):
    tiny_config.model.activation = "tanh"
    tiny_config.train.steps = 1000
    config = variant(tiny_config, names, deep=deep, relu=relu, long=long)
    assert (config.model.dense, config.model.activation, config.train.steps) == expected


@pytest.mark.parametrize("names", ["rely", "relu,rely", "smoke,rely", "rely,smoke"])
def test_an_unknown_variant_is_named_with_those_there_are(tiny_config, names):
    with pytest.raises(UserError) as refusal:
        variant(tiny_config, names, deep=deep, relu=relu)
    assert str(refusal.value) == (
        "--config=FILE:rely: expected FILE, FILE:deep, FILE:relu, or FILE:smoke for a run of "
        "seconds"
    )


@pytest.mark.parametrize("names", ["", "relu,", ",smoke", "relu,,smoke", "relu, smoke"])
def test_an_empty_variant_is_refused(tiny_config, names):
    with pytest.raises(UserError, match=r"^--config=FILE: ?(smoke)?: expected FILE, FILE:relu, or"):
        variant(tiny_config, names, relu=relu)


def test_smoke_tests_no_long_sequences(tiny_config):
    tiny_config.eval.lengths = (1, 10, 11, 1000)
    assert variant(tiny_config, "smoke").eval.lengths == (1, 10)


GOOD = MINE.replace(
    "from base import get_config as base", "from crnn_jax.config import default"
).replace("base()", "default()")
WRONG_FILES = {
    "not there": ("goud.py", None, "goud.py is not a file (did you mean good.py?)"),
    "a folder": (".", None, ". is not a file"),
    "of a long name": ("x" * 300 + "/y.py", None, "is not a file"),
    "empty": ("", None, "--config= is not a file"),
    "syntax": ("my.py", "def get_config(arg=None):\n    return (\n", "SyntaxError: '(' was never"),
    "no get_config": ("my.py", "steps = 1\n", "my.py: KeyError: 'get_config'"),
    "no such import": ("my.py", "\nimport nothing_here\n", "my.py, line 2: ModuleNotFoundError"),
    "raises": ("my.py", "def get_config():\n    return 1 / 0\n", "my.py, line 2: ZeroDivisionErr"),
    "no ConfigDict": ("my.py", "def get_config():\n    return 5\n", "returns int, expected a Conf"),
    "unknown field": (
        "my.py",
        GOOD.replace("steps", "stesp"),
        'my.py, line 7: AttributeError: \'Key "stesp" does not exist',
    ),
    "wrong type": ("my.py", GOOD.replace("20", "8.5"), "my.py, line 7: TypeError: Could not"),
    "unknown fields": (
        "my.py",
        "from ml_collections import ConfigDict\n\n\ndef get_config():\n"
        "    return ConfigDict({'train': {'stesp': 0}})\n",
        "my.py has train.stesp, which nothing reads",
    ),
    "unknown variant": ("my.py:smok", GOOD.replace("return c", "return c.smok"), "line 8: Attri"),
}


@pytest.mark.parametrize(("given", "text", "words"), WRONG_FILES.values(), ids=WRONG_FILES)
def test_a_wrong_config_file_is_one_line(elsewhere, given, text, words):
    (elsewhere / "good.py").write_text(GOOD)
    (elsewhere / "my.py").write_text(text or GOOD)
    with pytest.raises(UserError) as refusal:
        load_config(given, [])
    assert words in str(refusal.value)


WRONG_SETTINGS = {
    "unknown": ("train.stesp=8", "train.stesp is not a field (did you mean train.steps?)"),
    "without section": ("learning_rate=1", "did you mean train.learning_rate?"),
    "section": ("train=8", "--config.train is not a field"),
    "of an older revision": ("model.recurrent=(5,)", "is --config.model.gru_units now"),
    "no value": ("train.steps", "Missing value for flag --config.train.steps"),
    "word for a number": ("train.steps=many", "train.steps=many: expected a whole number from 1"),
    "empty for a number": ("train.steps=", "train.steps=: expected a whole number from 1"),
    "fraction": ("train.batch_size=16.5", "batch_size=16.5: expected a whole number"),
    "word for a switch": ("data.fallback=maybe", "fallback=maybe: expected true or false"),
    "half a tuple": (
        "model.convs=((1, 2)",
        "expected up to 100 (features, kernel size up to 100, p",
    ),
}


@pytest.mark.parametrize(("setting", "words"), WRONG_SETTINGS.values(), ids=WRONG_SETTINGS)
def test_a_wrong_setting_is_one_line(elsewhere, setting, words):
    (elsewhere / "good.py").write_text(GOOD)
    with pytest.raises(UserError) as refusal:
        load_config("good.py", [f"--config.{setting}"])
    assert words in str(refusal.value)


def test_a_name_of_an_older_revision_is_told_its_name_of_today(elsewhere):
    (elsewhere / "good.py").write_text(GOOD)
    config = load_config(
        "good.py", ["--config.task.name=glyph", "--config.model.gru_units=exit(1)"]
    )
    with pytest.raises(UserError, match=r"task\.name=glyph \(task\.name=class is its name now\)"):
        check(config)
    config.task.name = "sum"
    with pytest.raises(UserError, match=r"gru_units=\('exit\(1\)',\): expected .*\(100, 50\)"):
        check(config)
