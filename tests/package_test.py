"""The package as it is built: what is in its wheel, and what it says without this folder."""

import os
import subprocess
import sys
import zipfile

import pytest
from hatchling.build import build_wheel

import crnn_jax
from crnn_jax.config import shipped


@pytest.fixture(scope="module")
def wheel(project, tmp_path_factory):
    """A wheel of this folder."""
    folder = tmp_path_factory.mktemp("wheel")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project)
        return folder / build_wheel(str(folder))


def test_the_wheel_holds_the_package_and_the_configs_and_nothing_beside_them(project, wheel):
    files = [path for path in (project / "crnn_jax").rglob("*") if path.is_file()]
    ours = {path.relative_to(project).as_posix() for path in files if path.suffix != ".pyc"}
    expected = ours | {f"crnn_jax/configs/{name}.py" for name in shipped()}
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert names == expected


def test_the_command_works_where_there_is_no_clone(wheel, tmp_path):
    installed = tmp_path / "installed"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(installed)
    (folder,) = installed.glob("*.dist-info")
    lines = (folder / "entry_points.txt").read_text().splitlines()
    assert lines == ["[console_scripts]", "crnn-jax = crnn_jax.main:command"]
    assert folder.name == f"crnn_jax-{crnn_jax.__version__}.dist-info"

    def run(*arguments):
        code = "import sys; from crnn_jax.main import command; sys.exit(command())"
        return subprocess.run(
            [sys.executable, "-c", code, *arguments],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(installed)},
            capture_output=True,
            text=True,
            check=False,
        )

    done = run("--version")
    assert (done.returncode, done.stdout) == (0, f"crnn_jax {crnn_jax.__version__}\n")
    done = run("--mode=evaluate", "--config=sum8:quick")  # goes on from the config to its run
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: no run in runs/sum8-quick")
    assert list(tmp_path.iterdir()) == [installed]


def test_the_version_is_that_of_the_citation_and_of_the_newest_edition(project):
    lines = (project / "CITATION.cff").read_text().splitlines()
    assert f"version: {crnn_jax.__version__}" in lines
    lines = (project / "CHANGELOG.md").read_text().splitlines()
    newest = next(line for line in lines if line.startswith("## "))
    assert newest.split()[1] == crnn_jax.__version__
