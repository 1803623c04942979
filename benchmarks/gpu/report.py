"""What the benchmark on a GPU measured, as a table and a picture."""

import datetime
import importlib.metadata
import platform
import statistics
import subprocess
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt

from benchmarks.report import training_flops
from configs import sum8, sum8_2016
from crnn_jax.runs.record import git_revision

NETS = {"sum8_2016": sum8_2016.get_config, "sum8": sum8.get_config}
VERSIONS = ("jax", "flax", "torch", "numpy")


def about() -> dict[str, str]:
    """Date, revision and versions; the card is added by a worker, where JAX runs."""
    versions = []
    for name in VERSIONS:
        try:
            versions.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            versions.append(f"no {name}")
    return {
        "date": datetime.date.today().isoformat(),
        "revision": git_revision(),
        "card": _card(),
        "versions": f"Python {platform.python_version()}, " + ", ".join(versions),
    }


def _card() -> str:

    command = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return platform.processor() or "a CPU"


def write(measured: dict[str, Any], folder: Path) -> None:
    """Write GPU.md and figures/gpu.png into a folder."""
    lines = ["# Results of `make bench-gpu`", ""]
    lines += [f"- {name}: {value}" for name, value in measured["about"].items()]
    peaks = measured.get("peaks") or {}
    for name, value in peaks.items():
        unit = "TB/s of a copy" if name == "copy" else f"TFLOP/s of products in {name}"
        lines.append(f"- peak: {value / 1e12:,.1f} {unit}")
    lines += ["", *_runs(measured), "", *_rates(measured, peaks)]
    (folder / "GPU.md").write_text("\n".join(lines) + "\n")
    if measured["rates"]:
        (folder / "figures").mkdir(exist_ok=True)
        _picture(measured, folder / "figures" / "gpu.png")


def _rates(measured: dict[str, Any], peaks: dict[str, float]) -> list[str]:
    lines = [
        "Training, sequences/s: the median of five stretches, timed in turn (least – most). All "
        "systems keep the corpus on the GPU and draw there. float32 is as each framework has it: "
        "products and convolutions in TF32 in JAX, convolutions and GRUs alone in PyTorch, which "
        "chooses its convolutions by timing (`cudnn.benchmark`). `torch-packed` encodes real "
        "frames alone, the other PyTorch rows frames padded to 8. sum8 is with augmentation and "
        "its marginal head here, without both in PyTorch. rows are lines of digits "
        "(`benchmarks/lines.py`), of which the host draws the numbers and PyTorch pads all to the "
        "widest of the batch; there the ratio is that to PyTorch eager. Kernels are those of one "
        "step. Peak bandwidth: of the bytes that XLA counts for its own program.",
        "",
        "| network, batch, dtype | system | sequences/s | against PyTorch's graph | kernels | "
        "of peak arithmetic | of peak bandwidth |",
        "|---|---|---|---|---|---|---|",
    ]
    graphs = {
        tuple(entry["row"]): statistics.median(entry["rates"])
        for entry in measured["rates"]
        if entry["system"] == ("torch-eager" if entry["row"][0] == "rows" else "torch-graph")
    }
    for entry in measured["rates"]:
        (net, batch, dtype), values = entry["row"], entry["rates"]
        rate = statistics.median(values)
        graph = graphs.get(tuple(entry["row"]))
        ratio = f"{rate / graph:.2f}" if graph else "not measured"
        kernels = f"{entry['kernels']:.0f}" if entry.get("kernels") else "not measured"
        arithmetic = bandwidth = "not measured"
        if peaks:
            if net in NETS:
                arithmetic = f"{rate * training_flops(NETS[net]()) / peaks[dtype]:.1%}"
            if entry.get("bytes"):
                bandwidth = f"{rate / batch * entry['bytes'] / peaks['copy']:.0%}"
        lines.append(
            f"| {net}, {batch:,}, {dtype} | {entry['system']} | {rate:,.0f} ({min(values):,.0f} – "
            f"{max(values):,.0f}) | {ratio} | {kernels} | {arithmetic} | {bandwidth} |"
        )
    lines += [f"\nNot measured: {what} ({why})." for what, why in measured["failed"]]
    return lines


def _runs(measured: dict[str, Any]) -> list[str]:
    lines = []
    for state, run in measured.get("runs", {}).items():
        said = ", ".join(
            f"{run[key]:.1f} s to {words}"
            for key, words in {
                "first_steps": "the first steps",
                "rmse_1.17": "a validation RMSE of 1.17",
                "rmse_0.65": ".65",
                "results": "the results",
            }.items()
            if key in run
        )
        scores = f"test RMSE {run['rmse']:.3f}, exact {run['exact']:.4f}"
        lines.append(f"- `sum8.py` from process start, {state} cache: {said}; {scores}.")
    if bits := measured.get("bits"):
        same = "the same bits" if bits["same"] else f"different bits: {bits}"
        lines.append(
            "- `train.deterministic`: three runs of one command, and one stopped and resumed, end "
            f"with {same}."
        )
    for dtype, scores in measured.get("seeds", {}).items():
        said = "; ".join(f"RMSE {s['rmse']:.3f}, exact {s['exact']:.4f}" for s in scores)
        lines.append(f"- sum8 in {dtype}, three seeds: {said}.")
    return lines


def _picture(measured: dict[str, Any], path: Path) -> None:
    points: dict[str, list[tuple[int, float]]] = {}
    for entry in measured["rates"]:
        net, batch, dtype = entry["row"]
        if (net, dtype) == ("sum8_2016", "float32"):
            rate = statistics.median(entry["rates"])
            points.setdefault(entry["system"], []).append((batch, rate))
    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    for system, values in points.items():
        axes.plot(*zip(*sorted(values), strict=True), marker="o", label=system)
    axes.set(xscale="log", yscale="log", xlabel="batch", ylabel="sequences/s")
    axes.set_title("Training the network of 2016, float32")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    figure.savefig(path, dpi=120)
    plt.close(figure)
