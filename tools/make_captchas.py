"""Make captchas, 160x60, by the package captcha; the same at every call.

python tools/make_captchas.py digits OUT        # 7391_000123.png, …: 4 of 10 digits
python tools/make_captchas.py letters OUT       # 4gq2x_000123.png, …: 5 of 36 digits and letters

The name of a file, up to the "_", is its text; what follows makes it unique. So the files are read
with --config.data.answer=filename, which splits them by their texts: no text of the test was
trained on.
"""

import argparse
import random
import string
import sys
from collections.abc import Sequence
from pathlib import Path

from captcha import image

from crnn_jax import exit_status, user_path
from crnn_jax.distributed.files import whole_folder

KINDS = {"digits": (string.digits, 4), "letters": (string.digits + string.ascii_lowercase, 5)}
"""Symbols, and how many of them a text has."""


class Seeded(random.Random):
    """In place of the module secrets, by which the package draws."""

    def randbelow(self, limit: int) -> int:
        """A number from 0 on, below the limit."""
        return self.randrange(limit)

    def randbits(self, bits: int) -> int:
        """A number of so many bits."""
        return self.getrandbits(bits)


def write(out: Path, kind: str, count: int, seed: int) -> None:
    """Write so many captchas; number i depends on kind, seed and i alone."""
    symbols, length = KINDS[kind]
    made = image.ImageCaptcha(width=160, height=60)
    for i in range(count):
        drawn = image.secrets = Seeded(f"{kind} {seed} {i}")
        text = "".join(drawn.choices(symbols, k=length))
        made.write(text, str(out / f"{text}_{i:06d}.png"))


def main(argv: Sequence[str]) -> None:
    """Write the captchas that the command line asks for."""
    parser = argparse.ArgumentParser(
        prog="python tools/make_captchas.py",
        usage=argparse.SUPPRESS,  # a mistake is one line then
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("out", help="the folder to write")
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(argv)
    if not 1 <= options.count <= 10**6:
        parser.error(f"--count={options.count}: expected 1 to 1,000,000")
    with whole_folder(user_path(options.out)) as unfinished:
        write(unfinished, options.kind, options.count, options.seed)


if __name__ == "__main__":
    sys.exit(exit_status(main, sys.argv[1:]))
