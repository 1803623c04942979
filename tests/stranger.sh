#!/usr/bin/env bash
# The way of someone who has a wheel and nothing else: install it in an empty environment, train, ask
# the run from the terminal and through the page, export it, and ask ONNX Runtime alone, in a second
# environment. All must answer the same. After installing, nothing reaches the network.
#
# usage: tests/stranger.sh WHEEL FOLDER   (a new folder; PYTHON and CONSTRAINTS as make has them)
set -euo pipefail

wheel=$(realpath "$1") constraints=$(realpath "${CONSTRAINTS:-constraints.txt}") python=${PYTHON:-python3}
mkdir -p "$2/empty"
cd "$2/empty"
unset PYTHONPATH
export JAX_PLATFORMS=cpu XDG_CACHE_HOME=$PWD/cache PIP_CONSTRAINT=$constraints

say() { echo "== $*"; }

say "install the wheel"
"$python" -m venv ../user
../user/bin/pip install --quiet "$wheel"
../user/bin/pip check
du --summarize --human-readable ../user
../user/bin/pip install --quiet "$wheel[onnx,serve]"
"$python" -m venv ../other
../other/bin/pip install --quiet onnxruntime numpy pillow
export http_proxy=http://127.0.0.1:9 https_proxy=http://127.0.0.1:9 no_proxy=127.0.0.1

say "train"
../user/bin/crnn-jax --version
../user/bin/crnn-jax --config=sum8:quick --config.data.name=mnist-5k --workdir=run
../user/bin/python -m crnn_jax.main --mode=evaluate --workdir=run --json > results.json

say "predict"
../user/bin/python - <<'EOF'
from crnn_jax.data.sources import mnist_5k
from PIL import Image

images, labels = mnist_5k.read()["test"]
for digit in (3, 4):
    Image.fromarray(images[labels == digit][0, ..., 0]).save(f"{digit}.png")
EOF
../user/bin/crnn-jax --mode=predict --workdir=run --json 3.png 4.png | tee predicted.json

say "ask through the page"
port=$("$python" -c 'import socket; print(socket.create_server(("127.0.0.1", 0)).getsockname()[1])')
../user/bin/python -m crnn_jax.serve --workdir=run --port="$port" &
page=$!
trap 'kill "$page" 2> /dev/null || true' EXIT
"$python" - "$port" <<'EOF'
import sys, time, urllib.error, urllib.request

body = b""
for name in ("3.png", "4.png"):
    head = f'--edge\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'
    body += head.encode() + open(name, "rb").read() + b"\r\n"
request = urllib.request.Request(
    f"http://127.0.0.1:{sys.argv[1]}/predict",
    body + b"--edge--\r\n",
    {"Content-Type": "multipart/form-data; boundary=edge"},
)
for attempt in range(60):
    try:
        answer = urllib.request.urlopen(request).read()
        break
    except urllib.error.URLError as error:
        if not isinstance(error.reason, ConnectionRefusedError) or attempt == 59:
            raise
        time.sleep(1)
open("served.json", "wb").write(answer)
print(answer.decode())
EOF
kill "$page"

say "export, and answer without JAX and this package"
../user/bin/crnn-jax --mode=export --workdir=run --format=onnx -o exported
if ../other/bin/python -c 'import jax' 2> /dev/null; then
  echo "error: JAX is in the second environment" >&2
  exit 1
fi
../other/bin/python exported/example_onnx.py 3.png 4.png | tee answered.txt

say "compare"
"$python" - <<'EOF'
import json

predicted, served = (json.load(open(f"{name}.json")) for name in ("predicted", "served"))
lines = open("answered.txt").read().replace("[", "").replace("]", "").splitlines()
answered = dict(line.split(" ", 1) for line in lines if line)
for name, step in enumerate(predicted["steps"]):
    assert int(answered["answer"].split()[name]) == int(step["answer"]), (answered, step)
    for kind in ("estimate", "confidence"):
        assert abs(float(answered[kind].split()[name]) - step[kind]) < 1e-4, (answered, step)
    for kind in ("answer", "estimate", "confidence"):
        assert served["steps"][name][kind] == step[kind], (served, step)
results = json.load(open("results.json"))
assert results["exact"] > 0.7, results
print(f"all answer {predicted['answer']}; exact {results['exact']:.4f}")
EOF
