"""Every command in the documents runs, on small data and for a few steps, or it says why not."""

import csv
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from crnn_jax.data.sources import mnist_5k
from tests.documents import DOCS, ROOT, python_blocks, shell_commands, text_of
from tests.tiny import environment, takes_long

NOT_RUN = {
    r"make ": "a target of the Makefile: its commands have tests, or take an hour or a GPU",
    r"pip install |python3 -m venv": "installs packages: tests/stranger.sh does it",
    r"launch/(mpi|tpu_pod)\.sh|sbatch|kubectl": "needs a cluster: tests/launch_test.py",
    r"launch/local\.sh \[|launch/local\.sh --processes=2$": "a form of a command",
    r".*--coordinator=a:1234": "needs a second machine of that name: tests/processes_test.py",
    r"JAX_PLATFORMS=cuda": "needs a GPU",
    r"python -m crnn_jax\.serve|python -m benchmarks\.serve|curl ": "serves: tests/serve_test.py",
    r"python benchmarks/": "takes minutes: tests/benchmarks_test.py runs it on fewer sequences",
    r"python -m benchmarks\.streaming": "makes gigabytes of clips",
    r"python tools/records\.py": "trains for hours: tests/records_test.py",
}
"""What is not run, and why."""

SMALL = {  # by program, what makes it quick
    r"python tools/make_": ["--count=60"],
    r"python -m benchmarks\.(row_|pictures)": ["--count=2"],
    r"python launch/sweep|launch/local|(?!.*--mode=).*--config=": [
        "--config.train.steps=4",
        "--config.train.steps_per_dispatch=2",
        "--config.eval.every=2",
        "--config.eval.validation_sequences=80",
        "--config.eval.test_sequences=800",
        "'--config.eval.lengths=()'",
        "--config.checkpoint.every=2",
    ],
}
DATA = {  # what makes a config's data
    "clips": "make_clips.py motions {} --count=120 --frames=5-8",
    "importance": "make_clips.py speeds {} --count=60 --frames=20-24",
    "images": "make_clips.py clothes {} --count=120",
    "lines": "make_captchas.py digits {} --count=60",
}
PAGES = [ROOT / "README.md", *DOCS]


def commands_of(path):
    """The commands of a document, each once; those that name a program alone tell nothing."""
    named = r"(make|crnn-jax|python -m [\w.]+|python tools/make_clips\.py|launch/\w+\.sh)$"
    found = dict.fromkeys(shell_commands(text_of(path)))
    return [command for command in found if not re.match(named, command)]


def reason(command):
    return next((why for pattern, why in NOT_RUN.items() if re.match(pattern, command)), None)


COMMANDS = list(dict.fromkeys(command for path in PAGES for command in commands_of(path)))
RUN = [command for command in COMMANDS if not reason(command)]


def test_what_is_not_run_is_in_the_documents():
    for pattern in NOT_RUN:
        assert any(re.match(pattern, command) for command in COMMANDS), pattern


def test_the_programs_of_all_commands_are_there():
    assert len(RUN) > 40
    for command in RUN:
        (name,) = re.match(r"(?:[A-Z_]+=\S+ )?(?:python (?:-m )?)?(\S+)", command).groups()
        place = name if "/" in name else name.replace(".", "/")
        there = [(ROOT / f"{place}{end}").exists() for end in ("", ".py")]
        assert name == "crnn-jax" or any(there), command


class Place:
    """A folder like a clone, with pictures and data, where commands run as people type them."""

    def __init__(self, folder, mnist):
        self.folder, self.mnist = folder, mnist
        self.env = environment(folder, ROOT) | {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        }
        if mnist:
            self.env["CRNN_JAX_MANUAL_DIR"] = mnist
        for name in ("configs", "launch", "tools", "benchmarks", "crnn_jax"):
            (folder / name).symlink_to(ROOT / name)
        (folder / "docs").mkdir()
        (folder / "mine.py").write_text(python_blocks(ROOT / "docs" / "index.md")[0])
        self._draw()

    def _draw(self):
        """Pictures by the names that the documents give them."""
        images_IxHxWxC, labels_I = mnist_5k.read()["test"]

        def digit(label):
            image = Image.fromarray(images_IxHxWxC[np.argmax(labels_I == label), ..., 0])
            return ImageOps.expand(ImageOps.invert(image).resize((112, 112)), 40, "white")

        row = Image.new("L", (600, 200), "white")
        for place, label in enumerate((3, 4, 5)):
            row.paste(digit(label), (place * 200, 0))
        named = {"three.png": digit(3), "four.jpg": digit(4), "row.png": row, "a.png": row}
        named |= {f"{i}.png": digit(i) for i in (1, 2, 3)} | {"photo.jpg": digit(8).convert("RGB")}
        for name, image in named.items():
            image.save(self.folder / name)

    def type(self, command):
        """Run a command line, and return what it prints."""
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=self.folder,
            env=self.env,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def data(self, kind):
        """The data of a config, made once."""
        path = self.folder / "data" / kind
        if not path.exists():
            self.type(f"python tools/{DATA[kind].format(path)}")
        if kind == "lines":
            names = sorted(picture.name for picture in path.glob("*.png"))
            with (path / "labels.csv").open("w", newline="") as file:
                lines = [(name, name.partition("_")[0]) for name in names]
                csv.writer(file).writerows([("path", "answer"), *lines])
        return path

    def run(self, command):
        """Run a command of the documents, with what must be there first."""
        command = command.replace("=RUN", "=runs/sum8").replace(
            "crnn-jax ", "python -m crnn_jax.main "
        )
        for name in re.findall(r"(?<!\S)\S*runs/([\w-]+)", command):
            trains = "--mode=" not in command and "benchmarks" not in command
            written = trains and f"--workdir=runs/{name}" in command
            if not written and not (self.folder / "runs" / name / "results.json").exists():
                self.run(f"python -m crnn_jax.main --config={name.replace('-', ':', 1)}")
        for name in ("exported", "captchas", "letters", "made"):
            if re.search(rf" {name}$", command):
                shutil.rmtree(self.folder / name, ignore_errors=True)
        return self.type(self.small(command))

    def small(self, command):
        """A command on data that is there, little of it, and for a few steps."""
        added = [x for pattern, more in SMALL.items() if re.match(pattern, command) for x in more]
        config = re.search(r"--config=(?:configs/)?(\w+)", command)
        if config and config[1] in DATA:
            path = self.data(config[1])
            command = command.replace("data.path=FOLDER", f"data.path={path}")
            added += ["--config.train.batch_size=8"]
            if "--config.data.path=" not in command:
                added += [f"--config.data.path={path}"]
        if "a.mp4" in command or "--each" in command:
            for name, clip in zip(("a.mp4", "b.mp4"), self.clips(), strict=False):
                shutil.copy(clip, self.folder / name)
        for flag in ("manual_dir", "mnist"):
            command = command.replace(f"{flag}=FOLDER", f"{flag}={shlex.quote(self.mnist)}")
        where = self.clips()[0].parent if "--mode=predict" in command else "made"
        return " ".join([command.replace(" FOLDER", f" {where}"), *added])

    def clips(self):
        return sorted(self.data("clips").rglob("*.mp4"))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """See `Place`; MNIST is read where it is to be had, and is elsewhere mnist-5k."""
    folder = os.environ.get("CRNN_JAX_MANUAL_DIR", str(ROOT.parent / "shared" / "mnist"))
    return Place(tmp_path_factory.mktemp("place"), folder if os.path.isdir(folder) else "")


@takes_long
@pytest.mark.xdist_group("commands")
@pytest.mark.parametrize("command", RUN)
def test_a_command_runs(place, command):
    if "--mnist=" in command and not place.mnist:
        pytest.skip("MNIST's files are not here: set CRNN_JAX_MANUAL_DIR to their folder")
    place.run(command.replace("--seeds=3", "--seeds=1"))


@takes_long
@pytest.mark.xdist_group("commands")
@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_python_programs_run(place, path):
    for program in python_blocks(path):
        if "http://127.0.0.1" in program:  # needs a server: tests/serve_test.py
            continue
        if "exported/" in program:
            place.run(
                "python -m crnn_jax.main --mode=export --workdir=runs/sum8 --format=onnx "
                "-o exported"
            )
        for name in dict.fromkeys(re.findall(r"runs/([\w-]+)", program)):
            place.run(f"python -m crnn_jax.main --mode=evaluate --workdir=runs/{name} --json")
        place.type(f"python -c {shlex.quote(program)}")
