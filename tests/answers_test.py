"""What the mode `predict` prints and writes about clips."""

import csv
import json
import os

import numpy as np
import pytest
from PIL import Image

from crnn_jax import UserError, predict
from tests.networks import clip_predictor
from tests.own_clips import noise, write_animation, write_folder


@pytest.fixture
def asked(tiny_config, monkeypatch, capsys, tmp_path):
    """Calls `predict` on files in the current folder; returns what was printed."""
    predictors = {}
    monkeypatch.chdir(tmp_path)
    write_animation(tmp_path / "a.gif", noise(2, seed=1))
    write_folder(tmp_path / "clips" / "b", noise(6, seed=2))
    (tmp_path / "clips" / "broken.mp4").write_bytes(b"no video")

    def ask(*paths, answer="class", **options):
        if answer not in predictors:
            predictors[answer] = clip_predictor(tiny_config, answer)
        asked = predictors[answer]
        monkeypatch.setattr(predict, "restore", lambda *_: asked.restored)
        try:
            predict.predict(tmp_path / "run", paths, **options)
        finally:
            ask.printed = capsys.readouterr().out
        return ask.printed

    ask.direct = lambda answer, path: predictors[answer](path)
    return ask


def lines(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_one_clip_is_one_json_object(asked):
    assert json.loads(asked("a.gif", as_json=True)) == asked.direct("class", "a.gif")


def test_each_file_is_a_line_of_json_and_a_broken_one_stops_no_other(asked):
    with pytest.raises(UserError, match="1 of 3 files have no answer"):
        asked("clips", "a.gif", as_json=True, each=True)
    found = [json.loads(line) for line in asked.printed.splitlines()]
    assert [x.pop("file") for x in found] == ["clips/b", "clips/broken.mp4", "a.gif"]
    assert found[0] == asked.direct("class", "clips/b")
    assert found[1].keys() == {"error"}
    assert found[2] == asked.direct("class", "a.gif")


def test_a_folder_of_animations_is_several_clips_and_an_empty_one_none(asked, tmp_path):
    for folder in ("several", "empty"):
        (tmp_path / folder).mkdir()
    for i in range(2):
        write_animation(tmp_path / "several" / f"{i}.gif", noise(2, seed=i))
    found = [json.loads(line) for line in asked("several", as_json=True, each=True).splitlines()]
    assert [x["file"] for x in found] == ["several/0.gif", "several/1.gif"]
    with pytest.raises(UserError, match="empty: found no clips"):
        asked("empty", each=True)


def test_names_that_are_no_text_are_written_as_they_are(asked, tmp_path):
    os.rename(tmp_path / "a.gif", tmp_path / "\udcff.gif")
    asked("\udcff.gif", table="out.csv")
    assert b"\n\xff.gif," in (tmp_path / "out.csv").read_bytes()


def test_tables_have_classes_and_how_likely_they_are(asked):
    text = asked("a.gif")
    classes = asked.direct("class", "a.gif")["classes"]
    assert f"answer      {classes[0]['class']}" in text
    assert f"{classes[1]['class']} {classes[1]['probability']:.1%} · " in text
    text = asked("a.gif", "clips/b", each=True)
    assert f"a.gif    {classes[0]['class']} · {classes[0]['probability']:.1%}" in text


def test_numbers_of_frames_are_written_as_csv(asked, tmp_path):
    asked("a.gif", "clips/b", answer="numbers", each=True, table="numbers.csv")
    rows = lines(tmp_path / "numbers.csv")
    assert [(x["file"], x["frame"]) for x in rows] == [
        *[("a.gif", f"{i}") for i in (1, 2)],
        *[("clips/b", f"{i}") for i in range(1, 7)],
    ]
    steps = asked.direct("numbers", "clips/b")["steps"]
    assert [float(x["estimate"]) for x in rows[2:]] == [x["estimate"] for x in steps]


def test_an_answer_about_a_whole_clip_is_a_line_of_csv(asked, tmp_path):
    with pytest.raises(UserError):
        asked("clips", "a.gif", each=True, table="classes.csv")
    rows = lines(tmp_path / "classes.csv")
    assert [x["file"] for x in rows] == ["clips/b", "a.gif"]
    assert rows[1]["answer"] == asked.direct("class", "a.gif")["answer"]
    assert {x["frame"] for x in rows} == {""}


def test_frames_are_drawn_with_their_numbers(asked, tmp_path, monkeypatch):
    drawn = []
    draw = predict.shown.draw_strips
    monkeypatch.setattr(
        predict.shown, "draw_strips", lambda *given: drawn.append(given) or draw(*given)
    )
    asked("clips/b", answer="numbers", figure="strip.png")
    (((strip,), _),) = drawn
    steps = asked.direct("numbers", "clips/b")["steps"]
    assert strip.account.title.startswith("b: largest at frame")
    assert [note.text for note in strip.account.notes] == [f"{x['estimate']:.3g}" for x in steps]
    np.testing.assert_array_equal(strip.frames_FxHxWxC, noise(6, seed=2))
    with Image.open(tmp_path / "strip.png") as image:
        assert image.format == "PNG"


def test_what_is_not_sure_enough_is_not_told(asked, tmp_path):
    asked("a.gif")
    sure = [asked.direct("class", name)["confidence"] for name in ("a.gif", "clips/b")]
    assert sure[0] != sure[1]
    least, which = max(sure), int(np.argmin(sure))
    options = {"each": True, "min_confidence": least}
    text = asked("a.gif", "clips/b", as_json=True, table="out.csv", figure="out.png", **options)
    found = [json.loads(line) for line in text.splitlines()]
    unsure, told = found[which], found[1 - which]
    assert unsure.pop("file") == ("a.gif", "clips/b")[which]
    assert unsure == {"answer": None, "confidence": sure[which], "abstained": True, "steps": []}
    assert told.pop("abstained") is False
    assert told == {"file": told["file"], **asked.direct("class", told["file"])}
    rows = lines(tmp_path / "out.csv")
    assert [x["answer"] == "?" for x in rows] == [i == which for i in range(2)]
    assert float(rows[which]["confidence"]) == sure[which]
    assert f"  ? · {sure[which]:.1%} " in asked("a.gif", "clips/b", **options)
    assert "abstained" not in asked("a.gif", as_json=True)


def test_who_does_not_say_how_sure_it_is_cannot_abstain(asked):
    with pytest.raises(UserError, match=r"^--min_confidence=0.5: this network does not say"):
        asked("a.gif", "clips/b", answer="numbers", each=True, min_confidence=0.5)
    for least in (-0.1, 90.0, float("nan")):
        with pytest.raises(UserError, match=f"^--min_confidence={least:g}: expected a share"):
            asked("a.gif", min_confidence=least)
    assert asked.printed == ""


@pytest.mark.parametrize(
    "options", [{"table": "no/x.csv"}, {"table": "x.txt"}, {"figure": "x.jpg"}, {"figure": "x"}]
)
def test_files_that_cannot_be_written_are_refused_at_once(options, asked):
    (given,) = options.values()
    with pytest.raises(UserError, match=f"={given}: expected a file in a folder that exists"):
        asked("a.gif", **options)
    assert asked.printed == ""


def test_what_is_answered_about_less_is_said(tiny_config, monkeypatch, tmp_path, capsys):
    predictor = clip_predictor(tiny_config, max_frames=2)
    monkeypatch.setattr(predict, "restore", lambda *_: predictor.restored)
    (path,) = write_animation(tmp_path / "long.gif", noise(3))
    predict.predict(tmp_path, [path])
    assert "long.gif: the answer is about its first 2 frames" in capsys.readouterr().err
