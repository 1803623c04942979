"""The encoders as ONNX operations, whose images are BxCxHxW."""

from typing import Any

from crnn_jax.export.graph import Graph
from crnn_jax.model.columns import Columns
from crnn_jax.model.encoder import Encoder

ACTIVATIONS = {"relu": "Relu", "tanh": "Tanh", "sigmoid": "Sigmoid"}


def encode(
    g: Graph, encoder: Encoder, weights: Any, frames_BxLxHxWxC: str, lengths_B: str | None
) -> str:
    """Add what encodes frames; see `Encoder`.

    Args:
      g: the graph.
      encoder: one of `crnn.ENCODERS`.
      weights: its parameters.
      frames_BxLxHxWxC: uint8.
      lengths_B: int32 numbers of frames; None of single ones.

    Returns:
      Features BxLxD.
    """
    shape_BL = g.op("Slice", g.op("Shape", frames_BxLxHxWxC), g.ints(0), g.ints(2))
    x = g.cast(frames_BxLxHxWxC, "float32")
    if not encoder.convs:
        x = g.op("Div", g.reshape(x, 0, 0, -1), g.constant(255))
    elif isinstance(encoder, Columns):
        assert lengths_B is not None, "lines are encoded whole"
        x = _columns(g, encoder, weights["convs"], x, lengths_B)
    else:
        # One image a frame: BxLxHxWxC → (BL)xCxHxW, and features in the order HxWxC.
        images = g.op("Transpose", _joined(g, x, frames_BxLxHxWxC), perm=(0, 3, 1, 2))
        images = _convolve(g, encoder, weights["convs"], images, None)
        x = g.reshape(g.op("Transpose", images, perm=(0, 2, 3, 1)), 0, -1)
        x = g.op("Reshape", x, g.op("Concat", shape_BL, g.ints(-1), axis=0))
    for i in range(len(encoder.dense)):
        x = g.op(ACTIVATIONS[encoder.activation], g.dense(x, weights[f"dense{i}"]))
    if encoder.classes:
        x = g.op("LogSoftmax", g.dense(x, weights["classes"]), axis=-1)
    return x


def _joined(g: Graph, x: str, frames_BxLxHxWxC: str) -> str:
    """The frames of all sequences, one behind the other."""
    image = g.op("Slice", g.op("Shape", frames_BxLxHxWxC), g.ints(2), g.ints(5))
    return g.op("Reshape", x, g.op("Concat", g.ints(-1), image, axis=0))


def _columns(g: Graph, encoder: Columns, weights: Any, x_BxLxHxWxC: str, lengths_B: str) -> str:
    """Features BxLxD of the strips of lines, each line one image."""
    x = g.op("Transpose", x_BxLxHxWxC, perm=(0, 4, 2, 1, 3))
    strip = g.op("Slice", g.op("Shape", x), g.ints(4), g.ints(5))
    images = g.reshape(x, 0, 0, 0, -1)
    column_W = g.places(images, 3)
    end_Bx1 = g.op("Unsqueeze", g.op("Mul", g.cast(lengths_B, "int64"), strip), g.ints(1))
    real_BxW = g.cast(g.op("Less", g.op("Unsqueeze", column_W, g.ints(0)), end_Bx1), "float32")
    real_Bx1x1xW = g.op("Unsqueeze", real_BxW, g.ints(1, 2))
    images = g.op("Mul", images, real_Bx1x1xW)
    images = _convolve(g, encoder, weights, images, real_Bx1x1xW)
    return g.reshape(g.op("Transpose", images, perm=(0, 3, 2, 1)), 0, 0, -1)


def _convolve(g: Graph, encoder: Encoder, weights: Any, x: str, real_Bx1x1xW: Any) -> str:
    """See `frame_features`; `real` is 1 in the columns of lines, 0 in others; None of frames."""
    for i, (_, size, pool, *same) in enumerate(encoder.convs):
        kernel = weights[f"conv{i}_kernel"] / (1 if i else 255)
        kernel = g.constant(kernel.transpose(3, 2, 0, 1))
        before, after = ((size - 1) // 2, size // 2) if same else (0, 0)
        pads = (before, before, after, after)
        x = g.op("Conv", x, kernel, g.constant(weights[f"conv{i}_bias"]), pads=pads)
        if pool:
            window = (2, 1) if pool == "tall" else (2, 2)
            x = g.op("MaxPool", x, kernel_shape=window, strides=window)
        x = g.op(ACTIVATIONS[encoder.activation], x)
        if real_Bx1x1xW is not None:
            if pool is True:
                slices = g.ints(0), g.ints(2**31), g.ints(3), g.ints(2)
                real_Bx1x1xW = g.op("Slice", real_Bx1x1xW, *slices)
            x = g.op("Mul", x, real_Bx1x1xW)
    return x
