"""The old place of `crnn_jax.pictures.filters`: says what to type."""

import sys

if __name__ == "__main__":
    print("error: expected python -m crnn_jax.pictures.filters", file=sys.stderr)
    sys.exit(2)
