"""Trains and evaluates networks that read a sequence of images and answer a question about it.

Examples:
  python -m crnn_jax.main --config=configs/sum8.py
  python -m crnn_jax.main --config=configs/sum8.py --config.data.manual_dir=../shared/mnist
  python -m crnn_jax.main --config=configs/sum8.py:smoke --workdir=/tmp/try
  python -m crnn_jax.main --mode=evaluate --workdir=runs/sum8 --step=best --json

The same train command again resumes the run. Any field of the config can be set on the command
line: --config.train.learning_rate=1e-3. The fields are explained in the config file.
"""

import os
import sys
from pathlib import Path

from absl import app, flags, logging
from ml_collections import config_flags

from crnn_jax.errors import UserError

FLAGS = flags.FLAGS
config_flags.DEFINE_config_file("config", None, "The experiment: FILE or FILE:smoke.", lock_config=True)
flags.DEFINE_string("workdir", None, "Folder of the run; runs/<config name> if not given.")
flags.DEFINE_enum("mode", "train", ["train", "evaluate"], "What to do.")
flags.DEFINE_string("step", "latest", "Checkpoint to evaluate: latest, best or a number.")
flags.DEFINE_bool("json", False, "Print the evaluation as one JSON object.")
flags.DEFINE_bool("profile", False, "Write a trace of a few steps to WORKDIR/profile.")


def main(argv: list[str]) -> None:
    """Dispatches to the mode asked for."""
    if len(argv) > 1:
        raise UserError(f"{argv[1]!r} is not expected: every argument is a --flag=value")
    # Imported here, so that --help and a mistyped flag answer at once.
    from crnn_jax import run

    config = FLAGS.config
    if FLAGS.workdir:
        workdir = Path(FLAGS.workdir)
    elif config is not None:
        workdir = Path("runs") / _config_name()
    else:
        raise UserError("--config is not given: expected --config=configs/sum8.py, for example")
    if FLAGS.mode == "evaluate":
        run.evaluate(workdir, config, step=FLAGS.step, as_json=FLAGS.json)
    elif config is None:
        raise UserError("--config is not given: expected --config=configs/sum8.py, for example")
    else:
        run.train(workdir, config, profile=FLAGS.profile)


def _config_name() -> str:
    path, _, argument = config_flags.get_config_filename(FLAGS["config"]).partition(":")
    return "-".join(filter(None, (Path(path).stem, argument)))


def _parse(argv: list[str]) -> list[str]:
    """Parses the command line; anything wrong with it, or with the config file, is a UserError."""
    try:
        return FLAGS(argv)
    except UserError:
        raise
    except Exception as error:
        # Whatever a config file raises comes through here.
        raise UserError(f"{' '.join(str(error).split())} (see --help)") from error


def entry() -> None:
    """Runs `main`; a user's mistake is one line on stderr and exit status 2."""
    # XLA's C++ logs would otherwise speak of CPU features at every start.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    logging.set_verbosity(logging.WARNING)
    try:
        app.run(main, flags_parser=_parse)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    entry()
