"""The documents: what they link to, name and tell people to type is there."""

import contextlib
import itertools
import pkgutil
import re
import shlex
from pathlib import Path

import pytest
from ml_collections import ConfigDict
from PIL import Image

from crnn_jax import main
from crnn_jax.config import default, load_config
from crnn_jax.pictures import filters
from tests.documents import DOCS, ROOT, code_spans, commands, text_of

CONFIGS = {path.stem for path in (ROOT / "configs").glob("*.py")}

BESIDE = [ROOT / name for name in ("README.md", "CHANGELOG.md", "benchmarks/NOTES.md")]

document = pytest.mark.parametrize("path", [*BESIDE, *DOCS], ids=lambda path: path.name)


def headings(path):
    """The anchors of a document's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles}


def is_field(config, name):
    for part in name.split("."):
        if not isinstance(config, ConfigDict) or part not in config:
            return False
        config = config[part]
    return not isinstance(config, ConfigDict)


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 200


@document
def test_links_and_pictures_lead_somewhere(path):
    for link in re.findall(r"\]\(([^)\s]+)\)", path.read_text()):
        if link.startswith("http"):
            continue
        file, _, anchor = link.partition("#")
        target = path.parent / file if file else path
        assert target.exists(), link
        assert not anchor or anchor in headings(target), link


@document
def test_files_and_modules_that_are_named_exist(path):
    text = text_of(path)
    folders = "crnn_jax|configs|launch|benchmarks|tests|docs"
    for name in re.findall(rf"(?<![\w/.])(?:{folders})/[\w./]*\w", text):
        assert (ROOT / name).exists(), name
    for name in re.findall(r"(?<![\w/.])crnn_jax(?:\.[a-zA-Z_]+)+", text):
        pkgutil.resolve_name(name)


@document
def test_fields_that_are_named_are_fields_of_a_config(path):
    text = text_of(path)
    sections = "|".join(name for name, value in default().items() if isinstance(value, ConfigDict))
    given = re.findall(r"--(?:no)?config\.(\w[\w.]*)", text)
    pattern = rf"((?:{sections})\.(?!py\b)\w+)(?:=.+)?"
    named = [match[1] for span in code_spans(text) if (match := re.fullmatch(pattern, span))]
    for name in given + named:
        assert is_field(default(), name), name


@document
def test_configs_and_variants_that_are_named_exist(path, monkeypatch):
    monkeypatch.chdir(ROOT)
    text = text_of(path)
    files = re.findall(r"configs/\w+\.py(?::\w+)?", text)
    stems = [span.partition(":") for span in code_spans(text) if re.fullmatch(r"\w+(:\w+)?", span)]
    files += [f"configs/{stem}.py{colon}{name}" for stem, colon, name in stems if stem in CONFIGS]
    for file in files:
        load_config(file, [])


@document
def test_commands_and_flags_are_those_of_the_program(path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(main, "_do", lambda *_: None)
    monkeypatch.setattr(main, "_with_others", lambda _: contextlib.nullcontext())
    text = text_of(path).replace("mine.py", "configs/sum8.py")
    flags = [
        shlex.split(span) for span in code_spans(text) if re.match(r"--(config[.=]|mode=)", span)
    ]
    for argv in itertools.chain(commands(text, "crnn_jax.main"), flags):
        given = {argument.partition("=")[0] for argument in argv}
        config = [] if given & {"--config", "--mode"} else ["--config=configs/sum8.py"]
        workdir = ["--workdir=runs/sum8"] if "--workdir" not in given else []
        bare = argv in flags and "--mode=predict" in argv
        more = [*workdir, *(["three.png"] if bare else [])]
        assert main.main([*config, *argv, *more]) == 0, (argv, capsys.readouterr().err)


@document
def test_filters_run_as_written(path, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (16, 16), "tan").save("photo.jpg")
    for argv in commands(path.read_text(), "crnn_jax.pictures.filters"):
        assert filters.main(argv) == 0
        assert Path(argv[-1]).exists()
