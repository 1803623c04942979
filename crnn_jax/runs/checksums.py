"""The checksums of a folder's files, by which any damage to them is found.

They stand in `SHA256SUMS`, in the form of coreutils' `sha256sum`: `sha256sum -c SHA256SUMS` checks
them too. Files that are not listed there are nobody's concern: file managers leave some.
"""

import hashlib
from pathlib import Path

NAME = "SHA256SUMS"


def write(folder: Path) -> None:
    """Write the checksums of all files in a folder, which must not change from then on.

    Raises:
      OSError: a file cannot be read, or the checksums not be written.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != NAME)
    lines = [f"{_sha256(path)}  {path.relative_to(folder).as_posix()}\n" for path in files]
    (folder / NAME).write_text("".join([_header(len(lines)), *lines]))


def damage(folder: Path) -> str | None:
    """What is wrong with the listed files since their checksums were written; None if nothing is.

    Raises:
      OSError: a file is there and cannot be read; that says nothing of its content.
    """
    try:
        listed = (folder / NAME).read_bytes().decode(errors="replace").splitlines(keepends=True)
    except (FileNotFoundError, NotADirectoryError):
        return f"{NAME} is missing"
    if listed and listed[0].startswith("#"):  # revision 63bc817 wrote no such line
        header, *listed = listed
        if header != _header(len(listed)):
            return f"{NAME} is not as it was written"
    if not listed or not listed[-1].endswith("\n"):
        return f"{NAME} is not as it was written"
    for line in listed:
        checksum, _, name = line.removesuffix("\n").partition("  ")
        try:
            if _sha256(folder / name) != checksum:
                return f"{name} is not as it was written: its SHA-256 differs"
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError, ValueError):
            return f"{name!r} is missing"
    return None


def _header(files: int) -> str:
    """Tell a list that was cut short from a whole one; a comment to `sha256sum`."""
    return f"# {files} files\n"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
