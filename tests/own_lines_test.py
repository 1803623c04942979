"""Lines of one's own that cannot be used, all or some: what is said, and what is trained on."""

import json

import numpy as np
import pytest
from PIL import Image

from crnn_jax import main
from tests.own_clips import noise
from tests.own_data_test import LINE, PARTS
from tests.tiny import clips_config_text


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The current folder, with a config."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.py").write_text(clips_config_text())
    return tmp_path


def write_lines(folder, texts, width, parts=PARTS):
    """Pictures of so many pixels of width, listed with their texts."""
    folder.mkdir()
    names = [f"{i}.png" for i in range(len(texts))]
    for i, name in enumerate(names):
        Image.fromarray(noise(1, 12, width, seed=i)[0, ..., 0]).save(folder / name)
    lines = [f"{name},{text},{part}" for name, text, part in zip(names, texts, parts, strict=True)]
    (folder / "labels.csv").write_text("\n".join(["path,answer,split", *lines]))


LINES = {
    "too short for their texts": ((12 * ["three"], 17), ["no line for train", "needs 6 strips"]),
    "too long": ((12 * ["ab"], 1300), ["0.png: 1,300 pixels long", "max_frames=300", "14 more"]),
    "one without a text": ((["", *11 * ["ab"]], 16), ["line 2", "empty"]),
    "too few that fit": (([*4 * ["abc"], *8 * ["abcde"]], 16), ["4 sequences to train on"]),
}


@pytest.mark.parametrize(("made", "words"), LINES.values(), ids=LINES)
def test_lines(here, made, words, capsys):
    write_lines(here / "lines", *made)
    assert main.main(["--config=tiny.py", "--config.data.path=lines", *LINE]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines()[-1].startswith("error: ")
    assert err.count("error: ") == 1
    for word in words:
        assert word in err
    assert not (here / "runs").exists()


def test_lines_that_are_left_out_are_named_and_the_others_trained_on(here, capsys):
    """The validation and the test part have symbols and lengths that training has not."""
    texts = ["bbbb", *8 * ["abca"], "aaab", "xb", "abcde", "c"]
    write_lines(here / "lines", texts, 16, ("train", *PARTS))
    flags = ["--config=tiny.py", "--config.data.path=lines", *LINE]
    assert main.main(["--mode=data", "--json", *flags]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [(x["name"], x["fatal"]) for x in found["problems"]] == [
        ("0.png", False),
        ("9.png", False),
        ("11.png", False),
    ]
    assert found["splits"]["train"] == {"clips": 8, "frames": 32}
    assert found["texts"]["unknown"] == {"validation": {"x": 1}, "test": {"d": 1, "e": 1}}
    assert main.main(flags) == 0
    err = capsys.readouterr().err
    assert "warning: 0.png: the text needs 7 strips, the line has 4: left out" in err
    assert "(and 2 more such lines" in err
    results = json.loads((here / "runs" / "tiny" / "results.json").read_text())
    assert results["n"] == 2
    assert 0 <= results["exact"] <= 0.5
    metrics = (here / "runs" / "tiny" / "metrics.jsonl").read_text().splitlines()
    losses = [found["loss"] for found in map(json.loads, metrics) if "loss" in found]
    assert losses
    assert np.isfinite(losses).all()
