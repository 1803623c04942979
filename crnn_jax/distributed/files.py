"""Files that several processes use: written whole or not at all, and locked by one at a time."""

import contextlib
import os
import platform
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from crnn_jax import UserError


class InUse(Exception):
    """Raised where another process holds a lock; says which."""


def write_whole(path: Path, content: bytes) -> None:
    """Write a file under another name first, so that none is ever seen half written.

    Args:
      path: is replaced if it exists; its folder must exist.
      content: all of it.

    Raises:
      OSError: it cannot be written; `path` is unchanged.
    """
    draft = path.with_name(path.name + ".tmp")
    try:
        draft.write_bytes(content)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


@contextlib.contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Make a folder that the block fills under another name, so that none is ever half filled.

    Yields:
      The folder to fill; it becomes `path` if the block ends well, and is removed if not.

    Raises:
      UserError: `path` exists.
      OSError: it cannot be made.
    """
    if path.exists():
        raise UserError(f"{path} exists: expected the name of a folder to make")
    unfinished = path.with_name(f"{path.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)  # of a process that was killed
    unfinished.mkdir(parents=True)
    try:
        yield unfinished
        unfinished.rename(path)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


@contextlib.contextmanager
def locked(path: Path, *, wait: bool) -> Iterator[None]:
    """Hold a lock for the length of the block.

    The file names its holder, and stays. The system frees the lock of a process that dies. On a
    file system without locks, a warning is printed and the block runs all the same.

    Args:
      path: the lock's file; its folder must exist.
      wait: whether to wait for another holder to finish.

    Raises:
      InUse: another process holds the lock, and `wait` is False.
      OSError: the file cannot be written.
    """
    path.touch()
    lock = FileLock(path, timeout=-1 if wait else 0, fallback_to_soft=False)
    try:
        lock.acquire()
    except Timeout:
        raise InUse(path.read_text().strip() or "another process") from None
    except (OSError, NotImplementedError) as error:
        reason = getattr(error, "strerror", None) or error
        print(f"warning: {path.parent} cannot be locked ({reason})", file=sys.stderr)
    try:
        path.write_text(f"process {os.getpid()} on {platform.node()} since {time.ctime()}\n")
        yield
    finally:
        with contextlib.suppress(OSError):
            os.truncate(path, 0)
        lock.release()
