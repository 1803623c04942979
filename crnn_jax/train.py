"""The training loop."""

import json
import math
import signal
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array, lax
from ml_collections import ConfigDict

from crnn_jax import evaluate, optimizer, parallel, processes
from crnn_jax.checkpoint import Checkpoints
from crnn_jax.clock import Clock
from crnn_jax.data.augment import augment
from crnn_jax.data.corpora import Corpus
from crnn_jax.data.draw import AUGMENTATION, DROPOUT, SCENE, Draw
from crnn_jax.data.feed import FEEDS, Feed, Plan
from crnn_jax.division import micro_batch_size
from crnn_jax.initial import start_from
from crnn_jax.model import crnn
from crnn_jax.progress import Progress
from crnn_jax.stop import Stop, Stopped
from crnn_jax.writer import Writer


class Diverged(Exception):
    """The loss is no longer a finite number; says at which step."""


@flax.struct.dataclass
class TrainState:
    """All that training changes: `step` counts the updates made."""

    step: Array
    params: Any
    opt_state: optax.OptState


class Trainer:
    """A network, its data and its compiled training step, put together from a config.

    Attributes:
      network: the Flax module.
      draw: of the training sequences.
      plan: how a batch is divided.
      feed: how sequences reach the device.
    """

    def __init__(self, config: ConfigDict, corpus: Corpus) -> None:
        self.config = config
        task = config.task
        self.network = crnn.build(config, digits=corpus.num_classes)
        self.draw = Draw(config.seed, task.min_length, task.max_length, len(corpus.train.labels_N))
        self.plan = Plan(
            batch_size=config.train.batch_size,
            devices=parallel.device_count(),
            micro_batch_size=micro_batch_size(
                config, parallel.device_count(), jax.default_backend()
            ),
            steps_per_dispatch=config.train.steps_per_dispatch,
        )
        self.feed: Feed = FEEDS[config.data.feed](corpus.train, self.draw, self.plan)
        self.optimizer = optimizer.build(config)
        self.lanes = self.draw.lanes(self.plan.micro_batch_size)
        self.example = crnn.example(config, corpus.train.images_NxHxW.shape[1:])
        self.dispatch = parallel.pmap(self._dispatch, self.feed.source_axis)

    def initial_state(self) -> TrainState:
        """The state before the first step, on the default device.

        Raises:
          UserError: the run that `init.workdir` names cannot be read or does not fit.
        """
        state = parallel.compile_quickly(jax.jit(self.fresh_state).lower())()
        return state.replace(params=start_from(self.config.init, state.params))

    def fresh_state(self) -> TrainState:
        """The state before the first step of a network that starts from random parameters."""
        nothing = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), self.example)
        params = self.network.init(jax.random.key(self.config.seed), *nothing)
        return TrainState(jnp.zeros((), jnp.int32), params, self.optimizer.init(params))

    def _dispatch(
        self, state: TrainState, own: tuple[Array, Array], source: Any
    ) -> tuple[TrainState, dict[str, Array]]:
        """Several updates; metrics of each, averaged over the global batch.

        `own` is the device's number, and whether its process is to stop (`parallel.inputs`): of
        that too the mean is a metric, so that all processes stop at the same step.
        """
        steps_K = jnp.arange(self.plan.steps_per_dispatch)
        return lax.scan(lambda state, k: self._update(state, own, source, k), state, steps_K)

    def _update(
        self, state: TrainState, own: tuple[Array, Array], source: Any, k: Array
    ) -> tuple[TrainState, dict[str, Array]]:
        device, stop = own

        def loss_and_gradient(micro_batch: Array) -> tuple[Array, Any]:
            frames_TxNxHxW, labels_TxN = self.feed.micro_batch(
                source, state.step, k, device, micro_batch
            )
            first = self.plan.first_sequence(device, micro_batch)
            return jax.value_and_grad(self._loss)(
                state.params, frames_TxNxHxW, labels_TxN, state.step, first
            )

        def accumulate(total: Any, micro_batch: Array) -> tuple[Any, None]:
            return jax.tree.map(jnp.add, total, loss_and_gradient(micro_batch)), None

        nothing = jax.tree.map(jnp.zeros_like, (jnp.zeros(()), state.params))
        micro_batches = jnp.arange(self.plan.micro_batches)
        total, _ = lax.scan(accumulate, nothing, micro_batches)
        total, stops = parallel.mean((total, stop))
        share = self.plan.devices / self.plan.batch_size
        loss, gradient = jax.tree.map(lambda x: x * share, total)
        updates, opt_state = self.optimizer.update(gradient, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        metrics = {"loss": loss, "gradient_norm": optax.tree.norm(gradient), "stops": stops}
        return TrainState(state.step + 1, params, opt_state), metrics

    def _loss(
        self, params: Any, frames_TxNxHxW: Array, labels_TxN: Array, step: Array, first: Array
    ) -> Array:
        """The mean loss of a micro-batch's answers that are asked, times its sequences.

        `first` is the index of the first sequence.
        """
        lanes = self.lanes
        sequences_TxN = first + lanes.sequence_TxN
        key_of_sequence = jax.vmap(self.draw.key, in_axes=(None, 0, None))

        def frame_key(sequence: Array, frame: Array) -> Array:
            return jax.random.fold_in(self.draw.key(step, sequence, AUGMENTATION), frame)

        steps, count = sequences_TxN.shape
        frames_FxHxW = frames_TxNxHxW.reshape(steps * count, *frames_TxNxHxW.shape[2:])
        keys_F = jax.vmap(frame_key)(sequences_TxN.reshape(-1), lanes.frame_TxN.reshape(-1))
        frames_FxHxW = augment(frames_FxHxW, keys_F, self.config.data.augment)
        task = self.network.task
        frames_TxNxHxW, starts_TxN, target = task.show(
            frames_FxHxW.reshape(frames_TxNxHxW.shape),
            labels_TxN,
            lanes.starts_TxN,
            key_of_sequence(step, sequences_TxN[0], SCENE),
        )
        given = (
            starts_TxN,
            key_of_sequence(step, sequences_TxN[0], DROPOUT),
            target if task.written else None,
        )
        if self.config.train.on_labels:
            encoded = self.network.apply(params, labels_TxN, method="encode_labels")
            output = self.network.apply(params, encoded, *given, method="aggregate")
        else:
            output = self.network.apply(params, frames_TxNxHxW[..., None], *given)
        if task.written:
            return jnp.sum(output.loss(target))
        asked_TxN = lanes.real_TxN if self.config.task.every_step else lanes.ends_TxN
        share = lanes.count / asked_TxN.sum()  # sequences to an answer
        return jnp.sum(output.loss(target) * asked_TxN) * share


def train(config: ConfigDict, corpus: Corpus, workdir: Path, *, profile: bool) -> Any:
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
    validate = evaluate.validation(trainer.network, config, corpus)
    with ExitStack() as stack:
        checkpoints, state, clock = _restore_or_start(trainer, workdir / "checkpoints", stack)
        step = int(state.step)
        # The third dispatch, or the last of fewer: by then nothing is compiled any more.
        dispatch_steps = config.train.steps_per_dispatch
        profiled = min(step + 2 * dispatch_steps, config.train.steps - dispatch_steps)
        profile = profile and processes.is_main()
        state = parallel.replicate(state)
        sources = trainer.feed.sources(step)
        source = next(sources)
        lowered = trainer.dispatch.lower(state, parallel.inputs(), source)
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
            state, metrics = dispatch(state, parallel.inputs(stop.signal is not None), source)
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
                    report = validate(parallel.local(state.params))
                    score = report.get("rmse", 1 - report["exact"])
                    loop.report(step, report)
                if checkpoints is not None and (saving or stopping):
                    notes = {
                        "config": json.loads(config.to_json()),
                        "corpus": corpus.identity,
                        "clock": clock.state(),
                    }
                    checkpoints.save(step, parallel.local(state), notes, score)
            if stopping:
                _finish(checkpoints)
                raise Stopped(stop.signal or signal.SIGTERM, step)
        loop.flush()
        clock.stop()
        _finish(checkpoints)
    return parallel.local(state.params), clock


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
        values = {name: np.asarray(x) for name, x in parallel.local(metrics).items()}
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
        self.progress.print(f"step {step} · validation: {score_line(report)}")


def score_line(report: Mapping[str, Any]) -> str:
    """An evaluation's main scores, as people read them."""
    rmse = f"rmse {report['rmse']:.3f} · " if "rmse" in report else ""
    return f"{rmse}exact {report['exact']:.4f}"


def sequences_per_second(config: ConfigDict, clock: Clock) -> float:
    """Sequences trained on a second of training time; NaN where nothing was trained."""
    if not clock.seconds:
        return math.nan
    return clock.steps * config.train.batch_size / clock.seconds
