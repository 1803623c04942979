"""What the commands have in common: flags, and how a user's mistake ends them."""

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from crnn_jax.errors import UserError


class Parser(argparse.ArgumentParser):
    """Parses flags; no abbreviations, the description as it is written, errors as `UserError`."""

    def __init__(self, **settings: str) -> None:
        """Makes a parser without flags but --help.

        Args:
          settings: prog, usage, description and epilog, see `argparse.ArgumentParser`.
        """
        super().__init__(
            **settings,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
            add_help=False,
        )

    def error(self, message: str) -> NoReturn:
        """Raises `UserError`."""
        raise UserError(f"{message} (see --help)")


def exit_status(command: Callable[[Sequence[str]], None], argv: Sequence[str]) -> int:
    """Runs a command and prints a mistake of the user as one line on stderr.

    Args:
      command: takes the arguments.
      argv: the arguments, without the program's name.

    Returns:
      0, or 2 after such a line.
    """
    try:
        command(argv)
    except UserError as error:
        print_mistake(error)
        return 2
    return 0


def print_mistake(error: UserError) -> None:
    """Prints a mistake of the user as one line on stderr."""
    print("error:", " ".join(str(error).splitlines()), file=sys.stderr, flush=True)
