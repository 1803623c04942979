"""Evaluation: validation while training, the test at its end, and the mode `evaluate`.

Sequences that are composed of images are evaluated by `composed.py`, stored ones by `stored.py`.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from ml_collections import ConfigDict

from crnn_jax import tasks
from crnn_jax.data.dataset import Dataset
from crnn_jax.distributed import devices, processes
from crnn_jax.evaluate import composed, stored
from crnn_jax.model.crnn import CRNN
from crnn_jax.runs.load import config_of, dataset_of, parse_step, restore
from crnn_jax.runs.progress import print_table
from crnn_jax.tasks.scores import SCORES
from crnn_jax.tasks.task import Task


def validation_evaluator(
    network: CRNN, task: Task, config: ConfigDict, dataset: Dataset
) -> composed.Evaluation | stored.StoredEvaluation:
    """What scores parameters on the validation part, as a config asks for."""
    return _kind(config).validation(network, task, config, dataset)


def evaluate_test(config: ConfigDict, dataset: Dataset, params: Any) -> dict[str, Any]:
    """The results on the test part that a config asks for.

    Args:
      config: describes the network, the task and the sequences.
      dataset: the test part to take them from.
      params: of the network, on one device.

    Returns:
      The task's scores; the seed of the draw; and `lengths`, the scores of each length in
      `eval.lengths`.
    """
    results = _kind(config).test(config, dataset, params)
    return {"lengths": [], **results, "seed": config.eval.seed}


def _kind(config: ConfigDict) -> ModuleType:
    return stored if tasks.is_stored(config) else composed


def evaluate(workdir: Path, config: ConfigDict | None, *, step: str, as_json: bool) -> None:
    """Test a checkpoint, with the config stored in it, and print the results.

    Args:
      workdir: folder of a run.
      config: says where the data lies and what is tested, and must agree in all else; None for
        the run's own.
      step: "latest", "best" or a number.
      as_json: whether to print one JSON object instead of a table.

    Raises:
      UserError: the folder holds no such run or checkpoint, or its data is not available.
    """
    which = parse_step(step)
    devices.keep_compiled_programs()
    devices.use_cores(devices.core_count())
    restored = restore(workdir, which)
    config = config_of(restored, config, workdir)
    dataset = dataset_of(restored, config, workdir)
    results = {
        "corpus": dataset.identity,
        "step": restored.step,
        **evaluate_test(config, dataset, restored.params),
    }
    if as_json:
        print(json.dumps(results))
    else:
        print_results(results, config)


def print_results(results: dict[str, Any], config: ConfigDict) -> None:
    """Print the results of a run as a table."""
    if not processes.is_main():
        return
    rows = [
        ("corpus", results["corpus"]),
        ("step", _step_line(results)),
        ("test sequences", f"{results['n']:,}, drawn with seed {results.get('seed', '?')}"),
    ]
    rows += [
        (score.title, f"{results[name]:.4f}")
        for name, score in SCORES.items()
        if score.title and name in results
    ]
    if "rmse" in results:
        rows += [
            ("rmse", f"{results['rmse']:.3f}"),
            ("rmse of the training mean", f"{results['baseline_rmse']:.2f}"),
            ("mean absolute error", f"{results['mae']:.3f}"),
        ]
    if "training_seconds" in results:
        rows += [
            ("training", f"{results['training_seconds']:.1f} s without compilation and evaluation"),
            ("training rate", f"{results['sequences_per_second']:,.0f} sequences/s"),
        ]
    rows.append(("evaluation", f"{results['seconds']:.2f} s"))
    if len(results.get("per_length", ())) > 1:
        rows += [(f"length {row['length']:,}", score_line(row)) for row in results["per_length"]]
    if config.task.every_step:
        rows += [(f"after frame {row['step']:,}", score_line(row)) for row in results["per_step"]]
    rows += [
        (f"{row['n']:,} of length {row['length']:,}", score_line(row)) for row in results["lengths"]
    ]
    print_table("results", rows)


def _step_line(results: Mapping[str, Any]) -> str:
    """The step that was tested, and of a run with `train.patience` how it ended."""
    if "trained" not in results:
        return f"{results['step']:,}"
    waited = f"{results['waited']:,} evaluations without a better one"
    return f"{results['step']:,}, the best of {results['trained']:,}, which end with {waited}"


def score_line(report: Mapping[str, Any]) -> str:
    """An evaluation's main scores, as people read them."""
    return " · ".join(
        f"{name} {report[name]:{score.line}}"
        for name, score in SCORES.items()
        if score.line and name in report
    )
