"""What `bench.py` measured, as tables and a picture."""

import datetime
import importlib.metadata
import platform
import statistics
from pathlib import Path

import matplotlib.pyplot as plt
from ml_collections import ConfigDict

from benchmarks.protocol import AIM
from benchmarks.tables import clip_section, line_section, spread
from benchmarks.worker import BETWEEN_TESTS, TESTED
from configs.sum8_2016 import get_config
from crnn_jax.distributed.devices import core_count
from crnn_jax.model.flops import frame_flops
from crnn_jax.runs.record import git_revision, processor

MEAN_LENGTH = 4.5

LABELS = {
    "crnn_jax": "crnn_jax",
    "flax": "Flax, plain",
    "torch": "PyTorch eager",
    "torch-compile": "PyTorch compiled",
    "torch-packed": "PyTorch eager, packed by hand",
    "keras-tensorflow": "Keras 3 on TensorFlow",
    "keras-jax": "Keras 3 on JAX",
    "keras-torch": "Keras 3 on PyTorch",
}
VERSIONS = ("jax", "flax", "torch", "keras", "tensorflow-cpu", "numpy")


def machine(corpus: str) -> dict[str, str]:
    """Where and when it was measured, and at which revision."""
    revision, plus, changes = git_revision().partition("+")
    versions = [f"{name} {importlib.metadata.version(name)}" for name in VERSIONS]
    return {
        "date": datetime.date.today().isoformat(),
        "revision": revision[:7] + plus + changes,
        "processor": f"{processor()}, {core_count()} cores",
        "versions": f"Python {platform.python_version()}, " + ", ".join(versions),
        "corpus": corpus,
    }


def training_flops(config: ConfigDict) -> float:
    """The model's own arithmetic on the real frames of a sequence, forward and backward.

    Backward costs twice as much as forward, but the first convolution has no frames' gradient.
    """
    features, size, *_ = config.model.convs[0]
    first = 2 * (28 - size + 1) ** 2 * size**2 * features
    return MEAN_LENGTH * (3 * frame_flops(config.model, (28, 28, 1)) - first)


def write(measured: dict, folder: Path) -> None:
    """Write RESULTS.md and figures/rates.png into `folder`.

    Args:
      measured: for each of `PARTS`, its numbers in `found`, and in `about` what `machine` returned.
      folder: the one of this file.
    """
    found = {part: measured[part]["found"] for part in measured}
    lines = ["# Results of `make bench`", "", *_about(measured)]
    lines += [
        "The network of `configs/sum8_2016.py` on sums of 1..8 digits. All systems start from the "
        "same weights and give the same answers; they are timed for a second each or more, in "
        f"turn. Median (least – most) of {len(found['rates'][0]['sgemm'])} rounds. Ratios are "
        "taken within a round. Share of sgemm: the model's own arithmetic on real frames, "
        f"{training_flops(get_config()) / 1e6:.1f} MFLOP a sequence trained, of the rate of a "
        "float32 matrix product of 2,048² measured in the same round.",
        "",
        "PyTorch packed by hand and crnn_jax compute real frames alone, 4.5 of 8 on average; the "
        "others pad every sequence to 8 frames, as people usually write it, so that up to 1.78 of "
        "a ratio to them is the packing. Flax, plain, is `nn.Conv`, `nn.max_pool` and `nn.RNN` in "
        "one compiled step. crnn_jax draws each length equally often, the others at random.",
        "",
    ]
    for rates in found["rates"]:
        lines += _rates(rates)
    lines += ["![Rates](figures/rates.png)", "", *_first_steps(found["first_steps"])]
    lines += [*_quick(found["quick"]), *_learned(found["learned"])]
    lines += _growth(found["growth"])
    lines += clip_section(found["clips"])
    lines += line_section(found["lines"])
    lines += ["On a GPU: not measured.", ""]
    (folder / "RESULTS.md").write_text("\n".join(lines))
    _draw(found["rates"], folder / "figures" / "rates.png")


PARTS = {
    "rates": "rates",
    "first_steps": "first steps",
    "growth": "growth",
    "quick": "`sum8.py:quick`",
    "learned": "the network of 2016 to its RMSE",
    "clips": "clips of 5 to 60 frames",
    "lines": "lines of digits",
}


def _about(measured: dict) -> list[str]:
    """Which parts were measured where and when; those of one measurement in one paragraph."""
    parts: dict[str, list[str]] = {}
    for part in measured:
        about = measured[part]["about"]
        where = (
            f"{about['date']}, revision {about['revision']}, {about['processor']}; "
            f"{about['versions']}; {about['corpus']}"
        )
        parts.setdefault(where, []).append(PARTS[part])
    lines = []
    for where, labels in parts.items():
        measured_there = f"For {', '.join(labels)}: " if len(parts) > 1 else ""
        lines += [f"{measured_there}{where}.", ""]
    return lines


def _rates(rates: dict) -> list[str]:
    systems = rates["systems"]
    lines = [
        f"## Batches of {rates['batch']:,}",
        "",
        "| system | training, sequences/s | crnn_jax is faster by | share of sgemm "
        "| inference, sequences/s | crnn_jax is faster by | memory, MB |",
        "|---|---|---|---|---|---|---|",
    ]
    ours = systems["crnn_jax"]
    for name, found in systems.items():
        factors = {
            work: [a / b for a, b in zip(ours[work], found[work], strict=True)]
            for work in ("train", "infer")
        }
        shares = [
            rate * training_flops(get_config()) / sgemm
            for rate, sgemm in zip(found["train"], rates["sgemm"], strict=True)
        ]
        lines.append(
            f"| {LABELS[name]} | {spread(found['train'])} | {spread(factors['train'], '.2f')} "
            f"| {statistics.median(shares):.1%} | {spread(found['infer'])} "
            f"| {spread(factors['infer'], '.2f')} | {found['memory']:,.0f} |"
        )
    gflops = spread([rate / 1e9 for rate in rates["sgemm"]])
    return [*lines, "", f"A matrix product of 2,048²: {gflops} GFLOP/s.", ""]


def _first_steps(measured: dict) -> list[str]:
    lines = [
        "## From process start to the end of the first ten steps, batch 64",
        "",
        "Seconds, median (least – most) of "
        f"{len(measured['crnn_jax']['cold'])} starts; corpus in .npy files; compilation caches "
        "empty, then filled.",
        "",
        "| system | cold | warm |",
        "|---|---|---|",
    ]
    for name, found in measured.items():
        cold, warm = spread(found["cold"], ".1f"), spread(found["warm"], ".1f")
        lines.append(f"| {LABELS[name]} | {cold} | {warm} |")
    return [*lines, ""]


def _quick(measured: dict) -> list[str]:
    seeds = len(measured["rmse"])
    cold, warm = spread(measured["cold"], ".1f"), spread(measured["warm"], ".1f")
    return [
        "## From process start to a test RMSE of 1.17 or less",
        "",
        "`python -m crnn_jax.main --config=configs/sum8.py:quick`, all of it: the process starts, "
        "compiles, trains, and answers the 60,000 test sequences; the corpus is prepared. "
        f"{seeds} seeds, each with an empty and a filled compilation cache.",
        "",
        "| | seconds, cold | seconds, warm | test RMSE |",
        "|---|---|---|---|",
        f"| `sum8.py:quick` | {cold} | {warm} | {spread(measured['rmse'], '.3f')} |",
        "",
    ]


def _learned(measured: dict) -> list[str]:
    lines = [
        "The network of 2016 in each system, batches of 64, once each: all start from the same "
        "weights and draw afresh, crnn_jax each length equally often and the others at random, so "
        "the sequences needed are partly chance. Seconds from process "
        f"start until about {TESTED:,} test sequences are answered with that RMSE, caches empty; "
        f"tested about every {BETWEEN_TESTS:,} sequences, the tests' own seconds left out.",
        "",
        "| system | seconds | sequences trained | test RMSE then |",
        "|---|---|---|---|",
    ]
    for name, found in measured.items():
        never = "" if found["rmse"] <= AIM else "more than "
        lines.append(
            f"| {LABELS[name]} | {never}{found['seconds']:,.0f} | {found['sequences']:,} "
            f"| {found['rmse']:.3f} |"
        )
    return [*lines, ""]


GROWTH = {
    "length": "Frames trained a second, by the length of all 32 sequences of a batch",
    "images": "Sequences trained a second, by the images in the corpus (MNIST's repeated)",
    "devices": "Sequences trained a second, by the devices simulated on the cores, batches of 256",
    "tested": "Sequences tested a second, by how many, from 10,000 images",
}


def _growth(measured: dict) -> list[str]:
    stretches = len(next(iter(measured["length"].values())))
    lines = [
        "## Growth",
        "",
        f"Each value in a process of its own: median (least – most) of {stretches} stretches.",
        "",
    ]
    for what, rates in measured.items():
        lines += [
            f"| {GROWTH[what]} | " + " | ".join(f"{int(value):,}" for value in rates) + " |",
            "|---" * (1 + len(rates)) + "|",
            "| | " + " | ".join(spread(found) for found in rates.values()) + " |",
            "",
        ]
    return lines


def _draw(measured: list[dict], path: Path) -> None:
    figure, axes = plt.subplots(1, len(measured), figsize=(2 + 4 * len(measured), 3.2), sharey=True)
    for axis, rates in zip(axes if len(measured) > 1 else [axes], measured, strict=True):
        systems = rates["systems"]
        medians = [statistics.median(found["train"]) for found in systems.values()]
        names = [LABELS[name] for name in systems]
        colors = ["tab:orange" if name == "crnn_jax" else "tab:gray" for name in systems]
        axis.barh(names, medians, color=colors)
        axis.set_ylim(len(names) - 0.5, -0.5)  # the first on top; the axis is shared
        axis.set_title(f"batches of {rates['batch']:,}")
        axis.set_xlabel("sequences trained a second")
        axis.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, dpi=100, bbox_inches="tight")
    plt.close(figure)
