"""The training loop: dispatch, read the metrics of the dispatch before, evaluate, save, stop."""

import itertools
import json
import math
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from crnn_jax import UserError, evaluate, say
from crnn_jax.data.dataset import Dataset
from crnn_jax.distributed import devices, processes
from crnn_jax.runs.checkpoint import Checkpoints
from crnn_jax.runs.clock import Clock
from crnn_jax.runs.folder import RunFolder
from crnn_jax.runs.recorder import Recorder
from crnn_jax.runs.stop import Stop, Stopped
from crnn_jax.train.trainer import Trainer, TrainState


def train(
    config: ConfigDict, dataset: Dataset, workdir: Path, *, profile: bool
) -> tuple[Any, Clock]:
    """Train from the latest checkpoint in `workdir`, or from the start, to the last step.

    Of several processes, the main one alone reads and writes the folder, which must exist.

    Returns:
      The trained parameters, on the first local device, and the clock.

    Raises:
      Diverged, NotSaved, OSError: training cannot go on; what was saved stays.
      Stopped: a signal came; the state is saved.
      UserError: what is in the folder cannot be used, or the run to start from cannot.
    """
    folder, total = RunFolder(workdir), config.train.steps
    trainer = Trainer(config, dataset)
    validate = evaluate.validation_evaluator(trainer.network, trainer.task, config, dataset)
    with _open_checkpoints(config, folder) as checkpoints:
        state, clock = _restore_or_start(trainer, checkpoints, folder)
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
            stopping = False
            while step < total and not stopping:
                state, metrics = dispatch(state, devices.device_inputs(stop.requested), source)
                step += config.train.steps_per_dispatch
                source = next(sources)
                stopping = stop.agreed(metrics.pop("stops"))
                recorder.take(step, metrics)
                checkpoints.check()
                evaluating = step == total or step % config.eval.every == 0
                saving = stopping or step == total or step % config.checkpoint.every == 0
                if evaluating or saving:
                    recorder.flush()
                    score = None
                    with clock.paused():
                        if evaluating:
                            report = validate(devices.unreplicate(state.params))
                            score = trainer.task.goal(report)
                            recorder.report(step, report, evaluate.score_line(report))
                        if saving:
                            metadata = _metadata(config, dataset, clock)
                            checkpoints.save(step, devices.unreplicate(state), metadata, score)
                recorder.show()  # last: whoever reads along may be gone
            clock.stop()
            checkpoints.close()  # while signals are still noted: one more would lose the save
            if stopping:
                raise Stopped(stop.signal or signal.SIGTERM, step)
    return devices.unreplicate(state.params), clock


def _open_checkpoints(config: ConfigDict, folder: RunFolder) -> Checkpoints:
    kept = {name: config.checkpoint[name] for name in ("keep_latest", "keep_best")}
    return processes.main_only(lambda: Checkpoints(folder.checkpoints, **kept))


def _restore_or_start(
    trainer: Trainer, checkpoints: Checkpoints, folder: RunFolder
) -> tuple[TrainState, Clock]:
    """The state to begin with, and its clock, in all processes."""
    like = jax.eval_shape(trainer.fresh_state)
    found = [jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), like)]

    def read() -> dict[str, Any]:
        if checkpoints.latest_step is None:
            found[0] = trainer.initial_state()
            return Clock().state()
        step, found[0], metadata = checkpoints.restore("latest", like)
        if step % trainer.plan.steps_per_dispatch:
            raise UserError(
                f"--config.train.steps_per_dispatch={trainer.plan.steps_per_dispatch}: expected a "
                f"divisor of {step}, from which the run in {folder.path} resumes"
            )
        say(f"resuming the run in {folder.path} from step {step}")
        return metadata["clock"]

    clock = Clock.from_state(processes.run_on_main(read))
    return processes.broadcast(found[0]), clock


def _metadata(config: ConfigDict, dataset: Dataset, clock: Clock) -> dict[str, Any]:
    """What a checkpoint says besides the state (`crnn_jax.runs.load`)."""
    return {
        "config": json.loads(config.to_json()),
        "dataset": dataset.info.to_json(),
        "clock": clock.state(),
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
