"""Command lines of programs beside `main`, on which a mistake is one line."""

import argparse
from typing import NoReturn

from crnn_jax import UserError


class Parser(argparse.ArgumentParser):
    """A parser that raises `UserError` about a mistake, which `exit_status` prints."""

    def __init__(self, prog: str, description: str, notes: str) -> None:
        """Begin a command line.

        Args:
          prog: what starts the program.
          description: what it does.
          notes: what stands at the end of --help, as it is.
        """
        super().__init__(
            prog=prog,
            description=description,
            epilog=notes,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

    def error(self, message: str) -> NoReturn:
        """Raise `UserError`."""
        raise UserError(f"{message} (see --help)")
