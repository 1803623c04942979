import numpy as np
import pytest

from crnn_jax import UserError
from crnn_jax.data.sources.listing import Clip, assign_splits, natural, parse_answer, parse_numbers
from crnn_jax.data.sources.listing import column as find_column


def clip(group, split=None):
    return Clip(f"{group}.png", (), "a", split, group)


def test_a_hash_of_the_group_splits_and_adding_clips_moves_nothing():
    clips = [clip(f"clip_{i}") for i in range(3_000)]
    parts = assign_splits(clips, 0.1, 0.2)
    assert 0.09 < parts.count("validation") / 3_000 < 0.11
    assert 0.18 < parts.count("test") / 3_000 < 0.22
    assert assign_splits([clip("more"), *reversed(clips)], 0.1, 0.2)[:0:-1] == parts
    # Fixed for ever: else what was trained on would be tested on after an update.
    assert "".join(part[1] for part in parts[:12]) == "errrreraraar"


def test_copies_stay_together():
    clips = [clip(f"clip_{i % 50}") for i in range(100)]
    parts = assign_splits(clips, 0.3, 0.3)
    assert parts[:50] == parts[50:]
    assert set(parts) == {"train", "validation", "test"}


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        (["train", "test"], "validation"),
        (["train", "validation"], "test"),
        ([None, "test"], "validation"),
        (["train", "validation", "test"], None),
    ],
)
def test_a_part_that_is_not_given_is_taken_from_training(given, taken):
    clips = [clip(i, split) for i, split in zip(map(str, range(400)), given * 200, strict=False)]
    parts = assign_splits(clips, 0.2, 0.2)
    alone = assign_splits([clip(c.group) for c in clips], 0.2, 0.2)
    for c, part, hashed in zip(clips, parts, alone, strict=True):
        if c.split not in (None, "train"):
            assert part == c.split
        else:
            assert part == (hashed if hashed == taken else "train")
    assert set(parts) == {"train", "validation", "test"}


def test_no_share_takes_nothing():
    assert set(assign_splits([clip(str(i)) for i in range(200)], 0, 0)) == {"train"}


def test_natural_order():
    names = ["b/1.png", "a/10.png", "a/9.png", "a-b/1.png", "a/B.png", "10", "9", "a/²", "a/x"]
    assert sorted(names, key=natural) == [
        *("9", "10", "a/9.png", "a/10.png", "a/B.png", "a/x", "a/²", "a-b/1.png", "b/1.png")
    ]


@pytest.mark.parametrize(
    ("value", "answer", "expected"),
    [
        (" cat ", "class", "cat"),
        (3, "class", "3"),
        ("a  b\n", "text", "a  b"),
        ("-2.5e1", "number", -25.0),
        (True, "number", None),
        ("nan", "number", None),
        ("1e39", "number", None),
        ("1,5", "number", None),
        (10**400, "number", None),
        ("", "number", None),
        ("  ", "class", None),
        (None, "text", None),
        (["a"], "class", None),
        ("x" * 101, "class", None),
        ("9" * 5_000, "class", None),  # Python reads no numbers of so many digits
    ],
)
def test_answers(value, answer, expected):
    if expected is None:
        with pytest.raises(UserError, match=r"the answer is .*expected a"):
            parse_answer(value, answer)
    else:
        assert parse_answer(value, answer) == expected


def test_numbers_are_float32():
    np.testing.assert_array_equal(
        parse_numbers([1, "2.5", -3.0]), np.array([1, 2.5, -3], np.float32), strict=True
    )


def test_a_column_is_found_but_never_guessed():
    names = ("path", "file", "filename")
    assert find_column("x", ["File_Name", "label"], names, "") == "File_Name"
    assert find_column("x", ["file", "path"], names, "") == "path"
    for found in (["file", "filename"], ["label"], []):
        with pytest.raises(UserError, match="expected one of path, file, filename: rename it"):
            find_column("x", found, names, "rename it")
