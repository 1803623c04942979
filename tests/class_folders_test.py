import os

import pytest

from crnn_jax import UserError
from tests.listings import fatal, lay, listed


def test_pictures_in_folders_of_their_class(tmp_path):
    lay(tmp_path, "dog/10.png", "dog/9.JPG", "cat/a.webp", "cat/1.png")
    lay(tmp_path, ".DS_Store", "dog/Thumbs.db", "dog/desktop.ini", "cat/.hidden.png")
    lay(tmp_path, "cat/note.txt", "__MACOSX/cat/1.png")
    listing = listed(tmp_path)
    assert [clip.name for clip in listing.clips] == [
        "cat/1.png",
        "cat/a.webp",
        "dog/9.JPG",
        "dog/10.png",
    ]
    assert [clip.answer for clip in listing.clips] == ["cat", "cat", "dog", "dog"]
    assert listing.clips[0].source == (tmp_path / "cat" / "1.png",)
    assert listing.classes == ("cat", "dog")
    assert listing.name == tmp_path.name
    assert "pictures" in listing.kind
    assert not fatal(listing)
    assert not [problem for problem in listing.problems if "left out" in problem.what]
    assert {clip.split for clip in listing.clips} == {None}


def test_the_same_clips_list_alike_in_every_form(tmp_path):
    names = [f"{name}/clip_{i}" for name in ("b", "a10", "a9") for i in (1, 2, 10)]
    lay(tmp_path / "gif", *(f"{name}.gif" for name in names))
    lay(tmp_path / "mp4", *(f"train/{name}.mp4" for name in names))
    lay(tmp_path / "png", *(f"{name}/{i}.png" for name in names for i in (10, 9)))
    listings = [listed(tmp_path / form) for form in ("gif", "mp4", "png")]
    assert len({listing.kind for listing in listings}) == 3
    for listing in listings:
        order = [clip.name.removeprefix("train/").split(".")[0] for clip in listing.clips]
        assert order == [f"{n}/clip_{i}" for n in ("a9", "a10", "b") for i in (1, 2, 10)]
        assert listing.classes == ("a9", "a10", "b")
        assert {clip.group for clip in listing.clips} == {"clip_1", "clip_2", "clip_10"}
    assert [path.name for path in listings[2].clips[0].source] == ["9.png", "10.png"]


@pytest.mark.parametrize("validation", ["validation", "val", "Valid"])
def test_folders_of_the_parts(tmp_path, validation):
    lay(tmp_path, *(f"{p}/{c}/1.avi" for p in ("train", "test", validation) for c in "ab"))
    listing = listed(tmp_path)
    assert not listing.problems
    assert [clip.split for clip in listing.clips] == [
        {"train": "train", "test": "test"}.get(clip.name.split("/")[0], "validation")
        for clip in listing.clips
    ]
    assert listing.classes == ("a", "b")


def test_a_part_alone_among_classes_is_a_class(tmp_path):
    lay(tmp_path, "bus/1.png", "car/1.png", "train/1.png")
    assert listed(tmp_path).classes == ("bus", "car", "train")


def test_links_that_lead_outside_are_followed_only_with_a_word(tmp_path):
    lay(tmp_path, "elsewhere/1.png", "data/a/1.png", "data/b/2.png")
    (tmp_path / "data" / "a" / "3.png").symlink_to(tmp_path / "data" / "b" / "2.png")  # inside
    assert len(listed(tmp_path / "data").clips) == 3
    (tmp_path / "data" / "c").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match=r"data/c: leads outside .*data\.outside=True"):
        listed(tmp_path / "data")
    assert listed(tmp_path / "data", outside=True).classes == ("a", "b", "c")


def test_files_named_by_their_answer(tmp_path):
    lay(tmp_path, "2b827.png", "2b827_1.png", "Xy_.jpg", ".DS_Store", "_3.png")
    listing = listed(tmp_path, "text", answer_column="filename")
    assert [(clip.name, clip.answer, clip.group) for clip in listing.clips] == [
        ("2b827.png", "2b827", "2b827"),
        ("2b827_1.png", "2b827", "2b827"),
        ("Xy_.jpg", "Xy", "Xy"),
    ]
    assert fatal(listing) == ["_3.png: the answer is empty, expected a text"]
    assert listing.classes == ()


@pytest.mark.parametrize(
    ("names", "answer", "message"),
    [
        (["a/1.png", "b/1.mp4"], "class", r"found pictures \(a/1.png\) and videos \(b/1.mp4\)"),
        (["a/1.png", "a/2/1.png", "b/3.png"], "class", r"pictures .* and folders \(a/2\)|folders"),
        (["a/1.gif", "b/2/1.png"], "class", r"animations \(a/1.gif\) and folders \(b/2\)"),
        (["1.png", "2.png"], "class", r"found 1.png and no folders.*data.answer=filename"),
        (["1.png", "a/2.png", "b/2.png"], "class", r"found 1.png beside folders"),
        (["a/1.png", "b/2.png"], "number", r"answers \(number\).*labels.csv"),
        (["a/1.png", "b/2.png"], "text", r"answers \(text\).*columns path and answer"),
        (["train/a/1.png", "test/a/1.png", "b/1.png"], "class", r"found b beside test and train"),
        (["val/a/1.png", "valid/b/1.png", "train/a/1.png"], "class", r"one folder each"),
        ([], "class", r"no clips found; expected a folder for each class"),
        (["a/readme.md", "b/.DS_Store"], "class", r"no clips found"),
    ],
)
def test_folders_that_cannot_be_listed(tmp_path, names, answer, message):
    lay(tmp_path, *names)
    with pytest.raises(UserError, match=message):
        listed(tmp_path, answer)


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        (["a/1/1.png", "b/1/1.png", "b/2/.DS_Store"], "b/2: a folder of no frames: found nothing"),
        (["a/1/1.png", "b/1/1.png", "b/2/x/1.png"], "b/2: a folder of no frames: found x"),
        (["a/1.png", "b/1.png", "c/notes.txt"], "c: no clips in this folder of a class"),
        (["a/1.png", "a/2.png"], "a: the only class of 2 clips"),
        (["train/a/1.png", "val/a/1.png", "test/a/1.png", "test/b/1.png"], "b: no clip of this"),
    ],
)
def test_problems_are_collected(tmp_path, names, problem):
    lay(tmp_path, *names)
    found = fatal(listed(tmp_path))
    assert len(found) == 1
    assert found[0].startswith(problem)


def test_a_column_of_answers_needs_a_list_of_files(tmp_path):
    lay(tmp_path, "a/1.png", "b/1.png")
    with pytest.raises(UserError, match="name classes, not the answers speed: expected a list of"):
        listed(tmp_path, answer_column="speed")


def test_what_is_left_out_is_told(tmp_path):
    lay(tmp_path, *(f"{part}/{name}/1.png" for part in ("train", "val", "test") for name in "ab"))
    lay(tmp_path, "train/a/model.pkl")
    (name, what, is_fatal), *others = listed(tmp_path).problems
    assert (name, is_fatal, others) == ("train/a/model.pkl", False, [])
    assert "left out" in what


def test_a_folder_that_cannot_be_listed(tmp_path, monkeypatch):
    lay(tmp_path, "a/1.png", "b/1.png")

    def scandir(path, real=os.scandir):
        if os.path.basename(path) == "b":
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(UserError, match=r"b: cannot be listed \(Permission denied\)"):
        listed(tmp_path)
