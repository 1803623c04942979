"""Captchas for training: of the texts that their files are named by, the same at every call."""

import pytest
from PIL import Image

from crnn_jax import config, exit_status
from crnn_jax.data.sources.layouts import list_clips
from tools import make_captchas


def make(folder, *arguments):
    make_captchas.main([*arguments, str(folder)])
    return sorted(folder.iterdir())


@pytest.mark.parametrize("kind", make_captchas.KINDS)
def test_names_are_the_texts(tmp_path, kind):
    files = make(tmp_path / "made", kind, "--count=30")
    symbols, length = make_captchas.KINDS[kind]
    data = config.default().data
    data.path, data.answer = str(tmp_path / "made"), "filename"
    texts = [str(clip.answer) for clip in list_clips(data, "text").clips]
    assert len(texts) == len(files) == 30
    assert {len(text) for text in texts} == {length}
    assert {*"".join(texts)} <= {*symbols}
    assert len({*texts}) > 25
    for file in files:
        with Image.open(file) as image:
            assert image.size == (160, 60)


def test_the_same_are_made_at_every_call_however_many(tmp_path):
    few, many = (
        make(tmp_path / "few", "letters", "--count=2"),
        make(tmp_path / "many", "letters", "--count=9"),
    )
    other = make(tmp_path / "other", "letters", "--count=2", "--seed=2")
    of_many = {file.name: file.read_bytes() for file in many}
    assert all(of_many[file.name] == file.read_bytes() for file in few)
    assert not {file.name for file in few} & {file.name for file in other}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["words", "new"], "invalid choice: 'words'"),
        (["digits", "new", "--count=0"], "--count=0: expected 1 to 1,000,000"),
        (["digits", "there"], "there exists: expected the name of a folder to make"),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_made(
    arguments, expected, tmp_path, monkeypatch, capsys
):
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path)
    try:
        status = exit_status(make_captchas.main, arguments)
    except SystemExit as end:
        status = end.code
    assert status == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert expected in line
    assert [path.name for path in tmp_path.iterdir()] == ["there"]
