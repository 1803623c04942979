"""Figures of a trained network: how it learned, what it looks for, and where it is wrong.

curves.png     loss and validation scores over the steps
kernels.png    the first layer, if need be beside another run's
sheet.png      the first test sequences, answered
hardest.png    the most confident errors
confusion.png  what is taken for what; or numbers.png, estimates beside right numbers
"""

import functools
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from crnn_jax import UserError, tasks
from crnn_jax.data.dataset import Dataset
from crnn_jax.data.sequences import Sequences
from crnn_jax.data.split import Split
from crnn_jax.distributed import devices
from crnn_jax.evaluate.composed import Evaluation
from crnn_jax.evaluate.stored import StoredEvaluation
from crnn_jax.figures.confusion import draw_confusion
from crnn_jax.figures.curves import draw_curves, read_metrics
from crnn_jax.figures.kernels import draw_kernels, first_kernels
from crnn_jax.figures.numbers import draw_numbers
from crnn_jax.figures.saving import save
from crnn_jax.figures.strips import Gallery, draw_hardest, draw_sheet, drawn_frames
from crnn_jax.runs.folder import RunFolder
from crnn_jax.runs.load import Restored, config_of, dataset_of, parse_step, restore
from crnn_jax.tasks.task import Answered

SEQUENCES = 2000

FRAMES = 20_000
"""Of all sequences, about, where they are long."""


def draw_figures(
    restored: Restored, dataset: Dataset, workdir: Path, *, beside: Restored | None
) -> list[Path]:
    """Draw all figures of a run, into its folder and for TensorBoard.

    They are written when all are drawn, each whole or not at all. A network without a layer that
    sees pixels before its aggregator has no kernels.png.

    Args:
      restored: the network to draw.
      dataset: the one it was trained on.
      workdir: folder of its run, which is read (metrics.jsonl) and written (figures/*.png and
        tensorboard/).
      beside: another network, to compare the kernels with.

    Returns:
      Paths of the files.

    Raises:
      UserError: metrics.jsonl is missing or damaged, both networks' kernels cannot be compared,
        or `workdir` cannot be written.
    """
    if beside is not None and (first_kernels(restored) is None or first_kernels(beside) is None):
        raise UserError("--beside: expected two runs with convolutions or dense layers")
    figures = {"curves": draw_curves(read_metrics(RunFolder(workdir).metrics))}
    if first_kernels(restored) is not None:
        figures["kernels"] = draw_kernels(restored, beside)
    stored = tasks.is_stored(restored.config)
    gallery, counted = (_stored if stored else _composed)(restored, dataset.test)
    figures["sheet"] = draw_sheet(gallery)
    figures["hardest"] = draw_hardest(gallery)
    confusion = draw_confusion(restored.task, counted)
    if confusion is not None:
        figures["confusion"] = confusion
    else:
        figures["numbers"] = draw_numbers(counted)
    return save(figures, workdir, restored.step)


def _composed(restored: Restored, split: Split) -> tuple[Gallery, Answered]:
    """What to show of drawn sequences, and what to count confusions of."""
    task: Any = restored.task
    images = len(split.labels_I)
    drawn = task.draw(restored.config.eval.seed, images)
    answered = {}
    for draw in (task.shown(drawn), task.counted(drawn)):
        count = images if draw != drawn else min(SEQUENCES, max(100, FRAMES // task.max_length))
        if draw not in answered:
            evaluation = Evaluation(restored.network, task, split, draw, count)
            answered[draw] = evaluation.answered(restored.params)
    shown = task.shown(drawn)
    frames_of = functools.partial(drawn_frames, task, split, shown)
    return Gallery(task, answered[shown], frames_of), answered[task.counted(drawn)]


def _stored(restored: Restored, part: Sequences) -> tuple[Gallery, Answered]:
    """The same of stored sequences."""
    task: Any = restored.task
    seed = restored.config.eval.seed
    evaluation = StoredEvaluation(restored.network, task, part, most=SEQUENCES, seed=seed)
    answered = evaluation.answered(restored.params)

    def frames_of(i: int) -> np.ndarray:
        return part.read([int(evaluation.chosen[i])])[0]

    return Gallery(task, answered, frames_of, evenly=True), answered


def draw(workdir: Path, config: ConfigDict | None, *, step: str, beside: Path | None) -> None:
    """Draw a run's figures into its folder, and print where they are.

    Args:
      workdir: folder of a run.
      config: says where the data lies; None for where it lay.
      step: "latest", "best" or a number.
      beside: folder of a run to compare the kernels with; None for no comparison.

    Raises:
      UserError: the folder holds no such run or checkpoint, its data is not available, or the two
        runs' kernels cannot be compared.
    """
    which = parse_step(step)
    devices.keep_compiled_programs()
    restored = restore(workdir, which)
    other = restore(beside) if beside is not None else None
    dataset = dataset_of(restored, config_of(restored, config, workdir), workdir)
    for path in draw_figures(restored, dataset, workdir, beside=other):
        print(path)
