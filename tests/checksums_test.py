"""Checksums of a folder: whatever happens to its files is found."""

import re
import subprocess

import pytest

from crnn_jax.runs import checksums


@pytest.fixture
def folder(tmp_path):
    """Some files, one in a folder and one empty, with their checksums."""
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "data").write_bytes(bytes(range(256)) * 40)
    (tmp_path / "notes").write_text("{}")
    (tmp_path / "mark").touch()
    checksums.write(tmp_path)
    return tmp_path


def test_what_is_as_it_was_is_not_damaged(folder):
    assert checksums.damage(folder) is None
    checksums.write(folder)
    assert checksums.damage(folder) is None


def test_coreutils_agree(folder):
    subprocess.run(["sha256sum", "--check", "--quiet", checksums.NAME], cwd=folder, check=True)


@pytest.mark.parametrize("name", ["state/data", "notes", checksums.NAME])
def test_every_flipped_bit_is_found(folder, name):
    path = folder / name
    whole = path.read_bytes()
    for place in {0, 1, len(whole) // 2, len(whole) - 1}:
        for bit in range(8):
            changed = bytearray(whole)
            changed[place] ^= 1 << bit
            path.write_bytes(changed)
            assert checksums.damage(folder) is not None, (place, bit)
    path.write_bytes(whole)
    assert checksums.damage(folder) is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: (f / "state/data").write_bytes(b"\0" * 256 * 40), "state/data is not as it was"),
        (lambda f: (f / "state/data").write_bytes(b""), "state/data is not as it was"),
        (lambda f: (f / "mark").write_bytes(b"1"), "mark is not as it was"),
        (lambda f: (f / "mark").unlink(), "'mark' is missing"),
        (lambda f: (f / "notes").rename(f / "other"), "'notes' is missing"),
        (lambda f: (f / checksums.NAME).unlink(), "SHA256SUMS is missing"),
        (lambda f: (f / checksums.NAME).write_bytes(b""), "SHA256SUMS is not as it was"),
        (lambda f: (f / checksums.NAME).write_bytes(b"\xff\n\0"), "SHA256SUMS is not as it was"),
    ],
)
def test_what_is_wrong_is_said(folder, change, message):
    change(folder)
    damage = checksums.damage(folder)
    assert damage
    assert "\n" not in damage
    assert re.search(message, damage)


def test_every_list_that_was_cut_short_is_found(folder):
    path = folder / checksums.NAME
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        assert checksums.damage(folder) is not None, length


@pytest.mark.parametrize("name", [".DS_Store", "state/Thumbs.db", "._notes"])
def test_files_that_a_file_manager_left_are_not_damage(folder, name):
    (folder / name).write_text("foreign")
    assert checksums.damage(folder) is None


def test_lists_of_the_first_edition_are_read(folder):
    path = folder / checksums.NAME
    path.write_text(path.read_text().partition("\n")[2])
    assert checksums.damage(folder) is None
    (folder / "mark").unlink()
    assert checksums.damage(folder) == "'mark' is missing"


def test_a_file_that_cannot_be_read_is_not_called_damaged(folder, monkeypatch):
    def no_permission(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(checksums, "_sha256", no_permission)
    with pytest.raises(PermissionError):
        checksums.damage(folder)
