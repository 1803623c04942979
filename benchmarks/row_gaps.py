"""How well a trained network reads rows whose symbols stand closer or further apart.

python -m benchmarks.row_gaps --workdir=runs/rows [--count=2000] [--length=500]

Rows of test images as the run's own, but with gaps of one range at a time, in pixels between the
ink of neighbours.
"""

import argparse
from pathlib import Path

from crnn_jax import tasks
from crnn_jax.data import rows
from crnn_jax.evaluate.composed import Evaluation
from crnn_jax.model import crnn
from crnn_jax.runs.load import dataset_of, restore

GAPS = ((0, 9), (-4, -1), (-8, -5), (-8, 9))


def main() -> None:
    """Print a line for each range."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workdir", type=Path, required=True, help="a run of configs/rows.py")
    parser.add_argument("--count", type=int, default=2000, help="rows of each range")
    parser.add_argument("--length", type=int, help="symbols of each row, if not as trained")
    options = parser.parse_args()
    run = restore(options.workdir)
    part = dataset_of(run, run.config, options.workdir).test
    print(f"{'gaps':>10}{'exact':>8}{'CER':>8}")
    for gaps in GAPS:
        rows.GAPS = gaps
        task = tasks.build(run.config, run.dataset, options.length)
        network = crnn.build(run.config.model, task.question)
        draw = task.draw(run.config.eval.seed, len(part.labels_I))
        scores = Evaluation(network, task, part, draw, options.count)(run.params)
        print(f"{gaps[0]:4} to {gaps[1]:2}{scores['exact']:8.4f}{scores['cer']:8.4f}", flush=True)


if __name__ == "__main__":
    main()
