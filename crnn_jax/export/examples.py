"""Programs of 20 lines that use what is exported, and nothing of this package."""

_EXAMPLE = '''\
"""python example_{name}.py {pictures}   (pip install {needs} numpy pillow)"""
import json
import sys
from pathlib import Path

import numpy as np
{imports}
from PIL import Image

here = Path(__file__).parent
about = json.loads((here / "network.json").read_text(encoding="utf-8"))
_, steps, height, width, channels = about["input"]["frames"]["shape"]
{frames}inputs = {{"frames": np.stack([frames]), "lengths": np.array([count], np.int32)}}
{call}
for name in sorted({{*answers}} - {{"probabilities"}}):
    print(name, *answers[name])
print(*[about["names"][i] for i in np.ravel(answers["answer"]) if i >= 0 and about["names"]])
'''

_PICTURES = """\
pictures = [Image.open(x).convert("L" if channels == 1 else "RGB") for x in sys.argv[1:]]
frames = [np.asarray(x.resize((width, height))).reshape(height, width, -1) for x in pictures]
count = len(frames)
frames += [np.zeros_like(frames[0])] * (0 if steps == "L" else steps - count)
"""

_LINE = """\
line = Image.open(sys.argv[1]).convert("L" if channels == 1 else "RGB")
count = -(-line.width * height // (line.height * width))
pixels = np.asarray(line.resize((count * width, height))).reshape(height, count, width, -1)
frames = [*np.swapaxes(255 - pixels if np.median(pixels) > 127 else pixels, 0, 1)]
"""

_CALLS = {
    "onnx": {
        "needs": "onnxruntime",
        "imports": "import onnxruntime",
        "call": """\
network = onnxruntime.InferenceSession(here / "network.onnx")
answers = dict(zip([x.name for x in network.get_outputs()], network.run(None, inputs)))""",
    },
    "stablehlo": {
        "needs": "jax flatbuffers",
        "imports": "import jax.export",
        "call": """\
network = jax.export.deserialize((here / "network.stablehlo").read_bytes())
answers = network.call(*inputs.values())""",
    },
}

_SAFETENSORS = '''\
"""python example_safetensors.py   (pip install safetensors numpy)"""
from pathlib import Path

from safetensors.numpy import load_file

weights = load_file(Path(__file__).parent / "weights.safetensors")
for name, array in weights.items():
    print(name, array.dtype, array.shape)
'''


def example(name: str, *, line: bool) -> str:
    """The program for a format; of a network of lines, which reads one picture."""
    if name == "safetensors":
        return _SAFETENSORS
    pictures = "line.png" if line else "first.png second.png …"
    frames = _LINE if line else _PICTURES
    return _EXAMPLE.format(name=name, pictures=pictures, frames=frames, **_CALLS[name])
