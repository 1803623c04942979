"""A network as an ONNX graph, each part in ONNX's own operations: Conv, MaxPool, GRU, Scan.

jax2onnx is not used: it requires an older Orbax than this package, and did not take frames of any
number and length. `--mode=export` measures the differences from the checkpoint.
"""

from typing import Any

import numpy as np

from crnn_jax.export.graph import Graph
from crnn_jax.export.onnx_ctc import read_line
from crnn_jax.export.onnx_decoder import write_symbols
from crnn_jax.export.onnx_encoder import encode
from crnn_jax.model.bidirectional import BidirectionalGRU
from crnn_jax.model.classes import Classes
from crnn_jax.model.crnn import CRNN
from crnn_jax.model.ctc import CTC
from crnn_jax.model.decoder import Decoder
from crnn_jax.model.heads import Cumulative, Last
from crnn_jax.model.marginal import IMPOSSIBLE, Marginal, before
from crnn_jax.model.question import Question
from crnn_jax.model.recurrent import GRU, RunningMean


def missing(network: CRNN) -> str | None:
    """Which part of a network cannot be written as ONNX; None where all can."""
    head = network.answer_head
    if isinstance(head, CTC) and head.beam > 1:
        return "a beam search (model.beam)"
    if isinstance(head, Cumulative) and head.recurrence.first:
        return "a Cumulative of products"
    known = (GRU, BidirectionalGRU, RunningMean, Last, Cumulative, Classes, Marginal, Decoder, CTC)
    names = (type(x).__name__ for x in (*network.layers, head) if not isinstance(x, known))
    return next((f"a {name}" for name in names), None)


class Network:
    """Puts a graph together, of whole sequences or of one step.

    Arrays are batch-major here, BxLx…, L = 1 of a step.

    Attributes:
      graph: what has been put together.
      state: of a step, the names of the arrays after it.
      answers: names of the answers.
    """

    def __init__(self, network: CRNN, params: Any, question: Question, *, step: bool) -> None:
        """Put it together.

        Args:
          network: whose parts are all known (`missing`).
          params: its parameters.
          question: what is asked.
          step: whether it gets one frame at a time, and states.
        """
        self.graph, self.question, self.stepwise = Graph(), question, step
        self.state: dict[str, str] = {}
        g, self.params = self.graph, params["params"]
        if step:
            frames = g.op("Unsqueeze", "frame", g.ints(1))
            self.fresh_B = g.op("Equal", "state.frames", g.constant(0, "int32"))
            self.state["frames"] = g.op("Add", "state.frames", g.constant(1, "int32"))
        else:
            frames = "frames"
        weights, lengths = self.params.get("encoder", {}), None if step else "lengths"
        x = encode(g, network.encoder, weights, frames, lengths)
        if network.encoder.classes and network.layers:
            x = g.op("Exp", x)
        for layer in network.layers:
            x = self._mean(x) if isinstance(layer, RunningMean) else self._gru(layer, x)
        self.answers = self._read(network.answer_head, x)

    def _gru(self, layer: Any, x: str) -> str:
        """States BxLxU of a GRU, or BxLx2U of both directions."""
        g, weights, hidden = self.graph, self.params[layer.name], layer.hidden
        both = isinstance(layer, BidirectionalGRU)
        steps = (
            [weights[name]["step"] for name in ("forward", "backward")]
            if both
            else [weights["step"]]
        )
        count = len(steps)
        # ONNX has the gates in the order update, reset, candidate, and kernels transposed.
        order = [1, 0, 2]
        kernel = weights["input"]["kernel"].T.reshape(count, 3, hidden, -1)[:, order]
        bias = np.zeros((count, 2, 3, hidden), np.float32)
        bias[:, 0] = weights["input"]["bias"].reshape(count, 3, hidden)[:, order]
        bias[:, 1, 2] = [step["candidate_bias"] for step in steps]
        names = ("update_kernel", "reset_kernel", "candidate_kernel")
        recurrent = [np.concatenate([step[name].T for name in names]) for step in steps]
        inputs = [
            g.op("Transpose", x, perm=(1, 0, 2)),
            g.constant(kernel.reshape(count, 3 * hidden, -1)),
            g.constant(recurrent),
            g.constant(bias.reshape(count, -1)),
            "" if self.stepwise else "lengths",
        ]
        name = f"{layer.name}.carry"
        if self.stepwise:
            inputs.append(g.op("Unsqueeze", f"state.{name}", g.ints(0)))
        direction = "bidirectional" if both else "forward"
        states, last = g.op(
            "GRU",
            *inputs,
            outputs=2,
            hidden_size=hidden,
            direction=direction,
            linear_before_reset=1,
        )
        if self.stepwise:
            self.state[name] = g.op("Squeeze", last, g.ints(0))
        if both and layer.whole:  # the backward state of the first frame, everywhere
            forward, backward = g.op("Split", states, g.ints(1, 1), outputs=2, axis=1)
            first = g.op("Gather", backward, g.ints(0), axis=0)
            backward = g.op("Expand", first, g.op("Shape", backward))
            states = g.op("Concat", forward, backward, axis=1)
        # (L, directions, B, U) → (B, L, directions × U)
        return g.reshape(g.op("Transpose", states, perm=(2, 0, 1, 3)), 0, 0, -1)

    def _mean(self, x: str) -> str:
        """The mean of the features so far, BxLxD."""
        g, name = self.graph, "running_mean.carry"
        total = self._sum(x, f"{name}.0")
        count_L = g.op("Add", g.places(x, 1), g.constant(1, "int64"))
        count_BxL = g.op("Unsqueeze", g.cast(count_L, "float32"), g.ints(0))
        if self.stepwise:
            count_BxL = g.op("Add", count_BxL, g.op("Unsqueeze", f"state.{name}.1", g.ints(1)))
            self.state[f"{name}.1"] = g.op("Squeeze", count_BxL, g.ints(1))
        return g.op("Div", total, g.op("Unsqueeze", count_BxL, g.ints(2)))

    def _sum(self, x: str, name: str) -> str:
        """The sum over the frames so far, those before this step too."""
        g = self.graph
        total = g.op("CumSum", x, g.constant(1, "int64"))
        if self.stepwise:
            total = g.op("Add", total, g.op("Unsqueeze", f"state.{name}", g.ints(1)))
            self.state[name] = g.op("Squeeze", total, g.ints(1))
        return total

    def _read(self, head: Any, x: str) -> dict[str, str]:
        """The answers of a head, one sequence a row; see `answers.named`."""
        g, weights = self.graph, self.params.get("answer_head", {})
        if isinstance(head, Decoder):
            frame_1xL = g.constant([range(head.steps)], "int32")
            real_BxL = g.op("Less", frame_1xL, g.op("Unsqueeze", "lengths", g.ints(1)))
            return write_symbols(g, head, weights, self._rows(x), real_BxL)
        if isinstance(head, CTC):
            return read_line(g, weights, x)
        if isinstance(head, Last | Cumulative):
            value = g.op("Squeeze", g.dense(x, weights["value"]), g.ints(2))
            if isinstance(head, Cumulative):
                value = self._sum(value, "answer_head.carry")
            else:
                value = g.op("Mul", value, g.constant(head.deviation))
                value = g.op("Add", value, g.constant(head.mean))
            found = {"answer": g.cast(g.op("Round", value), "int32"), "estimate": value}
        else:
            if isinstance(head, Classes):
                numbers = np.arange(head.classes)
                probs = g.op("Softmax", g.dense(x, weights["class"]), axis=-1)
            else:
                numbers = head.recurrence.numbers(head.classes, head.max_length)
                probs = g.op("Exp", self._marginal(head, numbers, x))
            best = g.op("ArgMax", probs, axis=-1, keepdims=0)
            mean = g.op("MatMul", probs, g.constant(numbers))
            found = {
                "answer": g.op("Gather", g.constant(numbers, "int32"), best),
                "estimate": mean,
                "confidence": g.op("ReduceMax", probs, axes=(-1,), keepdims=0),
                "probabilities": probs,
            }
        if self.question.kind == "value":
            found["answer"] = found["estimate"]
        if self.question.kind != "number":
            del found["estimate"]
        return {name: self._rows(x) for name, x in found.items()}

    def _marginal(self, head: Marginal, numbers: np.ndarray, x: str) -> str:
        """Log-probabilities BxLxK of the numbers so far, as `marginal.number_log_probs`."""
        g = self.graph
        logits = x if head.given else g.dense(x, self.params["answer_head"]["digit"])
        shown = g.op("Transpose", g.op("LogSoftmax", logits, axis=-1), perm=(1, 0, 2))
        first = int(np.searchsorted(numbers, head.recurrence.first))
        start = np.where(np.arange(len(numbers)) == first, 0, IMPOSSIBLE)[None]
        if self.stepwise:
            fresh = g.op("Unsqueeze", self.fresh_B, g.ints(1))
            begin = g.op("Where", fresh, g.constant(start), "state.answer_head.carry")
        else:
            count = g.op("Slice", g.op("Shape", logits), g.ints(0), g.ints(1))
            shape = g.op("Concat", count, g.ints(len(numbers)), axis=0)
            begin = g.op("Expand", g.constant(start), shape)
        b, before_GxK = Graph(g), before(head.recurrence, head.classes, numbers)
        # Column 0 stands for `ANY`, 1 for `NONE`, number k is in column k + 2.
        pair = b.op("Slice", "so_far", b.ints(0), b.ints(2), b.ints(1))
        any_none = b.op("Add", b.op("Mul", pair, b.constant(0)), b.constant([[0, IMPOSSIBLE]]))
        columns = b.op("Concat", any_none, "so_far", axis=1)
        picked = b.op("Gather", columns, b.constant(before_GxK + 2, "int64"), axis=1)
        terms = b.op("Add", picked, b.op("Unsqueeze", "shown", b.ints(2)))
        most = b.op("ReduceMax", terms, axes=(1,), keepdims=1)
        total = b.op("ReduceSum", b.op("Exp", b.op("Sub", terms, most)), b.ints(1), keepdims=0)
        now = b.op("Add", b.op("Log", total), b.op("Squeeze", most, b.ints(1)))
        b.named(now, "now")
        b.named(now, "now_too")
        body = b.body(("so_far", "shown"), ("now", "now_too"))
        last, all_LxBxK = g.op("Scan", begin, shown, outputs=2, body=body, num_scan_inputs=1)
        if self.stepwise:
            self.state["answer_head.carry"] = last
        return g.op("Transpose", all_LxBxK, perm=(1, 0, 2))

    def _rows(self, x: str) -> str:
        """Of BxL… what is answered: the last frame's, or each one's, the last repeated."""
        g = self.graph
        if self.stepwise:
            return g.op("Squeeze", x, g.ints(1))
        last_Bx1 = g.op(
            "Unsqueeze", g.op("Sub", g.cast("lengths", "int64"), g.constant(1, "int64")), g.ints(1)
        )
        if self.question.reads == "whole":
            return g.op("GatherND", x, last_Bx1, batch_dims=1)
        frame_BxL = g.op("Min", g.op("Unsqueeze", g.places(x, 1), g.ints(0)), last_Bx1)
        return g.op("GatherND", x, g.op("Unsqueeze", frame_BxL, g.ints(2)), batch_dims=1)
