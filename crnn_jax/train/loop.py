"""The training loop: dispatch, read the metrics of the dispatch before, evaluate, save, stop."""

import json
import math
import signal
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from crnn_jax import evaluate
from crnn_jax.data.dataset import Dataset
from crnn_jax.distributed import devices, processes
from crnn_jax.runs.checkpoint import Checkpoints
from crnn_jax.runs.clock import Clock
from crnn_jax.runs.metrics import Writer
from crnn_jax.runs.progress import Progress
from crnn_jax.runs.stop import Stop, Stopped
from crnn_jax.train.trainer import Trainer, TrainState


class Diverged(Exception):
    """Raised when the loss or the gradient is no longer finite; names the step."""


def train(config: ConfigDict, corpus: Dataset, workdir: Path, *, profile: bool) -> Any:
    """Trains from the latest checkpoint in `workdir`, or from the start, to the last step.

    Of several processes, the main one alone reads and writes the folder.

    Args:
      config: checked (`crnn_jax.config`).
      corpus: what to train on.
      workdir: folder of the run; it must hold no other run (`workdir.check_config`).
      profile: whether to write a trace of a few steps to `workdir`/profile.

    Returns:
      The trained parameters, on the first local device, and the clock.

    Raises:
      Diverged: the loss is not finite; checkpoints from before stay.
      NotSaved: a checkpoint cannot be written; those from before stay.
      Stopped: a signal came; the state is saved.
      OSError: the metrics cannot be written.
      UserError: no checkpoint in the folder is good, or the run to start from cannot be used.
    """
    trainer = Trainer(config, corpus)
    validate = evaluate.validation_evaluator(trainer.network, trainer.task, config, corpus)
    with ExitStack() as stack:
        checkpoints, state, clock = _restore_or_start(trainer, workdir / "checkpoints", stack)
        step = int(state.step)
        # The third dispatch, or the last of fewer: by then nothing is compiled any more.
        dispatch_steps = config.train.steps_per_dispatch
        profiled = min(step + 2 * dispatch_steps, config.train.steps - dispatch_steps)
        profile = profile and processes.is_main()
        state = devices.replicate(state)
        sources = trainer.feed.sources(step)
        source = next(sources)
        lowered = trainer.dispatch.lower(state, devices.device_inputs(), source)
        if checkpoints is not None:
            checkpoints.get_ready()  # while XLA compiles
        dispatch = lowered.compile()
        stop = stack.enter_context(Stop())
        loop = _Loop(config, clock, workdir, step, stack)
        processes.wait_for_others()  # some may still compile
        clock.start()
        while step < config.train.steps:
            if profile and step == profiled:
                jax.profiler.start_trace(str(workdir / "profile"))
            state, metrics = dispatch(state, devices.device_inputs(stop.signal is not None), source)
            if profile and step == profiled:
                jax.block_until_ready(metrics)
                jax.profiler.stop_trace()
            step += dispatch_steps
            source = next(sources)
            stopping = loop.read(step, metrics)
            if processes.count() == 1:  # need not hear of it from the devices
                stopping = stop.signal is not None
            if checkpoints is not None:
                checkpoints.check()
            last = step == config.train.steps
            evaluating = last or step % config.eval.every == 0
            saving = last or step % config.checkpoint.every == 0
            if not (evaluating or saving or stopping):
                continue
            stopping = loop.flush() or stopping
            with clock.paused():
                score = None
                if evaluating:
                    report = validate(devices.unreplicate(state.params))
                    score = trainer.task.goal(report)
                    loop.report(step, report)
                if checkpoints is not None and (saving or stopping):
                    notes = {
                        "config": json.loads(config.to_json()),
                        "corpus": corpus.identity,
                        "clock": clock.state(),
                    }
                    checkpoints.save(step, devices.unreplicate(state), notes, score)
            if stopping:
                _finish(checkpoints)
                raise Stopped(stop.signal or signal.SIGTERM, step)
        loop.flush()
        clock.stop()
        _finish(checkpoints)
    return devices.unreplicate(state.params), clock


def _finish(checkpoints: Checkpoints | None) -> None:
    """Ends the save in flight while signals are still noted: one more would lose it."""
    if checkpoints is not None:
        checkpoints.close()


def _restore_or_start(
    trainer: Trainer, folder: Path, stack: ExitStack
) -> tuple[Checkpoints | None, TrainState, Clock]:
    """The main process's checkpoints; the state to begin with, and its clock, in all processes."""
    like = jax.eval_shape(trainer.fresh_state)
    state = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), like)
    checkpoints = None
    settings = trainer.config.checkpoint

    def read() -> dict[str, Any]:
        nonlocal checkpoints, state
        checkpoints = stack.enter_context(
            Checkpoints(folder, keep_latest=settings.keep_latest, keep_best=settings.keep_best)
        )
        if checkpoints.latest_step is None:
            state = trainer.initial_state()
            return Clock().state()
        step, state, notes = checkpoints.restore("latest", like)
        print(f"resuming the run in {folder.parent} from step {step}", file=sys.stderr)
        return notes["clock"]

    clock = Clock.from_state(processes.on_main(read))
    return checkpoints, processes.from_main(state), clock


class _Loop:
    """Reads metrics one dispatch behind, so that the device never waits for the host.

    In the main process they are written and shown.
    """

    def __init__(
        self, config: ConfigDict, clock: Clock, workdir: Path, step: int, stack: ExitStack
    ) -> None:
        self.config, self.clock = config, clock
        self.unread: tuple[int, Any] | None = None
        self.writer = self.progress = None
        if processes.is_main():
            self.writer = stack.enter_context(Writer(workdir, step))
            self.progress = stack.enter_context(Progress(config.train.steps, step))

    def read(self, step: int, metrics: Any) -> bool:
        """Takes in the metrics of the dispatch that ended at `step`; writes those before.

        Returns:
          Whether a process was to stop when the dispatch before began.
        """
        stopping = self.flush()
        self.unread = (step, metrics)
        return stopping

    def flush(self) -> bool:
        """Waits for the metrics not yet read and writes them; returns what `read` does."""
        if self.unread is None:
            return False
        step, metrics = self.unread
        self.unread = None
        values = {name: np.asarray(x) for name, x in devices.unreplicate(metrics).items()}
        losses_K, stopping = values["loss"], bool(values.pop("stops").any())
        gradients_K = values["gradient_norm"]  # may be infinite where the loss is not yet
        finite_K = np.isfinite(losses_K) & np.isfinite(gradients_K)
        if not finite_K.all():
            k = int(np.argmin(finite_K))
            what = f"gradient norm is {gradients_K[k]}"
            if not np.isfinite(losses_K[k]):
                what = f"loss is {losses_K[k]}"
            raise Diverged(
                f"the {what} at step {step - len(losses_K) + 1 + k}; the checkpoints from before "
                "are kept. Try a lower train.learning_rate or train.clip_norm"
            )
        self.clock.tick(len(losses_K))
        means = {name: float(np.mean(x, dtype=np.float64)) for name, x in values.items()}
        if self.writer is not None:
            self.writer.write(step, means)
            self.progress.update(
                step,
                loss=means["loss"],
                rate=self.clock.rate * self.config.train.batch_size,
                seconds_left=self.clock.remaining(self.config.train.steps),
            )
        return stopping

    def report(self, step: int, report: dict[str, Any]) -> None:
        """Writes and prints an evaluation."""
        if self.writer is None:
            return
        names = [name for name in ("rmse", "mae", "exact") if name in report]
        self.writer.write(step, {f"validation_{name}": report[name] for name in names})
        self.progress.print(f"step {step} · validation: {evaluate.score_line(report)}")


def sequences_per_second(config: ConfigDict, clock: Clock) -> float:
    """Sequences trained on a second of training time; NaN where nothing was trained."""
    if not clock.seconds:
        return math.nan
    return clock.steps * config.train.batch_size / clock.seconds
