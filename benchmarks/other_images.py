"""How well a trained network answers about the test images of another data set.

python -m benchmarks.other_images --workdir=runs/few --data=mnist [--manual_dir=FOLDER]

The sequences are drawn as the run's own test draws them, from the other data set's test images.
"""

import argparse
from pathlib import Path

from crnn_jax.data.dataset import load_dataset
from crnn_jax.evaluate.composed import Evaluation
from crnn_jax.runs.load import restore


def main() -> None:
    """Print the scores."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workdir", type=Path, required=True, help="a run on composed sequences")
    parser.add_argument("--data", required=True, help="name of a data set of the same classes")
    parser.add_argument("--manual_dir", default="", help="folder of its published files")
    options = parser.parse_args()
    run = restore(options.workdir)
    given = {"data_dir": run.config.data.data_dir, "manual_dir": options.manual_dir}
    data = load_dataset(options.data, **given, fallback=False)
    if data.info.classes != run.dataset.classes:
        parser.error(f"--data={options.data}: expected the classes of the run's own data")
    test, baseline = data.test, run.task.baseline(data.train.labels_I)
    draw = run.task.draw(run.config.eval.seed, len(test.labels_I))
    count = run.config.eval.test_sequences
    evaluation = Evaluation(run.network, run.task, test, draw, count, baseline=baseline)
    scores = evaluation(run.params)
    print(f"{len(test.labels_I):,} images of {options.data}, {scores['n']:,} sequences")
    rmse = f"  rmse {scores['rmse']:.3f}" if "rmse" in scores else ""
    print(f"exact {scores['exact']:.4f}{rmse}")


if __name__ == "__main__":
    main()
