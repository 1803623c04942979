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
        (lambda f: (f / "mark").unlink(), "mark is missing"),
        (lambda f: (f / "notes").rename(f / "other"), "(notes is missing|other is not in SHA256)"),
        (lambda f: (f / "new").touch(), "new is not in SHA256SUMS"),
        (lambda f: (f / checksums.NAME).unlink(), r"SHA256SUMS cannot be read \(No such file"),
        (lambda f: (f / checksums.NAME).write_bytes(b""), "is not in SHA256SUMS"),
        (lambda f: (f / checksums.NAME).write_bytes(b"\xff\n\0"), "SHA256SUMS|is missing"),
    ],
)
def test_what_is_wrong_is_said(folder, change, message):
    change(folder)
    damage = checksums.damage(folder)
    assert damage
    assert "\n" not in damage
    assert re.search(message, damage)
