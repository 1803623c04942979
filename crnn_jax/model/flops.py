"""The arithmetic of a network, counted from its layers."""

from collections.abc import Sequence

from ml_collections import ConfigDict


def conv_sizes(convs: Sequence[tuple], height: int, width: int) -> list[tuple[int, int]]:
    """Height and width of a frame before the first and after each convolution with its pool."""
    sizes = [(height, width)]
    for _, size, pool, *same in convs:
        if not same:
            height, width = height - size + 1, width - size + 1
        if pool:
            height, width = height // 2, width if pool == "tall" else width // 2
        sizes.append((height, width))
    return sizes


def conv_positions(convs: Sequence[tuple], height: int, width: int) -> list[int]:
    """Positions in a frame at which the kernel of each convolution is applied."""
    return [
        high * wide if same else (high - size + 1) * (wide - size + 1)
        for (_, size, _, *same), (high, wide) in zip(
            convs, conv_sizes(convs, height, width), strict=False
        )
    ]


def frame_flops(model: ConfigDict, frame_shape: tuple[int, int, int]) -> int:
    """Floating-point operations that a frame costs forward: two for each multiply-add.

    Only the matrix products of convolutions, dense and GRU layers count; a training step costs
    about three times as much. Whatever more a fast form computes does not count.

    Args:
      model: a config's `model` section.
      frame_shape: height and width of a frame in pixels, and its channels.
    """
    multiply_adds = 0
    height, width, channels = frame_shape
    sizes = conv_sizes(model.convs, height, width)
    layer_positions = conv_positions(model.convs, height, width)
    for (features, size, *_), positions in zip(model.convs, layer_positions, strict=True):
        multiply_adds += positions * size * size * channels * features
        channels = features
    inputs = sizes[-1][0] * sizes[-1][1] * channels
    for units in model.dense:
        multiply_adds += inputs * units
        inputs = units
    directions = 2 if model.aggregator == "bigru" else 1
    for units in model.gru_units:
        multiply_adds += directions * 3 * units * (inputs + units)
        inputs = directions * units
    return 2 * multiply_adds
