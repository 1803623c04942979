import json
import re

import numpy as np
import pytest

from crnn_jax import UserError
from tests.listings import fatal, lay, listed, write


@pytest.fixture
def folder(tmp_path):
    """Two pictures, a video, and two folders of frames."""
    lay(tmp_path / "data", "a.png", "sub/b 2.png", "c.mp4", "x/9.png", "x/10.png", "y/1.png")
    lay(tmp_path, "secret.png")
    return tmp_path / "data"


ROWS = [
    ("a.png", "cat"),
    ("sub/b 2.png", "dog"),
    ("c.mp4", "cat"),
    ("x", "dog"),
    ("y/*.png", "ü,b"),
]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("labels.csv", 'Path,Answer\n{}\n"y/*.png","ü,b"\n'),
        ("labels.csv", '\ufefffile_name;label\r\n{}\r\n\r\ny/*.png;"ü,b"'),
        ("labels.tsv", "image\tclass\n{}\ny/*.png\tü,b\n"),
        ("gt.txt", "{}\ny/*.png\tü,b\n"),
        ("my list.TXT", "{}\r\ny/*.png\tü,b\r\n"),
    ],
)
def test_lists_of_files(folder, name, text):
    separator = next(s for s in ("\t", ";", ",") if s in text)
    lines = "\n".join(separator.join(row) for row in ROWS[:4])
    path = write(folder / name, text.format(lines))
    listing = listed(path if name.startswith("my") else folder)
    assert not fatal(listing)
    assert sorted((clip.name, clip.answer) for clip in listing.clips) == sorted(ROWS)
    assert listing.classes == ("cat", "dog", "ü,b")
    assert listing.name == name
    sources = {clip.name: [path.name for path in clip.source] for clip in listing.clips}
    assert sources["x"] == ["9.png", "10.png"]
    assert sources["y/*.png"] == ["1.png"]


@pytest.mark.parametrize("name", ["labels.jsonl", "labels.json"])
def test_json(folder, name):
    rows = [
        {"video": path, "text": answer, "group": i, "n": None}
        for i, (path, answer) in enumerate(ROWS)
    ]
    text = "\n\n".join(map(json.dumps, rows)) if name.endswith("l") else json.dumps(rows)
    write(folder / name, text)
    listing = listed(folder, "text")
    assert not fatal(listing)
    assert sorted((clip.name, clip.answer) for clip in listing.clips) == sorted(ROWS)
    assert {clip.group for clip in listing.clips} == set("01234")


def test_labels_of_doctr(folder):
    lay(folder, "images/1.png", "images/2.png")
    write(folder / "labels.json", '{"1.png": "one", "2.png": "two words"}')
    listing = listed(folder, "text")
    assert [(clip.name, clip.answer) for clip in listing.clips] == [
        ("images/1.png", "one"),
        ("images/2.png", "two words"),
    ]


def test_labels_of_text_recognition_data_generator(folder):
    write(folder / "labels.txt", "a.png two words\nc.mp4 one\n")
    assert [clip.answer for clip in listed(folder, "text").clips] == ["two words", "one"]


def test_splits_and_groups(folder):
    write(
        folder / "labels.csv",
        "path,split,answer,group\na.png,TRAIN,1,g\nc.mp4,val,2,\nx,test,3,h\ny,,4,h\n",
    )
    clips = {clip.name: clip for clip in listed(folder, "number").clips}
    assert [clips[name].split for name in ("a.png", "c.mp4", "x", "y")] == [
        *("train", "validation", "test", None)
    ]
    assert [clips[name].group for name in ("a.png", "c.mp4", "x", "y")] == ["g", "c", "h", "h"]
    assert [clips[name].answer for name in ("a.png", "c.mp4", "x", "y")] == [1, 2, 3, 4]


def test_patterns_of_frames_are_groups_of_their_own(folder):
    """Their stems are all alike."""
    lay(folder, "x/notes.txt")
    write(folder / "labels.csv", "path,answer\nx/*,1\ny/*,2\n")
    assert [len(clip.source) for clip in listed(folder, "number").clips] == [2, 1]
    assert len({clip.group for clip in listed(folder, "number").clips}) == 2


def test_a_number_for_every_frame(folder):
    np.save(folder / "x.npy", np.arange(3, dtype=np.int16)[:, None])
    write(folder / "y.csv", "1\n2.5\n-3\n")
    write(
        folder / "labels.csv", 'path,answer\na.png,"[1, 2.5, -3]"\nx,x.npy\ny,y.csv\nc.mp4,[0.5]\n'
    )
    answers = {clip.name: clip.answer for clip in listed(folder, "numbers").clips}
    for name, expected in {"a.png": [1, 2.5, -3], "x": [0, 1, 2], "y": [1, 2.5, -3]}.items():
        np.testing.assert_array_equal(answers[name], np.array(expected, np.float32), strict=True)


def test_the_column_of_answers_is_named_by_the_config(folder):
    write(folder / "labels.csv", "path,label,speed\na.png,cat,1\nx,dog,2\n")
    assert listed(folder).classes == ("cat", "dog")
    assert [c.answer for c in listed(folder, "number", answer_column="speed").clips] == [1, 2]


def test_what_lies_outside_is_read_only_with_a_word(folder):
    (folder / "link.png").symlink_to(folder.parent / "secret.png")
    (folder / "z").mkdir()
    (folder / "z" / "1.png").symlink_to(folder.parent / "secret.png")
    outside = ["../secret.png", str(folder.parent / "secret.png"), "link.png", "z", "z/*.png"]
    rows = "".join(f"{name},{i}\n" for i, name in enumerate([*outside, "../data/a.png"]))
    write(folder / "labels.csv", f"path,answer\n{rows}")
    listing = listed(folder, "number")
    assert [clip.name for clip in listing.clips] == ["../data/a.png"]
    problems = fatal(listing)
    assert len(problems) == len(outside)
    for line, problem in enumerate(problems, 2):
        assert problem.startswith(f"labels.csv, line {line}: ")
        assert "leads outside" in problem
        assert "--config.data.outside=True" in problem
    assert len(listed(folder, "number", outside=True).clips) == len(outside) + 1


def test_numbers_outside_are_read_only_with_a_word(folder):
    np.save(folder.parent / "n.npy", np.zeros(2))
    write(folder / "labels.csv", "path,answer\nx,../n.npy\ny,[1]\n")
    assert "leads outside" in fatal(listed(folder, "numbers"))[0]
    assert not fatal(listed(folder, "numbers", outside=True))


@pytest.mark.parametrize(
    ("row", "answer", "problem"),
    [
        ("nix.png,cat", "class", "nix.png: not found in .*, expected a file or a folder of frames"),
        ("sub/*.gif,cat", "class", r"sub/\*.gif: not found in"),
        ("sub/../../*,cat", "class", "leads outside"),
        ("empty,cat", "class", "a folder of no frames: found nothing, expected"),
        (",cat", "class", "the path is '', expected a file"),
        ("a\0b.png,cat", "class", "the path is .*, expected a file"),
        ("a.png,", "class", "the answer is empty, expected a class"),
        ("a.png,five", "number", "the answer is five, expected a finite number such as 2.5"),
        ("a.png,inf", "number", "the answer is inf, expected a finite number"),
        ("a.png", "class", "1 cells, expected 2"),
        ("a.png,b,c", "class", "3 cells, expected 2 .*in quotes"),
        ("a.png,5", "numbers", r"the answer is 5, expected a list such as \[0.5, 1\]"),
        ("a.png,[]", "numbers", "no numbers, expected one for every frame"),
        ('a.png,"[1, null]"', "numbers", "the answer is None, expected a finite number"),
        ("a.png," + "[" * 100_000, "numbers", "expected a list"),
        ("a.png,nix.npy", "numbers", "nix.npy: not found"),
        ("a.png,objects.npy", "numbers", "objects.npy: cannot be read .*expected numbers"),
        ("a.png,pickle.npy", "numbers", "pickle.npy: cannot be read"),
        ("a.png,liar.npy", "numbers", "liar.npy: cannot be read"),
        ("a.png,square.npy", "numbers", r"square.npy: float64 \(2, 2\), expected one number a"),
        ("a.png,words.npy", "numbers", "words.npy: <U1"),
        ("a.png,a.csv", "numbers", "the answer is x, expected a finite number"),
        ("a.png," + "x" * 200_000, "text", "field larger than field limit"),
        ("e" * 5_000 + ",cat", "class", "cannot be looked at|not found"),
        ("\x1b[31m,cat", "class", r"'\\x1b\[31m': not found"),
    ],
)
def test_problems_of_a_row(folder, row, answer, problem):
    (folder / "empty").mkdir()
    np.save(folder / "objects.npy", np.array([Boom()], object), allow_pickle=True)
    np.array([Boom()], object).dump(folder / "pickle.npy")
    np.save(folder / "square.npy", np.zeros((2, 2)))
    np.save(folder / "words.npy", np.array(["a"]))
    liar = folder / "liar.npy"
    np.save(liar, np.zeros(11))
    liar.write_bytes(liar.read_bytes().replace(b"(11,), }        ", b"(11111111111,), }"))
    write(folder / "a.csv", "1,x\n")
    good = {"numbers": "[1]", "number": "1"}.get(answer, "dog")
    write(folder / "labels.csv", f"path,answer\nc.mp4,{good}\n{row}\nx,{good}\n")
    listing = listed(folder, answer)
    assert len(listing.clips) == 2
    (found,) = (p for p in listing.problems if p.name.startswith("labels"))
    assert found.name == "labels.csv, line 3"
    assert found.fatal
    assert re.search(problem, found.what)
    assert len(found.what.splitlines()) == 1
    assert len(found.what) < 400


class Boom:
    """Ends the test where it is unpickled."""

    def __reduce__(self):
        return (pytest.fail, ("code was run",))


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("labels.csv", "path,anwser\na.png,cat\n", "found the columns path, anwser; expected one"),
        ("labels.csv", "a.png,cat\nx,dog\n", "found the columns a.png, cat; expected one of path,"),
        ("labels.csv", "path,label,text\na.png,1,2\n", "by --config.data.answer=COLUMN"),
        ("labels.csv", "path,path\na.png,1\n", "expected different names"),
        ("labels.csv", "path,answer\n", "no rows, expected a line for each clip"),
        ("labels.csv", "", "no rows"),
        (
            "labels.csv",
            "path,answer\nä.png,1\n".encode("latin1"),
            r"not UTF-8 \(byte 0xe4 in line 2",
        ),
        ("labels.csv", "path,answer\n".encode("utf-16"), r"not UTF-8 \(byte 0xff in line 1"),
        ("labels.json", "3", "no JSON such as"),
        ("labels.json", "{", "no JSON such as"),
        ("labels.json", "[" * 100_000, "no JSON such as"),
        ("labels.jsonl", "{}\n", "found the columns none; expected one of path"),
        ("labels.jsonl", "[1]\n{\n", "line 1: expected an object .*1 more problem"),
        ("gt.txt", "a.png\n", "gt.txt, line 1: a.png, expected a path, a tab or space, and"),
        ("labels.csv", "path,answer\nno.png,1\nnix.png,2\n", "no.png: not found.*1 more problem"),
    ],
)
def test_lists_that_cannot_be_used(folder, name, text, message):
    write(folder / name, text)
    with pytest.raises(UserError, match=message):
        listed(folder)


def test_a_mistyped_column(folder):
    write(folder / "labels.csv", "path,speed\na.png,1\n")
    with pytest.raises(
        UserError, match=r"data.answer=sped \(did you mean speed\?\): .*path, speed"
    ):
        listed(folder, "number", answer_column="sped")


def test_two_lists_in_a_folder(folder):
    write(folder / "labels.csv", "path,answer\n")
    write(folder / "gt.txt", "a.png 1\n")
    with pytest.raises(UserError, match=r"found labels.csv and gt.txt; .*path=.*/labels.csv"):
        listed(folder)


def test_a_huge_list_is_not_read(folder):
    path = write(folder / "labels.csv", "path,answer\n")
    with path.open("r+b") as file:
        file.truncate(2**40)  # takes no place on the disk
    with pytest.raises(UserError, match="at most 268,435,456 bytes"):
        listed(path)
