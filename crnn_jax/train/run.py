"""A training run, from a checked config to the table of results."""

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import jax
from ml_collections import ConfigDict

from crnn_jax import UserError, evaluate, tasks
from crnn_jax.config import check
from crnn_jax.data.dataset import Dataset
from crnn_jax.distributed import devices, processes
from crnn_jax.model import crnn
from crnn_jax.model.flops import frame_flops
from crnn_jax.runs import folder
from crnn_jax.runs.checkpoint import NotSaved
from crnn_jax.runs.load import load_configured
from crnn_jax.runs.progress import print_table
from crnn_jax.runs.stop import Stopped
from crnn_jax.runs.warm_start import start_from
from crnn_jax.train.batching import check_batching, device_count
from crnn_jax.train.loop import Diverged, sequences_per_second
from crnn_jax.train.loop import train as train_loop


def train(workdir: Path, config: ConfigDict, *, profile: bool) -> None:
    """Trains to the end, tests, and prints the results; or prints those of a complete run.

    Of several processes, the main one alone reads and writes the folder.

    Args:
      workdir: folder of the run; is made.
      config: the experiment.
      profile: whether to write a trace of a few steps to `workdir`/profile.

    Raises:
      UserError: the config, the corpus or the folder cannot be used; what was saved stays.
      SystemExit: status 1 where the loss is not finite, or the folder can be written no more; 128 +
        the signal's number where one came. What was saved before stays.
    """
    devices.keep_compiled_programs()
    check(config)
    cores = devices.core_count()
    devices.use_cores(device_count(config, cores, processes.count()))
    check_batching(config, devices.device_count(), jax.default_backend())
    devices.check_devices()
    with ExitStack() as stack:
        corpus = _training_corpus(workdir, config)
        crnn.build(config.model, tasks.build(config, corpus.info).question)
        if processes.on_main(lambda: _enter(workdir, config, corpus, profile, stack)):
            _print_network(config, corpus)
            evaluate.print_results(_train(workdir, config, corpus, profile=profile), config)


def _training_corpus(workdir: Path, config: ConfigDict) -> Dataset:
    """The corpus of a config; its stand-in for a run that is new, and only if it cannot be had.

    A run goes on with what it began with.
    """
    name = config.data.corpus

    def recorded_corpus() -> str | None:
        folder.check_config(workdir, config)
        return folder.recorded_corpus(workdir)

    recorded = processes.on_main(recorded_corpus)
    begun_with = recorded.partition(":")[0] if recorded else None
    if (begun_with, name, config.data.fallback) == ("optdigits", "mnist", True):
        _say(f"the run in {workdir} began with optdigits in the place of mnist, and keeps to it")
        name = begun_with
    corpus = load_configured(config, name, fallback=config.data.fallback and begun_with is None)
    identity = processes.on_main(lambda: corpus.identity)
    if corpus.identity != identity:
        raise UserError(
            f"process {processes.index()} finds the corpus {corpus.identity}, process 0 "
            f"{identity}: have data_dir and manual_dir lead to the same one on all machines"
        )
    return corpus


def _enter(
    workdir: Path, config: ConfigDict, corpus: Dataset, profile: bool, stack: ExitStack
) -> bool:
    """Makes the folder this run's own until `stack` ends; of a complete run, prints the results.

    Returns:
      Whether there is anything to train.
    """
    folder.check_corpus(workdir, corpus)
    results = folder.read_results(workdir)
    if results is not None:
        _say(f"the run in {workdir} is complete")
        if profile:
            _say("--profile traces training, and nothing is left to train: name another --workdir")
        try:
            if [row["length"] for row in results["lengths"]] != [*config.eval.lengths]:
                _say("it was tested at other eval.lengths: add --mode=evaluate to test at these")
            evaluate.print_results(results, config)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UserError(
                f"{workdir / 'results.json'} is damaged ({type(error).__name__}: {error}): delete "
                "it, and the same command tests the network again"
            ) from error
        return False
    if not (workdir / "checkpoints").is_dir():
        _check_start(config, corpus)
    stack.enter_context(folder.locked(workdir))
    folder.claim(workdir, config, corpus)
    return True


def _train(workdir: Path, config: ConfigDict, corpus: Dataset, *, profile: bool) -> dict[str, Any]:
    """Trains to the end and tests; returns the results, which it writes down."""
    try:
        params, clock = train_loop(config, corpus, workdir, profile=profile)
        results = {
            "corpus": corpus.identity,
            "step": config.train.steps,
            **evaluate.evaluate_test(config, corpus, params),
            "sequences_per_second": sequences_per_second(config, clock),
            "training_seconds": clock.seconds,
        }
        if processes.is_main():
            folder.write_results(workdir, results)
    except Stopped as stopped:
        processes.wait_for_others()  # who leaves before the main one has saved may end it
        _say(str(stopped))
        sys.exit(128 + stopped.signal)
    except (Diverged, NotSaved, OSError) as error:
        _say(f"error: {error}")
        sys.exit(1)
    return results


def _say(line: str) -> None:
    if processes.is_main():
        print(line, file=sys.stderr)


def _check_start(config: ConfigDict, corpus: Dataset) -> None:
    """Checks that the run a new one starts from is there and fits, before anything is written."""
    question = tasks.build(config, corpus.info).question
    network = crnn.build(config.model, question)
    start_from(config.init, crnn.parameter_shapes(network, question))


def _print_network(config: ConfigDict, corpus: Dataset) -> None:
    if not processes.is_main():
        return
    question = tasks.build(config, corpus.info).question
    network = crnn.build(config.model, question)
    shapes = crnn.parameter_shapes(network, question)
    leaves = jax.tree_util.tree_leaves_with_path(shapes["params"])
    rows = [
        (jax.tree_util.keystr(path, simple=True, separator="/"), f"{leaf.shape} = {leaf.size:,}")
        for path, leaf in leaves
    ]
    print_table("parameters", [*rows, ("total", f"{sum(leaf.size for _, leaf in leaves):,}")])
    mean_length = (config.task.min_length + config.task.max_length) / 2
    mean_frames = mean_length * question.steps / config.task.max_length
    flops = frame_flops(config.model, question.frame_shape) * mean_frames
    print_table(
        "one sequence",
        [
            ("frames", f"{mean_frames:g} on average, {corpus.info.name}"),
            ("forward", f"{flops / 1e6:.2f} MFLOP; a training step costs about three times this"),
        ],
    )
