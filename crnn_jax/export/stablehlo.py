"""A network as StableHLO, with its parameters, in the form of `jax.export`."""

from typing import Any

import jax
import jax.export

from crnn_jax.export.answers import Functions, Step, Whole
from crnn_jax.model.backend import portable

PLATFORMS = ("cpu", "cuda", "tpu")
"""One file is for all of these."""


def files(functions: Functions) -> dict[str, bytes]:
    """The files, by name."""
    found = {"network.stablehlo": _export(functions.whole, functions.frames, functions.lengths)}
    if functions.step is not None:
        found["step.stablehlo"] = _export(functions.step, functions.state, functions.frame)
    return found


def _export(function: Whole | Step, *inputs: Any) -> bytes:
    with portable():
        return bytes(jax.export.export(jax.jit(function), platforms=PLATFORMS)(*inputs).serialize())


def reader(content: bytes) -> Any:
    """What a file computes."""
    return jax.jit(jax.export.deserialize(bytearray(content)).call)
