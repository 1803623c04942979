"""Networks that read a sequence of images and answer a question about the whole of it.

Arrays carry their shape in their name where it helps. Each letter has one meaning:

    B sequences           T steps of a lane     N lanes             L longest sequence, in frames
    I images of a data set      F frames of any place     H, W, C height, width, channels
    D features            U units of a state    Q attention heads, of E features each
    G classes of a frame  K numbers or classes that an answer can be
    S symbols of a written answer               V symbols of its vocabulary, or one more: blank
    R states that the paths of a text pass through
    J updates of a dispatch     A micro-batches     P devices     M chunks of a long computation

The packages, in the order in which the data passes them: `data`, `model`, `train`, `runs`;
`pictures` reads what people bring, `figures` draws what was learned, `distributed` is all that
knows of several devices and processes.
"""

import contextlib
import io
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from crnn_jax.predict import Predictor

__version__ = "0.2.0"


class UserError(Exception):
    """Bad input: one line with the value, what was expected and what to type instead.

    Commands print it without a traceback and exit with status 2 (`exit_status`).
    """


def exit_status(command: Callable[[Sequence[str]], None], argv: Sequence[str]) -> int:
    """Run a command; report user errors and output failures in one line on stderr.

    Returns:
      The exit status: 0, or that of `explain` after such a line.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal may know nothing but ASCII
            stream.reconfigure(errors="replace")
    try:
        command(argv)
        sys.stdout.flush()
    except (UserError, OSError) as error:
        return explain(error)
    finally:
        try:
            sys.stdout.flush()
        except OSError:  # Python would try once more, and end in a status of its own
            with contextlib.suppress(OSError):  # a stream without a file
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def explain(error: UserError | OSError) -> int:
    """Print what ended a command as one line on stderr.

    Returns:
      The exit status: 2 for a mistake of the user, 141 where nobody reads the output any more (as
      if SIGPIPE had ended it), 1 for what else the system refused.
    """
    if isinstance(error, UserError):
        say(f"error: {error}")
        return 2
    what = error.filename or "the output"
    say(f"error: {what} cannot be {'used' if error.filename else 'written'} ({error.strerror})")
    return 141 if isinstance(error, BrokenPipeError) else 1


def say(line: str) -> None:
    """Print one line for people on stderr; whether anyone reads it does not matter."""
    with contextlib.suppress(OSError):
        print(printable(" ".join(line.splitlines())), file=sys.stderr, flush=True)


def printable(text: str) -> str:
    """The same with escapes for all that could move a terminal's cursor, or is no character."""
    if text.isprintable():
        return text
    return "".join(x if x.isprintable() else ascii(x)[1:-1] for x in text)


def shown(value: Any) -> str:
    """A value in a message: whatever it is, one short line."""
    try:
        text = str(value)
    except (RecursionError, ValueError):  # lists in lists without end; thousands of digits
        return f"a huge {type(value).__name__}"
    text = text if text.isprintable() else ascii(text)
    return text if len(text) <= 100 else f"{text[:100]}…"


def did_you_mean(wrong: str, right: Iterable[str]) -> str:
    """Words for an error message that name what `wrong` most resembles; empty if nothing does."""
    matches = get_close_matches(wrong, right, n=1, cutoff=0.75)
    return f" (did you mean {matches[0]}?)" if matches else ""


def user_path(path: str | os.PathLike[str]) -> Path:
    """A path in which ~ stands for a home folder, and ~/.cache for XDG_CACHE_HOME if that is set.

    Raises:
      UserError: no home folder is known for it.
    """
    path, cache = Path(path), os.environ.get("XDG_CACHE_HOME", "")
    if path.parts[:2] == ("~", ".cache") and os.path.isabs(cache):
        return Path(cache, *path.parts[2:])
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise UserError(
            f"{path}: no such home folder: expected a path without ~, or HOME set for ~ alone"
        ) from error


def load(
    workdir: str | os.PathLike[str], step: Literal["latest", "best"] | str | int = "latest"
) -> "Predictor":
    """Load the trained network of a run, to be called with pictures or a clip.

    Args:
      workdir: folder of a run.
      step: "latest", "best" or a number.

    Raises:
      UserError: the folder holds no such run or checkpoint.
    """
    from crnn_jax.predict import Predictor  # imports JAX: not for --help or a mistyped flag
    from crnn_jax.runs.load import parse_step, restore

    return Predictor(restore(user_path(workdir), parse_step(f"{step}")))
