"""Figures of a trained network: how it learned, what it looks for, and where it is wrong.

curves.png     loss and validation scores over the steps
kernels.png    the first layer, if need be beside another run's
sheet.png      the first test sequences, answered
hardest.png    the most confident errors
confusion.png  what is taken for what
"""

from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from crnn_jax import UserError
from crnn_jax.data.dataset import Dataset
from crnn_jax.distributed import devices
from crnn_jax.evaluate.composed import Evaluation
from crnn_jax.figures.confusion import draw_confusion
from crnn_jax.figures.curves import draw_curves, read_metrics
from crnn_jax.figures.kernels import draw_kernels, first_kernels
from crnn_jax.figures.saving import save
from crnn_jax.figures.strips import Gallery, draw_hardest, draw_sheet
from crnn_jax.runs.folder import RunFolder
from crnn_jax.runs.load import Restored, config_of, dataset_of, parse_step, restore

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
    task: Any = restored.task
    config, split = restored.config, dataset.test
    images = len(split.labels_I)
    drawn = task.draw(config.eval.seed, images)
    answered = {}
    for draw in (task.shown(drawn), task.counted(drawn)):
        count = images if draw != drawn else min(SEQUENCES, max(100, FRAMES // task.max_length))
        if draw not in answered:
            evaluation = Evaluation(restored.network, task, split, draw, count)
            answered[draw] = evaluation.answered(restored.params)
    gallery = Gallery(task, split, task.shown(drawn), answered[task.shown(drawn)])
    figures["sheet"] = draw_sheet(gallery)
    figures["hardest"] = draw_hardest(gallery)
    figures["confusion"] = draw_confusion(task, answered[task.counted(drawn)])
    return save(figures, workdir, restored.step)


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
