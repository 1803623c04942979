"""The head ctc as ONNX operations, with greedy decoding; see `ctc` and `paths` in `model`."""

from typing import Any

import numpy as np

from crnn_jax.export.graph import Graph
from crnn_jax.model.marginal import IMPOSSIBLE


def read_line(g: Graph, weights: Any, hidden_BxLxU: str) -> dict[str, str]:
    """Add what reads a line from its columns, whose number is the graph's input `lengths`.

    A text has a place for each column, so what tells which column belongs to which symbol takes
    memory for BxLxL numbers.

    Args:
      g: the graph.
      weights: of the head.
      hidden_BxLxU: what each column left.

    Returns:
      The text BxL, its symbols' confidence BxL and columns BxLx2, and the whole text's B.
    """
    logits = g.dense(hidden_BxLxU, weights["symbol"])
    blank = len(weights["symbol"]["bias"]) - 1
    temperature = g.constant(np.exp(weights["log_temperature"]))
    log_probs = g.op("LogSoftmax", g.op("Div", logits, temperature), axis=-1)
    path = g.op("ArgMax", logits, axis=-1, keepdims=0)
    step_L = g.places(path, 1)
    length_Bx1 = g.op("Unsqueeze", g.cast("lengths", "int64"), g.ints(1))
    real = g.op("Less", g.op("Unsqueeze", step_L, g.ints(0)), length_Bx1)

    # Repeated classes are one symbol, blanks none: which column belongs to which, BxLxL.
    symbol = g.op("And", real, _differs(g, path, g.constant(blank, "int64")))
    before = g.op(
        "Slice",
        g.op("Pad", path, g.ints(0, 1, 0, 0), g.constant(-1, "int64")),
        g.ints(0),
        g.ints(-1),
        g.ints(1),
    )
    begins = g.cast(g.op("And", symbol, _differs(g, path, before)), "int64")
    place = g.op("Sub", g.op("CumSum", begins, g.constant(1, "int64")), g.constant(1, "int64"))
    same = g.op(
        "Equal", g.op("Unsqueeze", place, g.ints(2)), g.op("Unsqueeze", step_L, g.ints(0, 1))
    )
    belongs = g.op("And", same, g.op("Unsqueeze", symbol, g.ints(2)))

    def over_columns(kind: str, values: str, other: float, dtype: str) -> str:
        """The largest or smallest value of the columns of each symbol; `other` where none are."""
        values = g.op("Unsqueeze", values, g.ints(2))
        chosen = g.op("Where", belongs, values, g.constant(other, dtype))
        return g.op(kind, chosen, axes=(1,), keepdims=0)

    text = over_columns("ReduceMax", path, -1, "int64")
    there = g.op("GreaterOrEqual", text, g.constant(0, "int64"))
    at = g.op("Unsqueeze", path, g.ints(2))
    prob = g.op("Exp", g.op("Squeeze", g.op("GatherElements", log_probs, at, axis=2), g.ints(2)))
    confidence = over_columns("ReduceMax", prob, 0, "float32")
    column_BxL = g.op("Expand", g.op("Unsqueeze", step_L, g.ints(0)), g.op("Shape", path))
    first = over_columns("ReduceMin", column_BxL, 2**31, "int64")
    first = g.op("Where", there, first, g.constant(-1, "int64"))
    last = over_columns("ReduceMax", column_BxL, -1, "int64")
    ends = g.op("Concat", *(g.op("Unsqueeze", x, g.ints(2)) for x in (first, last)), axis=2)
    log_prob = _log_likelihood(g, log_probs, text, there, blank)
    return {
        "answer": g.cast(text, "int32"),
        "confidence": g.op("Where", there, confidence, g.constant(1)),
        "whole": g.op("Exp", g.op("Min", log_prob, g.constant(0))),
        "steps": g.cast(ends, "int32"),
    }


def _differs(g: Graph, a: str, b: str) -> str:
    return g.op("Not", g.op("Equal", a, b))


def _log_likelihood(g: Graph, log_probs_BxLxV: str, text: str, there: str, blank: int) -> str:
    """Log-probability B of texts BxL; see `paths.log_likelihood`."""
    symbol = g.op("Where", there, text, g.constant(blank, "int64"))
    none = g.op("Add", g.op("Mul", symbol, g.constant(0, "int64")), g.constant(blank, "int64"))
    pairs = g.op("Concat", *(g.op("Unsqueeze", x, g.ints(2)) for x in (none, symbol)), axis=2)
    one = g.op("Slice", none, g.ints(0), g.ints(1), g.ints(1))
    classes = g.op("Concat", g.reshape(pairs, 0, -1), one, axis=1)
    before = g.op("Slice", classes, g.ints(0), g.ints(-2), g.ints(1))
    before = g.op("Concat", one, one, before, axis=1)
    skips = g.op(
        "And", _differs(g, classes, g.constant(blank, "int64")), _differs(g, classes, before)
    )
    shape_BLV = g.op("Shape", log_probs_BxLxV)
    states = g.op("Slice", g.op("Shape", classes), g.ints(1), g.ints(2))
    shape = g.op("Concat", g.op("Slice", shape_BLV, g.ints(0), g.ints(2)), states, axis=0)
    class_BxLxR = g.op("Expand", g.op("Unsqueeze", classes, g.ints(1)), shape)
    emitted = g.op("GatherElements", log_probs_BxLxV, class_BxLxR, axis=2)

    state_1xR = g.op("Unsqueeze", g.places(classes, 1), g.ints(0))
    first = g.op("Equal", state_1xR, g.constant(0, "int64"))
    start = g.op("Where", first, g.constant(0), g.constant(IMPOSSIBLE))
    start = g.op("Expand", start, g.op("Shape", classes))

    b = Graph(g)
    pair = b.op("Slice", "alpha", b.ints(0), b.ints(2), b.ints(1))
    never = b.op("Add", b.op("Mul", pair, b.constant(0)), b.constant(IMPOSSIBLE))
    padded = b.op("Concat", never, "alpha", axis=1)
    came = b.op("Slice", padded, b.ints(1), b.ints(-1), b.ints(1))
    jumped = b.op("Slice", padded, b.ints(0), b.ints(-2), b.ints(1))
    jumped = b.op("Where", skips, jumped, b.constant(IMPOSSIBLE))
    total = _log_sum(b, "alpha", came, jumped)
    now = b.op("Add", total, "column")
    b.named(now, "now")
    b.named(now, "now_too")
    body = b.body(("alpha", "column"), ("now", "now_too"))
    columns = g.op("Transpose", emitted, perm=(1, 0, 2))
    _, alpha_LxBxR = g.op("Scan", start, columns, outputs=2, body=body, num_scan_inputs=1)
    end = g.op("Sub", g.cast("lengths", "int64"), g.constant(1, "int64"))
    alpha_BxLxR = g.op("Transpose", alpha_LxBxR, perm=(1, 0, 2))
    alpha = g.op("GatherND", alpha_BxLxR, g.op("Unsqueeze", end, g.ints(1)), batch_dims=1)

    count = g.op("ReduceSum", g.cast(there, "int64"), g.ints(1), keepdims=1)
    last = g.op("Mul", count, g.constant(2, "int64"))
    symbol_before = g.op("Sub", last, g.constant(1, "int64"))
    final = g.op("Or", g.op("Equal", state_1xR, last), g.op("Equal", state_1xR, symbol_before))
    ends = g.op("Where", final, alpha, g.constant(IMPOSSIBLE))
    return g.op("ReduceLogSumExp", ends, axes=(1,), keepdims=0)


def _log_sum(g: Graph, *ways: str) -> str:
    """The log of the sum of what the ways are logs of."""
    top = g.op("Max", *ways)
    parts = [g.op("Exp", g.op("Sub", way, top)) for way in ways]
    return g.op("Add", top, g.op("Log", g.op("Sum", *parts)))
