import pytest

from crnn_jax.runs.atomic_write import write_whole


def test_a_file_is_replaced_and_nothing_else_is_left(tmp_path):
    for content in (b"first", b"\x00second\n"):
        write_whole(tmp_path / "a.json", content)
        assert (tmp_path / "a.json").read_bytes() == content
        assert list(tmp_path.iterdir()) == [tmp_path / "a.json"]


def test_what_cannot_be_put_in_place_leaves_the_folder_as_it_was(tmp_path):
    (tmp_path / "a.json").mkdir()
    with pytest.raises(OSError, match=r"a\.json"):
        write_whole(tmp_path / "a.json", b"content")
    assert list(tmp_path.iterdir()) == [tmp_path / "a.json"]
