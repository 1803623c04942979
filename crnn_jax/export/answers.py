"""What is exported: functions of plain arrays, one sequence a row, that name their answers."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.export
import jax.numpy as jnp
from jax import Array

from crnn_jax.data.batch import Batch
from crnn_jax.data.lanes import Lanes
from crnn_jax.evaluate.answer import ask
from crnn_jax.model import crnn
from crnn_jax.model.backend import portable
from crnn_jax.model.crnn import CRNN
from crnn_jax.model.heads import Output
from crnn_jax.model.memory import STATE
from crnn_jax.model.question import Question
from crnn_jax.runs.load import Restored

Named = dict[str, Any]
"""Arrays by name: answers about B sequences, or a state."""

Whole = Callable[[Any, Any], Named]
"""From uint8 frames BxLxHxWxC and int32 lengths B to answers."""

Step = Callable[[Named, Any], tuple[Named, Named]]
"""From a state and uint8 frames BxHxWxC to the state after them and the answers so far."""


@dataclasses.dataclass(frozen=True)
class Functions:
    """A network as functions, to be traced under `portable`; and shapes, with B and L for any size.

    Attributes:
      network: in the form that is traced so.
      params, question: see `Restored`.
      whole: answers about whole sequences.
      frames, lengths: what that takes. For a decoder, which has learned frames' places, L is fixed.
      answers: what it returns.
      step: answers a frame at a time; None where `no_steps` says why not.
      state, frame: what that takes. A state of zeros begins.
    """

    network: CRNN
    params: Any
    question: Question
    whole: Whole
    frames: jax.ShapeDtypeStruct
    lengths: jax.ShapeDtypeStruct
    answers: dict[str, jax.ShapeDtypeStruct]
    step: Step | None
    state: dict[str, jax.ShapeDtypeStruct]
    frame: jax.ShapeDtypeStruct


def functions(restored: Restored) -> Functions:
    """A trained network as functions."""
    question, model = restored.task.question, restored.config.model.copy_and_resolve_references()
    model.unroll = 0  # as `portable` has it
    count, steps = jax.export.symbolic_shape("B, L")
    steps = question.steps if question.kind == "symbols" else steps
    frames = jax.ShapeDtypeStruct((count, steps, *question.frame_shape), jnp.uint8)
    lengths = jax.ShapeDtypeStruct((count,), jnp.int32)
    with portable():
        network = crnn.build(model, question)
        answers = whole(network, restored.params, question)
        advance, state = None, {}
        if no_steps(restored) is None:
            advance, state = step(network, restored.params, question, count)
        return Functions(
            network,
            restored.params,
            question,
            answers,
            frames,
            lengths,
            jax.eval_shape(answers, frames, lengths),
            advance,
            state,
            jax.ShapeDtypeStruct((count, *question.frame_shape), jnp.uint8),
        )


def whole(network: CRNN, params: Any, question: Question) -> Whole:
    """A function of whole sequences."""

    def answers(frames_BxLxHxWxC: Array, lengths_B: Array) -> Named:
        lanes = rows_as_lanes(frames_BxLxHxWxC, lengths_B)
        batch = Batch(jnp.swapaxes(frames_BxLxHxWxC, 0, 1), lanes, None)
        return named(ask(network, params, batch), lanes, question, frames_BxLxHxWxC.shape[1])

    return answers


def rows_as_lanes(frames_BxLxHxWxC: Array, lengths_B: Array) -> Lanes:
    """One sequence a lane; also where their number and that of frames is not known yet."""
    count, steps = frames_BxLxHxWxC.shape[:2]
    t_Tx1, n_N = jnp.arange(steps, dtype=jnp.int32)[:, None], jnp.arange(count, dtype=jnp.int32)
    real_TxN = t_Tx1 < lengths_B[None]
    return Lanes(
        sequence_TxN=jnp.where(real_TxN, n_N[None], -1),
        frame_TxN=jnp.where(real_TxN, t_Tx1, 0),
        starts_TxN=real_TxN & (t_Tx1 == 0),
        ends_TxN=t_Tx1 == lengths_B[None] - 1,
        first_B=jnp.zeros_like(n_N),
        lane_B=n_N,
        length_B=lengths_B,
        one_each=False,
    )


def named(output: Output, lanes: Lanes, question: Question, steps: Any) -> Named:
    """The answers that an output gives to a question, one sequence a row.

    Of answers after every frame, what stands behind a sequence's end repeats its last one; of
    lines, there is no symbol (-1) behind the last.

    Args:
      output: of the network, in lanes.
      lanes: its sequences, one a lane.
      question: what is asked.
      steps: T.
    """
    answers = output.answers()
    found = {
        "answer": answers.answer,
        "estimate": answers.estimate,
        "confidence": answers.confidence,
        "probabilities": getattr(output, "probs_TxNxK", None),
    }
    if question.kind == "value":  # the nearest whole number means nothing
        found["answer"] = found["estimate"]
    if question.kind != "number":
        del found["estimate"]
    if question.kind == "line":
        found |= {"whole": answers.whole, "steps": answers.steps}
    if question.kind in ("symbols", "line"):  # one answer a row already
        return {name: x for name, x in found.items() if x is not None}
    last = lanes.length_B - 1, lanes.lane_B

    def rows(x_TxN: Array) -> Array:
        return x_TxN[last] if question.reads == "whole" else lanes.rows(x_TxN, steps)

    return {name: rows(x) for name, x in found.items() if x is not None}


def dtype_and_shape(array: Any) -> tuple[str, list[int | str]]:
    """Of an array that is exported; B and L for any size."""
    return array.dtype.name, [d if isinstance(d, int) else str(d) for d in array.shape]


def no_steps(restored: Restored) -> str | None:
    """Why the network cannot be given one frame at a time; None where it can."""
    model, kind = restored.config.model, restored.task.question.kind
    if model.aggregator == "bigru":
        return "model.aggregator=bigru also reads from the last frame to the first"
    if kind == "symbols":
        return f"model.head={model.head} writes after it has seen the whole sequence"
    if model.encoder != "frames":
        return f"model.encoder={model.encoder} sees the frames that follow"
    return None


def step(
    network: CRNN, params: Any, question: Question, count: Any
) -> tuple[Step, dict[str, jax.ShapeDtypeStruct]]:
    """A function of one frame of each of `count` sequences, where `no_steps` has no reason.

    Returns:
      The function; and the shapes of its state.
    """

    def advance(carry: Any, frames_B: Array, frames_BxHxWxC: Array) -> tuple[Any, Output, Lanes]:
        frames_BxLxHxWxC = frames_BxHxWxC[:, None]
        lanes = rows_as_lanes(frames_BxLxHxWxC, jnp.ones_like(frames_B))
        lanes = dataclasses.replace(lanes, starts_TxN=(frames_B == 0)[None])
        encoded = network.apply(params, frames_BxHxWxC[None], lanes=lanes, method="encode")
        variables = {**params, **carry}
        output, kept = network.apply(variables, encoded, lanes, method="aggregate", mutable=[STATE])
        return kept, output, lanes

    number = jax.ShapeDtypeStruct((count,), jnp.int32)
    frame = jax.ShapeDtypeStruct((count, *question.frame_shape), jnp.uint8)
    shapes = jax.eval_shape(lambda *x: advance({}, *x)[0], number, frame)
    paths, structure = jax.tree.flatten_with_path(shapes)
    names = [jax.tree_util.keystr(path[1:], simple=True, separator=".") for path, _ in paths]

    def one_step(state: Named, frames_BxHxWxC: Array) -> tuple[Named, Named]:
        carry = jax.tree.unflatten(structure, [state[name] for name in names])
        kept, output, lanes = advance(carry, state["frames"], frames_BxHxWxC)
        found = named(output, lanes, question, 1)
        if question.reads != "whole":
            found = {name: x_Bx1[:, 0] for name, x_Bx1 in found.items()}
        new = dict(zip(names, jax.tree.leaves(kept), strict=True))
        return {"frames": state["frames"] + 1, **new}, found

    kept = {name: shape for name, (_, shape) in zip(names, paths, strict=True)}
    return one_step, {"frames": number, **kept}
