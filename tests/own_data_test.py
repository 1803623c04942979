"""Data of one's own that cannot be used: one clear line each, status 2, nothing half prepared."""

import json
import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from crnn_jax import main
from tests.own_clips import noise, write_animation, write_folder
from tests.tiny import clips_config_text

PARTS = 8 * ["train"] + 2 * ["validation"] + 2 * ["test"]
NUMBER = ("--config.task.name=number", "--config.model.head=last")
NUMBERS = ("--config.task.name=number_per_frame", "--config.model.head=last")
SUM = ("--config.task.name=sum", "--config.model.head=marginal", "--config.train.batch_size=16")
TEXT = (
    "--config.task.name=text",
    "--config.model.head=decoder",
    "--config.model.decoder_units=8",
)

LINE = (
    "--config.task.name=line",
    "--config.data.height=12",
    "--config.data.strip=4",
    "--config.model.encoder=columns",
    "--config.model.convs=((4, 3, True, 'same'), (4, 3, True, 'same'))",
    "--config.model.head=ctc",
)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The current folder, with a config and clips/0.gif to clips/11.gif, of three frames."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.py").write_text(clips_config_text())
    (tmp_path / "clips").mkdir()
    for i in range(12):
        write_animation(tmp_path / "clips" / f"{i}.gif", noise(3, seed=i))
    return tmp_path


def assert_refused(here, arguments, words, capsys):
    assert main.main(["--config=tiny.py", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert err[:-1].isprintable()
    for word in words:
        assert word in err
    assert not (here / "runs").exists()
    assert not [*here.glob("data/**/*.part"), *here.glob("data/**/*.tmp*")]


def rows(answers, *more):
    """Lines of a list of the clips; what stands in `more` comes behind."""
    lines = [f"{i}.gif,{answer},{PARTS[i]}" for i, answer in enumerate(answers)]
    return "\n".join(["path,answer,split", *lines, *more, ""])


CLASSES = rows(6 * ["a", "b"])
FRAMES = rows(12 * ['"[1, 2, 3]"'])
LISTS = {
    "nothing": ("", (), ["no rows"]),
    "no rows": ("path,answer\n", (), ["no rows"]),
    "no column of answers": ("path,foo\n0.gif,a\n", (), ["path, foo", "data.answer=COLUMN"]),
    "a column twice": ("path,answer,Answer\n0.gif,a,b\n", (), ["different names"]),
    "UTF-16": (CLASSES.encode("utf-16"), (), ["not UTF-8", "line 1", "iconv"]),
    "unknown split": (CLASSES + "0.gif,a,tset\n", (), ["line 14", "tset", "validation"]),
    "a cell too many": (CLASSES + "0.gif,a,train,1\n", (), ["line 14", "4 cells", "quotes"]),
    "one class": (rows(12 * ["a"]), (), ["the only class of 12 clips"]),
    "a copy in two parts": (CLASSES + "0.gif,a,test\n", (), ["0.gif in train", "one group"]),
    "no answer": (CLASSES + "0.gif, ,train\n", (), ["line 14", "empty"]),
    "no such file": (CLASSES + "x.gif,a,train\n", (), ["line 14", "x.gif", "not found"]),
    "no path": (CLASSES + " ,a,train\n", (), ["line 14", "the path is"]),
    "its own folder": (CLASSES + "./,a,train\n", (), ["line 14", "the path is './'"]),
    "outside": (CLASSES + "../tiny.py,a,train\n", (), ["leads outside", "data.outside=True"]),
    "outside from /": (CLASSES + "/etc/passwd,a,train\n", (), ["leads outside"]),
    "a name too long": (CLASSES + 5000 * "x" + ",a,train\n", (), ["File name too long"]),
    "no picture": (CLASSES + "labels.csv,a,train\n", (), ["labels.csv", "cannot be read"]),
    "no number": (rows(["abc", *range(11)]), NUMBER, ["line 2", "abc", "2.5"]),
    "NaN": (rows(["nan", *range(11)]), NUMBER, ["nan"]),
    "infinite": (rows(["1e400", *range(11)]), NUMBER, ["1e400"]),
    "too large to be squared": (rows(["3e38", *range(11)]), NUMBER, ["3e38", "1e+18"]),
    "as Python writes it": (rows(["1_5", *range(11)]), NUMBER, ["1_5"]),
    "a wrong count": (FRAMES + '0.gif,"[1, 2]",train\n', NUMBERS, ["2 numbers", "3 frames"]),
    "wrong counts alone": (rows(12 * ['"[1, 2]"']), NUMBERS, ["2 numbers", "14 more"]),
    "NaN of a frame": (FRAMES + '0.gif,"[1, NaN, 2]",train\n', NUMBERS, ["nan", "line 14"]),
    "no list": (FRAMES + "0.gif,5,train\n", NUMBERS, ["the answer is 5", "[0.5, 1]"]),
    "a pickle": (FRAMES + "0.gif,pickle.npy,train\n", NUMBERS, ["pickle.npy", "objects"]),
    "a lying header": (FRAMES + "0.gif,lie.npy,train\n", NUMBERS, ["lie.npy", "file size"]),
    "the wrong head": (CLASSES, ("--config.model.head=marginal",), ["marginal", "class"]),
    "a large batch": (CLASSES, ("--config.train.batch_size=16",), ["8 sequences to train on"]),
    "the word END": (rows(12 * ["at the END"]), TEXT, ["END", "another way"]),
    "sums of clips": (CLASSES, SUM, ["3 frames", "single images"]),
    "clips as lines": (CLASSES, LINE, ["0.gif", "several pages", "expected one picture"]),
    "classes of lines": (CLASSES, LINE[2:3], ["strip=4", "task.name=class", "the task line"]),
    "a line of some width": (
        CLASSES,
        (*LINE, "--config.data.width=9"),
        ["width=9", "height alone"],
    ),
    "a line of any height": (CLASSES, (*LINE, "--config.data.height=0"), ["height alone"]),
}


@pytest.mark.parametrize(("text", "flags", "words"), LISTS.values(), ids=LISTS)
def test_lists_of_files(here, text, flags, words, capsys):
    np.save(here / "clips" / "pickle.npy", np.array([{}], object), allow_pickle=True)
    with open(here / "clips" / "lie.npy", "wb") as file:
        about = {"descr": "<f8", "fortran_order": False, "shape": (10**12,)}
        np.lib.format.write_array_header_1_0(file, about)
    content = text if isinstance(text, bytes) else text.encode()
    (here / "clips" / "labels.csv").write_bytes(content)
    assert_refused(here, flags, words, capsys)


@pytest.mark.parametrize("cell", ["path", "answer", "group"])
def test_half_a_character_which_json_can_write(here, cell, capsys):
    lines = [{"path": f"{i}.gif", "answer": "ab"[i % 2], "split": PARTS[i]} for i in range(12)]
    lines[3][cell] = "\ud800"
    (here / "clips" / "labels.jsonl").write_text("\n".join(map(json.dumps, lines)))
    assert_refused(here, (), ["line 4", r"\ud800"], capsys)


def _bomb(path):
    def chunk(name, content):
        crc = struct.pack(">I", zlib.crc32(name + content))
        return struct.pack(">I", len(content)) + name + content + crc

    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 0, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000)))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunks + chunk(b"IEND", b""))


def _cut(path):
    path.write_bytes(path.read_bytes()[:-40])


def _pipe(path):
    path.unlink()
    os.mkfifo(path)


def _link_outside(path):
    path.unlink()
    path.symlink_to("/etc/hostname")


def _another_size(path):
    write_animation(path, noise(3, 20, 20))


FILES = {
    "a bomb": (_bomb, ["0.gif", "50,000,000 pixels"]),
    "cut off": (_cut, ["0.gif", "cannot be read"]),
    "empty": (lambda path: path.write_bytes(b""), ["0.gif", "cannot be read"]),
    "a pipe": (_pipe, ["0.gif", "not found"]),
    "a link outside": (_link_outside, ["0.gif", "leads outside"]),
    "another size": (_another_size, ["pixels (width × height)", "data.height"]),
}


@pytest.mark.parametrize(("spoil", "words"), FILES.values(), ids=FILES)
def test_files(here, spoil, words, capsys):
    (here / "clips" / "labels.csv").write_text(CLASSES)
    spoil(here / "clips" / "0.gif")
    assert_refused(here, (), words, capsys)


PLACES = {
    "a file of another kind": ("clips/0.gif", ["not a folder or a list of files"]),
    "a device": ("/dev/null", ["not a folder or a list of files"]),
    "not there": ("nowhere", ["nowhere: not found"]),
    "an empty folder": ("empty", ["no clips found", "cat/1.png"]),
    "files without classes": ("clips", ["found 0.gif and no folders"]),
    "a name too long": (300 * "x", ["File name too long"]),
}


@pytest.mark.parametrize(("path", "words"), PLACES.values(), ids=PLACES)
def test_places(here, path, words, capsys):
    (here / "empty").mkdir()
    assert_refused(here, [f"--config.data.path={path}"], words, capsys)


def test_a_data_set_that_tfds_has_not_prepared(here, capsys):
    words = ["tfds:nothing", "not prepared", "tfds build nothing"]
    assert_refused(here, ["--config.data.path=", "--config.data.name=tfds:nothing"], words, capsys)


@pytest.mark.parametrize("classes", [("1", "2"), ("1", "2", "x"), ("0", "1", "-1"), ("0.5", "1.5")])
def test_sums_of_classes_that_are_other_numbers_than_their_places(here, classes, capsys):
    for i, (part, name) in enumerate((x, y) for x in ("train", "val", "test") for y in classes):
        folder = here / "images" / part / name
        folder.mkdir(parents=True)
        Image.fromarray(noise(1, seed=i)[0, ..., 0]).save(folder / "1.png")
    words = [", ".join(classes), "expected 0, 1"]
    assert_refused(here, [*SUM, "--config.data.path=images"], words, capsys)


def test_where_no_clip_can_be_read_all_problems_are_shown(here, capsys):
    """Its first frames can, so that only preparing finds it."""
    for i in range(4):
        path = here / "frames" / ("train", "val", "test")[max(0, i - 1)] / "ab"[i % 2] / str(i)
        write_folder(path, noise(2, seed=i))
        Image.new("L", (5, 5)).save(path / "9.png")
    assert main.main(["--mode=data", "--config=tiny.py", "--config.data.path=frames"]) == 2
    out, err = capsys.readouterr()
    assert out.count("9.png: 5 × 5 pixels") == 4
    assert err.startswith("error: ")
    assert err.count("\n") == 1


def test_names_and_answers_are_shown_as_they_are_and_move_no_cursor(here, capsys):
    """Neither as mathematics, nor as orders to the terminal; glyphs without a font are boxes."""
    answers = 4 * ["$x^$", "\x1b[2J", "猫🐶"]
    (here / "clips" / "labels.csv").write_text(rows(answers))
    assert main.main(["--mode=data", "--config=tiny.py"]) == 0
    out, err = capsys.readouterr()
    assert "$x^$" in out
    assert r"\x1b[2J" in out
    assert "猫🐶" in out
    assert "\x1b" not in out
    assert err == ""


def test_a_run_is_found_complete_and_goes_on_with_no_other_data(here, capsys):
    (here / "clips" / "labels.csv").write_text(CLASSES)
    flags = ["--config=tiny.py", "--config.train.schedule=constant"]
    assert main.main(flags) == 0
    capsys.readouterr()
    assert main.main(flags) == 0
    assert capsys.readouterr().err == "the run in runs/tiny is complete\n"
    (here / "clips").rename(here / "moved")
    moved = [*flags, "--config.data.path=moved"]
    assert main.main(moved) == 0
    capsys.readouterr()
    write_animation(here / "moved" / "0.gif", noise(4, seed=0))
    assert main.main([*moved, "--config.train.steps=16"]) == 2
    err = capsys.readouterr().err
    assert "holds a run on the data sequences:" in err
    assert "have data.path lead to that" in err
    assert err.count("\n") == 1
