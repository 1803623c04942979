"""The decoder as ONNX operations, its loop over the symbols of an answer unrolled."""

import math
from typing import Any

import numpy as np

from crnn_jax.export.graph import Graph
from crnn_jax.model.decoder import ATTENTIONS, Decoder


def write_symbols(
    g: Graph, head: Decoder, weights: Any, memory_BxTxD: str, real_BxT: str
) -> dict[str, str]:
    """Add what writes an answer a sequence; see `Decoder`.

    Args:
      g: the graph.
      head: the decoder.
      weights: its parameters.
      memory_BxTxD: what each frame left, the last one again behind a sequence's end.
      real_BxT: bool, which frames there are.

    Returns:
      The answer BxS and its confidence.
    """
    write, share = weights["write"], head.hidden // ATTENTIONS
    last = g.op("Gather", memory_BxTxD, g.constant(-1, "int64"), axis=1)
    state = g.op("Tanh", g.dense(last, weights["state"]))
    keys = g.op("Add", g.dense(memory_BxTxD, write["keys"]), g.constant(write["places"]))
    keys = g.op("Transpose", g.reshape(keys, 0, 0, ATTENTIONS, share), perm=(0, 2, 3, 1))
    memory_Bx1xTxD = g.op("Unsqueeze", memory_BxTxD, g.ints(1))
    real_Bx1x1xT = g.op("Unsqueeze", real_BxT, g.ints(1, 2))
    never = g.constant(np.finfo(np.float32).min)
    embedding = g.constant(write["symbols"]["embedding"])
    written = g.op("Mul", g.op("ArgMax", last, axis=-1, keepdims=0), g.constant(0, "int64"))
    written = g.op("Add", written, g.constant(head.vocabulary, "int64"))
    logits = []
    for place_U in weights["places"]:
        query = g.op("Add", g.dense(state, write["query"]), g.constant(place_U))
        scores = g.op("MatMul", g.reshape(query, 0, ATTENTIONS, 1, share), keys)
        scores = g.op("Where", real_Bx1x1xT, scores, never)
        scores = g.op("Div", scores, g.constant(math.sqrt(share)))
        seen = g.op("MatMul", g.op("Softmax", scores, axis=-1), memory_Bx1xTxD)
        seen = g.reshape(seen, 0, -1)
        before = g.op("Gather", embedding, written)
        gates = g.dense(g.op("Concat", before, seen, axis=-1), write["input"])
        state = _advance(g, write["step"], state, gates)
        features = g.dense(g.op("Concat", state, seen, axis=-1), write["dense"])
        logits.append(g.dense(g.op("Relu", features), write["symbol"]))
        written = g.op("ArgMax", logits[-1], axis=-1, keepdims=0)
    logits_BxSxV = g.op("Concat", *[g.op("Unsqueeze", x, g.ints(1)) for x in logits], axis=1)
    probs = g.op("Softmax", logits_BxSxV, axis=-1)
    return {
        "answer": g.cast(g.op("ArgMax", logits_BxSxV, axis=-1, keepdims=0), "int32"),
        "confidence": g.op("ReduceMax", probs, axes=(-1,), keepdims=0),
    }


def _advance(g: Graph, weights: Any, state_BxU: str, gates_Bx3U: str) -> str:
    """See `recurrent._advance`."""
    names = ("reset_kernel", "update_kernel", "candidate_kernel")
    kernel_Ux3U = np.concatenate([weights[name] for name in names], axis=1)
    thirds = g.ints(*[len(kernel_Ux3U)] * 3)
    products = g.op("MatMul", state_BxU, g.constant(kernel_Ux3U))
    reset_in, update_in, candidate_in = g.op("Split", gates_Bx3U, thirds, outputs=3, axis=-1)
    reset_h, update_h, candidate_h = g.op("Split", products, thirds, outputs=3, axis=-1)
    reset = g.op("Sigmoid", g.op("Add", reset_in, reset_h))
    update = g.op("Sigmoid", g.op("Add", update_in, update_h))
    candidate_h = g.op("Add", candidate_h, g.constant(weights["candidate_bias"]))
    candidate = g.op("Tanh", g.op("Add", candidate_in, g.op("Mul", reset, candidate_h)))
    stays = g.op("Mul", update, state_BxU)
    return g.op("Add", g.op("Mul", g.op("Sub", g.constant(1), update), candidate), stays)
