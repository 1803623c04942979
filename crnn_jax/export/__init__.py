"""The mode `export`: a trained network in files that other programs read."""

import importlib.util
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import jax
import numpy as np
import safetensors.numpy
from flax.traverse_util import flatten_dict
from ml_collections import ConfigDict

from crnn_jax import UserError, did_you_mean, say, user_path
from crnn_jax.distributed import devices
from crnn_jax.export import compare, examples, stablehlo
from crnn_jax.export.about import about
from crnn_jax.export.answers import Functions, functions, no_steps, whole
from crnn_jax.export.compare import Difference
from crnn_jax.model.question import Question
from crnn_jax.runs.load import Restored, config_of, dataset_of, parse_step, restore
from crnn_jax.runs.progress import print_table

FORMATS = {
    "stablehlo": (),
    "onnx": ("onnx", "onnxruntime"),
    "safetensors": (),
}
"""What can be written, and the modules that it needs beyond the base installation."""

BAR = 1e-4
"""A larger difference from the checkpoint's answers is warned of."""


def export(
    workdir: Path, config: ConfigDict | None, *, formats: str, output: str | None, step: str
) -> None:
    """Write a trained network to a new folder, and print how far its answers are off.

    Args:
      workdir: folder of a run.
      config: says where the data lies, and must agree in all else; None for the run's own.
      formats: names in `FORMATS`, with commas between.
      output: the folder; must not exist, or be empty.
      step: "latest", "best" or a number.

    Raises:
      UserError: a format is unknown or lacks a package, the folder cannot be written, or the run
        or its data cannot be read. Nothing is written then.
    """
    names, which = parse_formats(formats), parse_step(step)
    folder = _free(output)
    devices.keep_compiled_programs()
    restored = restore(workdir, which)
    config = config_of(restored, config, workdir)
    exported = functions(restored)
    _check_onnx(exported, names)
    dataset = dataset_of(restored, config, workdir)
    files = _files(exported, names)
    rows = list(compare.batches(restored, config, dataset))
    differences = _differences(restored, exported, files, rows)
    compared = {
        "sequences": sum(len(batch.lengths_B) for batch in rows),
        **{name: x._asdict() for name, x in differences.items()},
    }
    described = about(restored, exported, files, compared)
    lines = [f"  {json.dumps(name)}: {json.dumps(value)}" for name, value in described.items()]
    text = "{\n" + ",\n".join(lines) + "\n}\n"
    files |= {"network.json": text.encode(), **_examples(names, exported.question)}
    _write(folder, files)
    _print(folder, files, compared["sequences"], differences, no_steps(restored))


def parse_formats(formats: str) -> list[str]:
    """The formats of a command line.

    Raises:
      UserError: one is unknown, or what writes it is not installed.
    """
    names = list(dict.fromkeys(name.strip() for name in formats.split(",")))
    for name in names:
        if name not in FORMATS:
            hint = did_you_mean(name, FORMATS)
            raise UserError(f"--format={name}{hint}: expected one or more of {','.join(FORMATS)}")
        if missing := [x for x in FORMATS[name] if importlib.util.find_spec(x) is None]:
            raise UserError(
                f"--format={name} needs {' and '.join(missing)}: pip install 'crnn-jax[{name}]', "
                "or leave this format out"
            )
    return names


def _free(output: str | None) -> Path:
    """The folder to write, of which nothing is there yet."""
    if not output:
        raise UserError("--output is not given: expected a new folder, for example, -o exported")
    folder = user_path(output)
    try:
        taken = os.path.lexists(folder) and (not folder.is_dir() or any(folder.iterdir()))
    except OSError as error:
        raise UserError(f"--output={output}: cannot be used ({error.strerror})") from error
    if taken:
        raise UserError(f"--output={output} is there already: expected a new or an empty folder")
    return folder


def _check_onnx(exported: Functions, names: list[str]) -> None:
    if "onnx" in names:
        from crnn_jax.export.onnx_network import missing

        if part := missing(exported.network):
            raise UserError(
                f"--format=onnx: {part} cannot be written as ONNX yet: expected stablehlo or "
                "safetensors"
            )


def _files(exported: Functions, names: list[str]) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    if "stablehlo" in names:
        files |= stablehlo.files(exported)
    if "onnx" in names:
        from crnn_jax.export import onnx_files  # needs an extra

        files |= onnx_files.files(exported)
    if "safetensors" in names:
        weights = flatten_dict(jax.device_get(exported.params["params"]), sep=".")
        weights = {name: np.ascontiguousarray(x) for name, x in weights.items()}
        files["weights.safetensors"] = safetensors.numpy.save(weights)
    return files


def _differences(
    restored: Restored, exported: Functions, files: dict[str, bytes], rows: list[compare.Rows]
) -> dict[str, Difference]:
    """How far the answers of each file are from those of the checkpoint."""
    question = exported.question
    checkpoint = jax.jit(whole(restored.network, restored.params, question))
    right = [jax.device_get(checkpoint(*batch)) for batch in rows]
    found = {}
    for name, content in files.items():
        kind, _, ending = name.partition(".")
        if ending == "safetensors":
            continue
        read: Any = (
            stablehlo.reader(content) if ending == "stablehlo" else _onnx_reader(kind, content)
        )
        if kind == "network":
            found[name] = compare.of_whole(read, right, rows)
        else:
            found[name] = compare.of_steps(read, exported.state, question, right, rows)
    return found


def _onnx_reader(kind: str, content: bytes) -> Any:
    from crnn_jax.export import onnx_files

    return (onnx_files.whole_reader if kind == "network" else onnx_files.step_reader)(content)


def _examples(names: list[str], question: Question) -> dict[str, bytes]:
    line = question.kind == "line"
    return {f"example_{x}.py": examples.example(x, line=line).encode() for x in names}


def _write(folder: Path, files: dict[str, bytes]) -> None:
    """Write all files, or none: they get their folder's name together."""
    draft = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        for name, content in files.items():
            (draft / name).write_bytes(content)
        draft.chmod(0o777 & ~_umask())
        draft.replace(folder)  # of a folder that is there, only an empty one is replaced
    except OSError as error:
        if draft is not None:
            shutil.rmtree(draft, ignore_errors=True)
        reason = error.strerror or error
        raise UserError(
            f"--output={folder} cannot be written ({reason}): expected a new folder where you can "
            "write"
        ) from error


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _print(
    folder: Path,
    files: dict[str, bytes],
    sequences: int,
    differences: dict[str, Difference],
    reason: str | None,
) -> None:
    rows = [("folder", str(folder))]
    for name, content in files.items():
        line = f"{len(content):,} bytes"
        if name in differences:
            largest, answers = differences[name]
            line += f" · largest difference {largest:.1e}, other answers {answers:,}"
            if not largest <= BAR:
                say(f"warning: {name}: answers differ from the checkpoint's by {largest:.1e}")
        rows.append((name, line))
    rows.append(("compared on", f"{sequences:,} test sequences"))
    if reason is not None:
        rows.append(("frame by frame", f"not available: {reason}"))
    print_table("export", rows)
