"""Programs of 20 lines that use what is exported, and nothing of this package."""

_EXAMPLE = '''\
"""python example_{name}.py first.png second.png …   (pip install {needs} numpy pillow)"""
import json
import sys
from pathlib import Path

import numpy as np
{imports}
from PIL import Image

here = Path(__file__).parent
about = json.loads((here / "network.json").read_text(encoding="utf-8"))
_, steps, height, width, channels = about["input"]["frames"]["shape"]
pictures = [Image.open(x).convert("L" if channels == 1 else "RGB") for x in sys.argv[1:]]
if about["task"] == "line":  # one picture, of any width, and ink must be bright
    strips = -(-pictures[0].width * height // (pictures[0].height * width))
    line = np.asarray(pictures[0].resize((strips * width, height)))
    line = 255 - line if np.median(line) > 127 else line
    frames = [*line.reshape(height, strips, width, channels).swapaxes(0, 1)]
else:
    frames = [np.asarray(x.resize((width, height))).reshape(height, width, -1) for x in pictures]
black = [np.zeros_like(frames[0])] * (0 if steps == "L" else steps - len(frames))
inputs = {{"frames": np.stack([frames + black]), "lengths": np.array([len(frames)], np.int32)}}
{call}
for name in sorted({{*answers}} - {{"probabilities"}}):
    print(name, *answers[name])
print(*[about["names"][i] for i in np.ravel(answers["answer"]) if i >= 0] if about["names"] else "")
'''

ONNX = _EXAMPLE.format(
    name="onnx",
    needs="onnxruntime",
    imports="import onnxruntime",
    call="""\
network = onnxruntime.InferenceSession(here / "network.onnx")
answers = dict(zip([x.name for x in network.get_outputs()], network.run(None, inputs)))""",
)

STABLEHLO = _EXAMPLE.format(
    name="stablehlo",
    needs="jax flatbuffers",
    imports="import jax.export",
    call="""\
network = jax.export.deserialize((here / "network.stablehlo").read_bytes())
answers = network.call(*inputs.values())""",
)

SAFETENSORS = '''\
"""python example_safetensors.py   (pip install safetensors numpy)"""
from pathlib import Path

from safetensors.numpy import load_file

weights = load_file(Path(__file__).parent / "weights.safetensors")
for name, array in weights.items():
    print(name, array.dtype, array.shape)
'''
