"""A network as ONNX files, and what ONNX Runtime makes of them."""

from collections.abc import Mapping
from typing import Any

import jax
import onnxruntime

from crnn_jax.export.answers import Functions, Named, dtype_and_shape
from crnn_jax.export.onnx_network import Network
from crnn_jax.model.backend import portable

STATE, NEXT = "state.", "next."
"""What the names of the states before and after a step begin with."""


def files(functions: Functions) -> dict[str, bytes]:
    """The files, by name."""
    inputs = {"frames": functions.frames, "lengths": functions.lengths}
    found = {"network.onnx": _file(functions, inputs, functions.answers, step=False)}
    if functions.step is not None:
        with portable():
            state, answers = jax.eval_shape(functions.step, functions.state, functions.frame)
        inputs = {**_prefixed(STATE, functions.state), "frame": functions.frame}
        outputs = {**answers, **_prefixed(NEXT, state)}
        found["step.onnx"] = _file(functions, inputs, outputs, step=True)
    return found


def _file(
    functions: Functions, inputs: Mapping[str, Any], outputs: Mapping[str, Any], *, step: bool
) -> bytes:
    network = Network(functions.network, functions.params, functions.question, step=step)
    for name, array in {**network.answers, **_prefixed(NEXT, network.state)}.items():
        network.graph.named(array, name)
    declared = [{n: dtype_and_shape(x) for n, x in arrays.items()} for arrays in (inputs, outputs)]
    return network.graph.model(*declared)


def _prefixed(prefix: str, arrays: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{prefix}{name}": array for name, array in arrays.items()}


def whole_reader(content: bytes) -> Any:
    """What network.onnx computes, as `Whole`."""
    session = onnxruntime.InferenceSession(content)

    def answers(frames_BxLxHxWxC: Any, lengths_B: Any) -> Named:
        return _run(session, {"frames": frames_BxLxHxWxC, "lengths": lengths_B})

    return answers


def step_reader(content: bytes) -> Any:
    """What step.onnx computes, as `Step`."""
    session = onnxruntime.InferenceSession(content)

    def step(state: Named, frames_BxHxWxC: Any) -> tuple[Named, Named]:
        found = _run(session, {**_prefixed(STATE, state), "frame": frames_BxHxWxC})
        new = {n.removeprefix(NEXT): x for n, x in found.items() if n.startswith(NEXT)}
        return new, {n: x for n, x in found.items() if not n.startswith(NEXT)}

    return step


def _run(session: onnxruntime.InferenceSession, inputs: dict[str, Any]) -> dict[str, Any]:
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs), strict=True))
