"""The training loop: dispatch, read the metrics of the dispatch before, evaluate, save, stop."""

import functools
import itertools
import json
import math
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from crnn_jax import UserError, evaluate, say
from crnn_jax.config import validation_draw
from crnn_jax.data.dataset import Dataset
from crnn_jax.distributed import devices, processes
from crnn_jax.evaluate.calibration import calibrated
from crnn_jax.runs.checkpoint import Checkpoints
from crnn_jax.runs.clock import Clock
from crnn_jax.runs.folder import RunFolder
from crnn_jax.runs.patience import Patience
from crnn_jax.runs.recorder import Recorder
from crnn_jax.runs.steps import StoredSteps
from crnn_jax.runs.stop import Stop, Stopped
from crnn_jax.train.trainer import Trainer, TrainState


class Trained(NamedTuple):
    """What training leaves.

    Attributes:
      params: the parameters of the last step; with `train.patience`, of the best checkpoint.
      step: whose parameters they are.
      steps: steps trained.
      waited: evaluations without a better score (`Patience`).
      clock: of the training.
    """

    params: Any
    step: int
    steps: int
    waited: int
    clock: Clock


def train(config: ConfigDict, dataset: Dataset, workdir: Path, *, profile: bool) -> Trained:
    """Train from the latest checkpoint in `workdir`, or from the start, to the end.

    That is the last step, or where `train.patience` ends. Of several processes, the main one alone
    reads and writes the folder, which must exist.

    Raises:
      Diverged, NotSaved, OSError: training cannot go on; what was saved stays.
      Stopped: a signal came; the state is saved.
      UserError: what is in the folder cannot be used, or the run to start from cannot.
    """
    folder, total = RunFolder(workdir), config.train.steps
    trainer = Trainer(config, dataset)
    validate = evaluate.validation_evaluator(trainer.network, trainer.task, config, dataset)
    with _open_checkpoints(config, folder) as checkpoints:
        state, clock, patience = _restore_or_start(trainer, checkpoints, folder)
        step = int(state.step)
        state, sources = devices.replicate(state), trainer.feed.sources(step)
        source = next(sources)
        lowered = trainer.dispatch.lower(state, devices.device_inputs(), source)
        checkpoints.get_ready()  # while XLA compiles
        dispatch = devices.compile_step(lowered, deterministic=config.train.deterministic)
        if profile and processes.is_main():
            dispatch = _traced(dispatch, folder, (total - step) // config.train.steps_per_dispatch)
        with Stop() as stop, Recorder(folder, config.train, stop, clock, step) as recorder:
            processes.wait_for_others()  # some may still compile
            clock.start()
            stopping, kept = False, None
            while step < total and not (stopping or patience.is_over):
                state, metrics = dispatch(state, devices.device_inputs(stop.requested), source)
                step += config.train.steps_per_dispatch
                source = next(sources)
                stopping = stop.agreed(metrics.pop("stops"))
                recorder.take(step, metrics)
                checkpoints.check()
                evaluating = step == total or step % config.eval.every == 0
                saving = stopping or step == total or step % config.checkpoint.every == 0
                saving = saving or (evaluating and patience.limit > 0)  # it may be the best
                if evaluating or saving:
                    recorder.flush()
                    score = None
                    with clock.paused():
                        if evaluating:
                            report = validate(devices.unreplicate(state.params))
                            score = trainer.task.goal(report)
                            # Of the main process, for all to stop together.
                            patience.take(processes.run_on_main(functools.partial(float, score)))
                            recorder.report(step, report, evaluate.score_line(report))
                        if saving:
                            metadata = _metadata(config, dataset, clock, patience)
                            kept = devices.unreplicate(state)
                            if not stopping:  # a signal leaves little time
                                kept = kept.replace(params=calibrated(validate, kept.params))
                            checkpoints.save(step, kept, metadata, score)
                recorder.show()  # last: whoever reads along may be gone
            clock.stop()
            checkpoints.close()  # while signals are still noted: one more would lose the save
            if stopping:
                raise Stopped(stop.signal or signal.SIGTERM, step)
    of_step = step
    if kept is None:  # nothing was left to train
        params = calibrated(validate, devices.unreplicate(state.params))
    else:
        params = kept.params
    if patience.limit:
        params, of_step = _best(params, step, folder)
    return Trained(params, of_step, step, patience.waited, clock)


def _open_checkpoints(config: ConfigDict, folder: RunFolder) -> Checkpoints:
    best = max(config.checkpoint.keep_best, config.train.patience > 0)
    latest = config.checkpoint.keep_latest
    return processes.main_only(
        lambda: Checkpoints(folder.checkpoints, keep_latest=latest, keep_best=best)
    )


def _best(params: Any, step: int, folder: RunFolder) -> tuple[Any, int]:
    """Parameters of the best checkpoint and its step, in all processes; else the given ones."""
    found = [params]

    def read() -> int:
        stored = StoredSteps(folder.checkpoints)
        if stored.best_step is None:  # no score was a number
            return step
        best, state, _ = stored.restore("best", {"params": params}, part="params")
        found[0] = state["params"]
        return best

    best = processes.run_on_main(read)
    return processes.broadcast(found[0]), best


def _restore_or_start(
    trainer: Trainer, checkpoints: Checkpoints, folder: RunFolder
) -> tuple[TrainState, Clock, Patience]:
    """The state to begin with, its clock and its patience, in all processes."""
    like = jax.eval_shape(trainer.fresh_state)
    found = [jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), like)]

    def read() -> tuple[dict[str, Any], dict[str, Any] | None]:
        if checkpoints.latest_step is None:
            found[0] = trainer.initial_state()
            return Clock().state(), None
        step, found[0], metadata = checkpoints.restore("latest", like)
        if step % trainer.plan.steps_per_dispatch:
            raise UserError(
                f"--config.train.steps_per_dispatch={trainer.plan.steps_per_dispatch}: expected a "
                f"divisor of {step}, from which the run in {folder.path} resumes"
            )
        say(f"resuming the run in {folder.path} from step {step}")
        # Scores of other validation sequences cannot be compared with those to come.
        drawn_alike = validation_draw(metadata["config"]) == validation_draw(config.to_dict())
        return metadata["clock"], metadata.get("patience") if drawn_alike else None

    config = trainer.config
    clock, patience = processes.run_on_main(read)
    patience = Patience.from_state(config.train.patience, patience)
    return processes.broadcast(found[0]), Clock.from_state(clock), patience


def _metadata(
    config: ConfigDict, dataset: Dataset, clock: Clock, patience: Patience
) -> dict[str, Any]:
    """What a checkpoint says besides the state (`crnn_jax.runs.load`)."""
    return {
        "config": json.loads(config.to_json()),
        "dataset": dataset.info.to_json(),
        "clock": clock.state(),
        "patience": patience.state(),
    }


def _traced(dispatch: Callable[..., Any], folder: RunFolder, calls: int) -> Callable[..., Any]:
    """The same function, which traces its third call, or the last of fewer."""
    numbers = itertools.count(1)

    def traced(*args: Any) -> Any:
        if next(numbers) != min(3, calls):
            return dispatch(*args)
        with jax.profiler.trace(folder.profile):
            return jax.block_until_ready(dispatch(*args))

    return traced


def sequences_per_second(config: ConfigDict, clock: Clock) -> float:
    """Sequences trained on a second of training time; NaN where nothing was trained."""
    if not clock.seconds:
        return math.nan
    return clock.steps * config.train.batch_size / clock.seconds
