"""The checksums of a folder's files, by which any damage to them is found.

They stand in `SHA256SUMS`, in the form of coreutils' `sha256sum`: `sha256sum -c SHA256SUMS` checks
them too.
"""

import hashlib
from pathlib import Path

NAME = "SHA256SUMS"


def write(folder: Path) -> None:
    """Writes the checksums of all files in a folder, which must not change from then on.

    Raises:
      OSError: a file cannot be read, or the checksums not be written.
    """
    (folder / NAME).write_text(_sums(folder))


def damage(folder: Path) -> str | None:
    """What is wrong with a folder since its checksums were written; None if nothing is."""
    try:
        stored = (folder / NAME).read_bytes()
        found = _sums(folder)
    except OSError as error:
        name = Path(error.filename or folder).name
        return f"{name} cannot be read ({error.strerror or error})"
    if stored == found.encode():
        return None
    written, present = _by_name(stored.decode(errors="replace")), _by_name(found)
    for name in sorted(written.keys() | present.keys()):
        if name not in present:
            return f"{name} is missing"
        if name not in written:
            return f"{name} is not in {NAME}"
        if written[name] != present[name]:
            return f"{name} is not as it was written: its SHA-256 differs"
    return f"{NAME} is not as it was written"


def _by_name(sums: str) -> dict[str, str]:
    """The checksum of each file."""
    lines = (line.partition("  ") for line in sums.splitlines())
    return {name: checksum for checksum, _, name in lines}


def _sums(folder: Path) -> str:
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != NAME)
    return "".join(f"{_sha256(path)}  {path.relative_to(folder).as_posix()}\n" for path in files)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
