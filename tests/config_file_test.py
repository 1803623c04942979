"""Config files: what they may import, what is left of them afterwards, and their sweeps."""

import sys

import pytest

from crnn_jax import UserError
from crnn_jax.config.files import load_config, load_sweep

BASE = """
from configs.sum8 import get_config as whole


def get_config():
    c = whole()
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


def test_a_mistake_in_a_neighbour_is_one_line_that_names_the_config(tmp_path, elsewhere):
    folder = write(tmp_path / "one", 1)
    (folder / "base.py").write_text("def get_config():\n    return 1 / 0\n")
    with pytest.raises(UserError, match=r"^--config=.*mine\.py, line 6: ZeroDivisionError: "):
        load_config("../one/mine.py", [])


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
    with pytest.raises(UserError, match=r"mime\.py is no file .*did you mean .*mine\.py"):
        load_sweep("../one/mime.py")
