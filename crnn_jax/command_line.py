"""What the commands have in common: flags, and how a user's mistake ends them."""

import argparse
from typing import NoReturn

from crnn_jax import UserError


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
