import pytest

from crnn_jax import UserError
from tests.listings import lay, listed, write


def test_a_list_of_files_goes_before_folders(tmp_path):
    lay(tmp_path, "a/1.png", "b/1.png")
    assert listed(tmp_path).classes == ("a", "b")
    write(tmp_path / "labels.csv", "path,answer\na/1.png,x\nb/1.png,y\n")
    assert listed(tmp_path).classes == ("x", "y")


@pytest.mark.parametrize("name", ["nix", "clip.mp4"])
def test_what_is_no_data(tmp_path, name):
    lay(tmp_path, "clip.mp4")
    with pytest.raises(UserError, match=rf"path=.*{name}: not .*expected a folder of clips, or a"):
        listed(tmp_path / name)


def test_shares_that_leave_nothing_to_train_on(tmp_path):
    with pytest.raises(UserError, match=r"validation=0.5 and data.test=0.5 leave nothing"):
        listed(tmp_path, validation=0.5, test=0.5)


def test_a_part_without_clips_is_a_problem(tmp_path):
    lay(tmp_path, *(f"{name}/{i}.png" for name in "ab" for i in range(40)))
    assert not listed(tmp_path).problems
    problems = listed(tmp_path, test=0).problems
    assert [(p.name, p.fatal) for p in problems] == [("test", True)]
    assert "80 clips of 40 names" in problems[0].what


def test_a_class_missing_in_a_part_is_a_problem(tmp_path):
    lay(tmp_path, *(f"{part}/{name}/1.png" for part in ("train", "val", "test") for name in "ab"))
    lay(tmp_path, "train/c/1.png", "val/c/1.png", "val/d/1.png", "test/d/1.png")
    assert [(p.name, p.what.split()[-1], p.fatal) for p in listed(tmp_path).problems] == [
        ("d", "train", True),
        ("c", "test", False),
    ]
