"""Files that are written whole or not at all."""

from pathlib import Path


def write_whole(path: Path, content: bytes) -> None:
    """Writes a file beside its place first, so that none is ever seen half written.

    Args:
      path: is replaced, if it is there; its folder must be.
      content: all of it.

    Raises:
      OSError: it cannot be written; `path` is as it was.
    """
    draft = path.with_name(path.name + ".tmp")
    try:
        draft.write_bytes(content)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
