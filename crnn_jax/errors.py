"""The one exception that stands for a mistake of the user, not of the program."""

from collections.abc import Iterable
from difflib import get_close_matches


class UserError(Exception):
    """Bad input: one line with the value, what was expected and what to type instead.

    `crnn_jax.main` prints it without a traceback and leaves with exit status 2.
    """


def did_you_mean(wrong: str, right: Iterable[str]) -> str:
    """Words for an error message that name what `wrong` most resembles; empty if nothing does."""
    matches = get_close_matches(wrong, right, n=1, cutoff=0.75)
    return f" (did you mean {matches[0]}?)" if matches else ""
