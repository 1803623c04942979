"""Follows docs/extend.md to the letter, on a copy of the program."""

import re
import shlex
import shutil
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from PIL import Image

from tests.tiny import environment, takes_long

QUICK = (  # of every command: a network that compiles in seconds
    "--config.task.max_length=2",
    "--config.model.convs=((4, 5, True),)",
    "--config.model.dense=()",
    "--config.data.augment.elastic=0",
    "--config.eval.test_sequences=100",
)


@pytest.fixture
def follow(project, data_dir, tmp_path):
    """Follows one recipe: writes and edits its files, then runs its command."""

    def follow(title, *more):
        text = (project / "docs" / "extend.md").read_text()
        (recipe,) = re.findall(rf"^## {title}\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE)
        copy = tmp_path / "copy"
        for folder in ("crnn_jax", "configs"):
            shutil.copytree(project / folder, copy / folder)
        blocks = [textwrap.dedent(x) for x in re.findall(r" *```python\n.*?```", recipe, re.DOTALL)]
        assert len(blocks) == 2
        for block in blocks:
            first, _, code = block.removeprefix("```python\n").removesuffix("```").partition("\n")
            path = copy / first.removeprefix("# ")
            path.write_text(edited(path.read_text(), code) if path.exists() else code)
        (command,) = re.findall(r"```sh\n(.*?)```", recipe, re.DOTALL)
        python, *arguments = shlex.split(
            command.replace("\\\n", " ").replace("FOLDER", str(tmp_path))
        )
        assert python == "python"
        return subprocess.run(
            [sys.executable, *arguments, f"--workdir={tmp_path / 'run'}", *QUICK, *more],
            cwd=copy,
            env=environment(tmp_path, copy),
            capture_output=True,
            text=True,
        )

    return follow


def edited(text, block):
    """A file with the lines of a block: imports behind its own, the rest at the table it names."""
    before, table, rows = re.fullmatch(
        r"(.*?)^(\w+) = {\n +\.\.\.\n(.*)}\n", block, re.S | re.M
    ).groups()
    imports, _, more = before.partition("\n\n")
    last = list(re.finditer(r"^from crnn_jax\b.*?(?:\([^)]*\))?\n", text, re.M))[-1].end()
    text = f"{text[:last]}{imports.strip()}\n{text[last:]}"
    start = re.search(rf"^{table}\b.*{{\n", text, re.M)
    return f"{text[: start.start()]}{more.strip()}\n\n\n{start[0]}{rows}{text[start.end() :]}"


def test_a_data_set(follow, tmp_path):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (100, 19, 23, 3), np.uint8)
    np.savez(tmp_path / "pets.npz", images=images, labels=rng.integers(0, 2, 100))
    done = follow("A data set")
    assert done.returncode == 0, done.stderr
    assert re.search(r"corpus +pets:\w{16}", done.stdout)


def test_a_layout_of_your_own_data(follow, tmp_path):
    rng = np.random.default_rng(0)
    for i in range(60):
        pages = [Image.fromarray(rng.integers(0, 256, (12, 12), np.uint8)) for _ in range(2)]
        pages[0].save(tmp_path / f"{i}.gif", save_all=True, append_images=pages[1:])
        (tmp_path / f"{i}.txt").write_text("cat" if i % 2 else "dog")
    done = follow("A layout of your own data", f"--config.data.data_dir={tmp_path / 'data'}")
    assert done.returncode == 0, done.stderr
    assert "clips with a text beside them" in done.stdout
    assert re.search(r"cat +2\d train", done.stdout)


@takes_long
def test_a_task(follow, data_dir):
    corpus = ("--config.data.name=optdigits", f"--config.data.data_dir={data_dir}")
    done = follow("A task", *corpus)
    assert done.returncode == 0, done.stderr
    assert "exact" in done.stdout


def test_a_head(follow, data_dir):
    done = follow("A head", "--config.data.name=optdigits", f"--config.data.data_dir={data_dir}")
    assert done.returncode == 0, done.stderr
    assert "answer_head/normal/kernel" in done.stdout
    assert "exact" in done.stdout


def test_an_aggregator(follow, data_dir):
    corpus = ("--config.data.name=optdigits", f"--config.data.data_dir={data_dir}")
    done = follow("An aggregator", *corpus)
    assert done.returncode == 0, done.stderr
    assert "gru" not in done.stdout
    assert "exact" in done.stdout
