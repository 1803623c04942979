"""The command line: `python -m crnn_jax.main --help`."""

import argparse
import gc
import logging
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from ml_collections import ConfigDict

from crnn_jax import UserError, did_you_mean, exit_status, user_path
from crnn_jax.command_line import Parser
from crnn_jax.config.files import load_config

EXAMPLES = """\
examples:
  python -m crnn_jax.main --config=configs/sum8.py
  python -m crnn_jax.main --config=configs/sum8.py:smoke --workdir=/tmp/try
  python -m crnn_jax.main --config=configs/sum8.py --config.train.learning_rate=1e-3
  python -m crnn_jax.main --mode=evaluate --workdir=runs/sum8 --step=best --json
  python -m crnn_jax.main --mode=predict --workdir=runs/sum8 three.png four.jpg
  python -m crnn_jax.main --mode=figures --workdir=runs/sum8 --beside=runs/lenet

The same train command again resumes the run. A config's fields are explained in its file.
"""


def main(argv: Sequence[str]) -> int:
    """Does what a command line asks.

    Args:
      argv: the arguments, without the program's name.

    Returns:
      The exit status: 0, or 2 after one line on stderr about a mistake of the user.

    Raises:
      SystemExit: after --help (0); where training diverged or the folder can be written no more
        (1); 128 + the signal's number where one came while it trained.
    """
    return exit_status(_run, argv)


def _run(argv: Sequence[str]) -> None:
    arguments, overrides = _parse(argv)
    config = load_config(arguments.config, overrides)
    workdir = _workdir(arguments)
    with _with_others(arguments):
        _do(arguments, config, workdir)


def _with_others(arguments: argparse.Namespace) -> AbstractContextManager[None]:
    """What joins the processes that the flags speak of; nothing where they speak of none."""
    meeting = (arguments.coordinator, arguments.num_processes, arguments.process_id)
    if not arguments.distributed and meeting == (None, None, None):
        return nullcontext()
    from crnn_jax.distributed.processes import distributed_session

    return distributed_session(*meeting)


def _do(arguments: argparse.Namespace, config: ConfigDict | None, workdir: Path) -> None:
    from crnn_jax.train import run  # brings in JAX: not for --help or a mistyped flag

    if arguments.mode == "evaluate":
        from crnn_jax import evaluate

        evaluate.evaluate(workdir, config, step=arguments.step, as_json=arguments.json)
    elif arguments.mode == "predict":
        from crnn_jax import predict

        predict.predict(
            workdir,
            [user_path(picture) for picture in arguments.pictures],
            split=arguments.split,
            step=arguments.step,
            as_json=arguments.json,
        )
    elif arguments.mode == "figures":
        beside = None if arguments.beside is None else user_path(arguments.beside)
        from crnn_jax import figures

        figures.draw(workdir, config, step=arguments.step, beside=beside)
    else:
        from crnn_jax.train import run

        run.train(workdir, config, profile=arguments.profile)


def _parse(argv: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """Returns the flags, and the arguments --config.field=value apart from them."""
    parser = Parser(
        prog="python -m crnn_jax.main",
        usage="%(prog)s --config=FILE [--config.FIELD=VALUE ...] [FLAG ...] [PICTURE ...]",
        description="Train, evaluate and use networks that read a sequence of images and answer "
        "a question about it.",
        epilog=EXAMPLES,
    )
    add = parser.add_argument_group("flags").add_argument
    add(
        "--config",
        metavar="FILE",
        help="the experiment, any field of which --config.FIELD=VALUE sets; "
        "FILE:smoke shrinks it to a run of seconds",
    )
    add("--workdir", metavar="DIR", help="folder of the run (default: runs/<config name>)")
    modes = ("train", "evaluate", "predict", "figures")
    add("--mode", choices=modes, default="train", help="default: train")
    add("--profile", action="store_true", help="train: write a trace of some steps into DIR")
    add(
        "--step",
        metavar="N",
        default="latest",
        help="evaluate, predict, figures: the checkpoint of step N, best or latest (default)",
    )
    add("--json", action="store_true", help="evaluate, predict: print one JSON object")
    add("--split", action="store_true", help="predict: cut one picture of a row of glyphs apart")
    add("--beside", metavar="DIR", help="figures: another run, whose kernels to compare")
    add(
        "--distributed",
        action="store_true",
        help="train: join the others of this Slurm, MPI, … job",
    )
    add("--coordinator", metavar="HOST:PORT", help="train: or those that meet at process 0, there")
    add("--num_processes", metavar="N", type=int, help="how many they are")
    add("--process_id", metavar="I", type=int, help="which of them this one is, from 0")
    add("pictures", metavar="PICTURE", nargs="*", help="predict: pictures in order, or a folder")
    add("--help", action="help", help="print this")

    overrides = [argument for argument in argv if argument.startswith("--config.")]
    arguments, unknown = parser.parse_known_intermixed_args([a for a in argv if a not in overrides])
    if unknown:
        name = unknown[0].partition("=")[0]
        flag_names = [f"--{flag}" for flag in vars(arguments)]
        raise UserError(f"{name} is no flag{did_you_mean(name, flag_names)}: see --help")
    if arguments.pictures and arguments.mode != "predict":
        raise UserError(
            f"{arguments.pictures[0]!r} is not expected: every argument is a --flag=value, and "
            "pictures are for --mode=predict"
        )
    for flag, modes in (
        ("profile", ("train",)),
        ("step", ("evaluate", "predict", "figures")),
        ("json", ("evaluate", "predict")),
        ("split", ("predict",)),
        ("beside", ("figures",)),
        ("config", ("train", "evaluate", "figures")),
        ("distributed", ("train",)),
        ("coordinator", ("train",)),
        ("num_processes", ("train",)),
        ("process_id", ("train",)),
    ):
        if getattr(arguments, flag) != parser.get_default(flag) and arguments.mode not in modes:
            expected = " or ".join(f"--mode={mode}" for mode in modes)
            raise UserError(f"--{flag} is only for {expected}, not for {arguments.mode}")
    if arguments.mode == "train" and arguments.config is None:
        raise UserError("--config is not given: expected, for example, --config=configs/sum8.py")
    if arguments.distributed and arguments.coordinator is not None:
        raise UserError("--distributed finds its coordinator: leave it or --coordinator out")
    if arguments.mode == "predict" and not arguments.pictures:
        raise UserError("no picture is given: expected, for example, three.png four.jpg")
    return arguments, overrides


def _workdir(arguments: argparse.Namespace) -> Path:
    if arguments.workdir:
        return user_path(arguments.workdir)
    if arguments.workdir is not None or arguments.config is None:
        raise UserError("--workdir is not given: expected, for example, --workdir=runs/sum8")
    path, _, name = arguments.config.partition(":")
    return Path("runs") / "-".join(filter(None, (Path(path).stem, name)))


if __name__ == "__main__":
    # Ctrl-C ends the program at once, and not in a traceback. Training has its own way.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    # Tracing makes millions of objects, hardly one of them garbage: look for it less often.
    gc.set_threshold(10_000)
    # XLA's C++ logs would otherwise speak of CPU features at every start.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    logging.basicConfig(format="%(levelname)s: %(message)s")
    sys.exit(main(sys.argv[1:]))
