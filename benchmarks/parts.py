"""How well runs answer on each part of MNIST: what they learned by heart, and what is hard.

python benchmarks/parts.py runs/sum4 [runs/sum4-best ...]
"""

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from crnn_jax import exit_status
from crnn_jax.data.dataset import Dataset, Split
from crnn_jax.evaluate import validation_evaluator
from crnn_jax.runs.load import dataset_of, restore


def parts(corpus: Dataset) -> dict[str, Split]:
    """The validation images, as many training images, and both halves of the test images.

    No one who wrote a training image, of which the validation images were some, wrote a test
    image; and the halves of those are from two collections of NIST (LeCun, Cortes & Burges, "The
    MNIST database").
    """
    size, test = len(corpus.validation.labels_I), corpus.test
    return {
        "training": Split(*(x[-size:] for x in corpus.train)),
        "validation": corpus.validation,
        "test, first half": Split(*(x[: len(x) // 2] for x in test)),
        "test, second half": Split(*(x[len(x) // 2 :] for x in test)),
    }


def main(workdirs: Sequence[str]) -> None:
    """Print a table for each run."""
    for workdir in workdirs:
        restored = restore(Path(workdir))
        corpus = dataset_of(restored, restored.config, Path(workdir))
        table = Table("images", "exact", "mean squared error", title=workdir)
        for part, split in parts(corpus).items():
            asked = dataclasses.replace(corpus, validation=split)
            evaluate = validation_evaluator(restored.network, restored.task, restored.config, asked)
            found = evaluate(restored.params)
            squared = f"{found['rmse'] ** 2:.3f}" if "rmse" in found else ""
            table.add_row(part, f"{found['exact']:.4f}", squared)
        Console().print(table)


if __name__ == "__main__":
    sys.exit(exit_status(main, sys.argv[1:]))
