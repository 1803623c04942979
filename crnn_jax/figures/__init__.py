"""Figures of a trained network: how it learned, what it looks for, and where it is wrong.

curves.png     loss and validation scores over the steps
kernels.png    the first layer, if need be beside another run's
sheet.png      the first test sequences, answered
hardest.png    the most confident errors
confusion.png  what is taken for what
"""

from pathlib import Path

from crnn_jax.data.corpora import Corpus
from crnn_jax.errors import UserError
from crnn_jax.figures.confusion import draw_confusion
from crnn_jax.figures.curves import draw_curves, read_metrics
from crnn_jax.figures.kernels import draw_kernels, first_kernels
from crnn_jax.figures.reading import SplitReader
from crnn_jax.figures.saving import save
from crnn_jax.figures.strips import draw_hardest, draw_sheet
from crnn_jax.restored import Restored


def draw_figures(
    restored: Restored, corpus: Corpus, workdir: Path, *, beside: Restored | None
) -> list[Path]:
    """Draws all figures of a run, into its folder and for TensorBoard.

    They are written when all are drawn, each whole or not at all. A network without a layer that
    sees pixels before its GRU has no kernels.png.

    Args:
      restored: the network to draw.
      corpus: the one it was trained on.
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
    figures = {"curves": draw_curves(read_metrics(workdir / "metrics.jsonl"))}
    if first_kernels(restored) is not None:
        figures["kernels"] = draw_kernels(restored, beside)
    reader = SplitReader(restored, corpus.test)
    reading = reader.sequences()
    figures["sheet"] = draw_sheet(restored, reading)
    figures["hardest"] = draw_hardest(restored, reading)
    shown = reading if restored.network.task.written else reader.images_alone()
    figures["confusion"] = draw_confusion(restored, shown)
    return save(figures, workdir, restored.step)
