"""The backend whose forms of a computation are taken: the one it runs on, or none in particular."""

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

import jax

_portable = ContextVar("portable", default=False)


def backend() -> str:
    """The backend to write a computation for: JAX's own, or "any"."""
    return "any" if _portable.get() else jax.default_backend()


@contextlib.contextmanager
def portable() -> Iterator[None]:
    """Trace what is to run on every backend: shapes may be symbolic, and nothing is unrolled."""
    token = _portable.set(True)
    try:
        yield
    finally:
        _portable.reset(token)
