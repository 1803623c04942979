"""A training run, from a checked config to the table of results."""

import contextlib
import json
import sys
from pathlib import Path
from typing import Any

import jax
from ml_collections import ConfigDict

from crnn_jax import UserError, evaluate, say, tasks
from crnn_jax.config import check, differences, is_own
from crnn_jax.data.dataset import STAND_INS, Dataset, DatasetInfo, known_info
from crnn_jax.data.report import short_form
from crnn_jax.distributed import devices, processes
from crnn_jax.model import crnn
from crnn_jax.model.flops import frame_flops
from crnn_jax.model.question import Question
from crnn_jax.runs import record, trees
from crnn_jax.runs.checkpoint import NotSaved
from crnn_jax.runs.folder import RunFolder, read_json, write_json
from crnn_jax.runs.load import load_configured, start_from
from crnn_jax.runs.progress import print_table
from crnn_jax.runs.recorder import Diverged
from crnn_jax.runs.steps import StoredSteps
from crnn_jax.runs.stop import Stopped
from crnn_jax.train.batching import check_batching, check_sequences, device_count
from crnn_jax.train.loop import sequences_per_second
from crnn_jax.train.loop import train as train_loop


def train(workdir: Path, config: ConfigDict, *, profile: bool) -> None:
    """Train to the end, test, and print the results; or print those of a complete run.

    Of several processes, the main one alone reads and writes the folder.

    Args:
      workdir: folder of the run; is made.
      config: the experiment.
      profile: whether to write a trace of a few steps to `workdir`/profile.

    Raises:
      UserError: the config, the data or the folder cannot be used; what was saved stays.
      SystemExit: status 1 where the loss is not finite, or the folder can be written no more; 128 +
        the signal's number where one came. What was saved before stays.
    """
    check_start(config)
    own = is_own(config.data)
    # What does not fit is refused before any data is prepared.
    network = None if own else network_of(config, known_info(config.data.name))
    folder = RunFolder(workdir)
    begun_on = processes.run_on_main(lambda: stored_corpus(folder, config))
    dataset = _dataset(workdir, config, begun_on)
    question, shapes = network or network_of(config, dataset.info)
    check_sequences(config, dataset)

    def is_complete() -> bool:
        if _is_complete(folder, config, dataset, profile=profile):
            return True
        if not folder.checkpoints.is_dir():
            # What a new run starts from must be there and fit.
            start_from(config.init, shapes, tasks.build(config, dataset.info))
        return False

    if processes.run_on_main(is_complete):
        return
    with contextlib.ExitStack() as stack:

        def claim() -> bool:
            stack.enter_context(folder.locked())
            # Another process may have trained there since.
            if is_complete():
                return False
            about = record.describe(dataset.identity, deterministic=config.train.deterministic)
            folder.claim(json.loads(config.to_json()), about)
            _print_network(config, question, shapes, dataset)
            return True

        if not processes.run_on_main(claim):
            return
        results = _train(folder, config, dataset, profile=profile)
    evaluate.print_results(results, config)


def check_start(config: ConfigDict) -> None:
    """Check all that needs no data, and set up the devices.

    Raises:
      UserError: the config cannot be used, or not with these devices.
    """
    devices.keep_compiled_programs()
    check(config)
    devices.use_cores(device_count(config, devices.core_count(), processes.count()))
    devices.check_platform()
    check_batching(config, devices.device_count(), jax.default_backend())
    devices.check_devices()


def network_of(config: ConfigDict, info: DatasetInfo) -> tuple[Question, dict[str, Any]]:
    """What is asked about a data set, and the shapes of the parameters of the network for it.

    Raises:
      UserError: data, task and network do not fit each other.
    """
    question = tasks.build(config, info).question
    return question, crnn.parameter_shapes(crnn.build(config.model, question), question)


def stored_corpus(folder: RunFolder, config: ConfigDict) -> str | None:
    """Identity of the data that the run in a folder is of; None where there is no run yet.

    Raises:
      UserError: the folder cannot be written, or holds a run of another or an unknown config.
    """
    stored = folder.read()
    if stored is None:
        return None
    stored_config, stored_record = stored
    if different := differences(stored_config, config):
        raise UserError(
            f"--workdir={folder.path} holds a run of another config ({'; '.join(different)}): "
            "name another folder, or give that run's config"
        )
    record.check_numerics(stored_record, folder.path)
    corpus = stored_record.get("corpus")
    if not isinstance(corpus, str):
        raise UserError(
            f"{folder.record} is damaged (it names no corpus): name another folder, or delete all "
            f"of {folder.path}"
        )
    return corpus


def _dataset(workdir: Path, config: ConfigDict, begun_on: str | None) -> Dataset:
    """The data of a config; its stand-in for a run that is new, and only if it is not available.

    A run goes on with what it began with, in all processes.
    """
    name = config.data.name
    begun_with = begun_on.partition(":")[0] if begun_on else None
    if name == "mnist" and config.data.fallback and begun_with in STAND_INS:
        _say(f"the run in {workdir} began on {begun_with} in place of mnist, and goes on with it")
        name = begun_with
    dataset = load_configured(config, name, fallback=config.data.fallback and begun_with is None)
    identity = processes.run_on_main(lambda: dataset.identity)
    if dataset.identity != identity:
        raise UserError(
            f"process {processes.index()} finds the data {dataset.identity}, process 0 "
            f"{identity}: have data_dir and manual_dir lead to the same on all machines"
        )
    return dataset


def _is_complete(folder: RunFolder, config: ConfigDict, dataset: Dataset, *, profile: bool) -> bool:
    """Whether nothing is left to train; then the run's results are printed again.

    Else it is checked that the run can go on.
    """
    begun_on = stored_corpus(folder, config)
    if begun_on not in (None, dataset.identity):
        places = "data.path" if is_own(config.data) else "data_dir and manual_dir"
        raise UserError(
            f"--workdir={folder.path} holds a run on the data {begun_on}, not {dataset.identity}: "
            f"name another folder, or have {places} lead to that"
        )
    steps = config.train.steps
    results: dict[str, Any] = {"step": 0}
    if folder.results.exists():
        results = read_json(folder.results)
    saved = StoredSteps(folder.checkpoints).latest_step or 0
    try:
        trained = results.get("trained", results["step"])
        if max(saved, trained) > steps:
            raise UserError(
                f"--config.train.steps={steps}: the run in {folder.path} has trained "
                f"{max(saved, trained)} steps already, expected no fewer"
            )
        if trained == steps or 0 < config.train.patience <= results.get("waited", 0):
            _say(f"the run in {folder.path} is complete")
            if profile:
                _say("--profile traces training: nothing is left to train, name another --workdir")
            tested = {
                "test_sequences": results["n"],
                "seed": results.get("seed", config.eval.seed),  # revision 63bc817 did not say
                "lengths": tuple(row["length"] for row in results["lengths"]),
            }
            if tasks.is_stored(config) and results["n"] == len(dataset.test):  # all there are
                del tested["test_sequences"]
            other = [f"eval.{n}={x}" for n, x in tested.items() if x != config.eval[n]]
            if other:
                _say(
                    f"it was tested with {', '.join(other)}: use --mode=evaluate to test with the "
                    "settings given"
                )
            evaluate.print_results(results, config)
            return True
        if trained and not saved:
            raise UserError(
                f"{folder.results} says {trained} steps, but no checkpoint is left to "
                "resume from: name another --workdir"
            )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(
            f"{folder.results} is damaged ({type(error).__name__}: {error}): delete it, and the "
            "same command tests the network again"
        ) from error
    return False


def _train(
    folder: RunFolder, config: ConfigDict, dataset: Dataset, *, profile: bool
) -> dict[str, Any]:
    """Train to the end and test; returns the results, which it writes down."""
    try:
        found = train_loop(config, dataset, folder.path, profile=profile)
        if found.steps < config.train.steps:
            _say(
                f"no better score in {found.waited:,} evaluations: stopped at step {found.steps:,}"
            )
        waited = {"trained": found.steps, "waited": found.waited} if config.train.patience else {}
        results = {
            "corpus": dataset.identity,
            "step": found.step,
            **waited,
            **evaluate.evaluate_test(config, dataset, found.params),
            "sequences_per_second": sequences_per_second(config, found.clock),
            "training_seconds": found.clock.seconds,
        }
        processes.run_on_main(lambda: write_json(folder.results, results))
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
        say(line)


def _print_network(
    config: ConfigDict, question: Question, shapes: dict[str, Any], dataset: Dataset
) -> None:
    leaves = trees.leaves(shapes["params"])
    rows = [(name, f"{leaf.shape} = {leaf.size:,}") for name, leaf in leaves.items()]
    total = sum(leaf.size for leaf in leaves.values())
    mean_frames = tasks.build(config, dataset.info).mean_frames(dataset.train)
    flops = frame_flops(config.model, question.frame_shape) * mean_frames
    with contextlib.suppress(OSError):  # to be told when the results are printed
        print_table("data", short_form(dataset, config.task.unit))
        print_table("parameters", [*rows, ("total", f"{total:,}")])
        print_table(
            "one sequence",
            [
                ("frames", f"{mean_frames:g} on average"),
                ("forward", f"{flops / 1e6:.2f} MFLOP; a training step costs about three times it"),
            ],
        )
