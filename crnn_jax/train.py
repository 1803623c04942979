"""The training loop."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array, lax
from ml_collections import ConfigDict

from crnn_jax import evaluate, optimizer, parallel
from crnn_jax.checkpoint import Checkpoints
from crnn_jax.clock import Clock
from crnn_jax.config import micro_batch_size
from crnn_jax.data.augment import augment
from crnn_jax.data.corpora import Corpus
from crnn_jax.data.draw import AUGMENTATION, DROPOUT, SCENE, Draw
from crnn_jax.data.feed import FEEDS, Feed, Plan
from crnn_jax.initial import start_from
from crnn_jax.model import crnn
from crnn_jax.progress import Progress
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
        state = jax.jit(self.fresh_state)()
        return state.replace(params=start_from(self.config.init, state.params))

    def fresh_state(self) -> TrainState:
        """The state before the first step of a network that starts from random parameters."""
        nothing = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), self.example)
        params = self.network.init(jax.random.key(self.config.seed), *nothing)
        return TrainState(jnp.zeros((), jnp.int32), params, self.optimizer.init(params))

    def _dispatch(
        self, state: TrainState, device: Array, source: Any
    ) -> tuple[TrainState, dict[str, Array]]:
        """Several updates; metrics of each, averaged over the global batch."""
        steps_K = jnp.arange(self.plan.steps_per_dispatch)
        return lax.scan(lambda state, k: self._update(state, device, source, k), state, steps_K)

    def _update(
        self, state: TrainState, device: Array, source: Any, k: Array
    ) -> tuple[TrainState, dict[str, Array]]:
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
        loss, gradient = parallel.mean(
            jax.tree.map(lambda x: x * self.plan.devices / self.plan.batch_size, total)
        )
        updates, opt_state = self.optimizer.update(gradient, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        metrics = {"loss": loss, "gradient_norm": optax.tree.norm(gradient)}
        return TrainState(state.step + 1, params, opt_state), metrics

    def _loss(
        self, params: Any, frames_TxNxHxW: Array, labels_TxN: Array, step: Array, first: Array
    ) -> Array:
        """Sum over a micro-batch's sequences of the mean loss of a sequence's answers.

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
        share = lanes.count / asked_TxN.sum()  # of a sequence's answers
        return jnp.sum(output.loss(target) * asked_TxN) * share


def train(config: ConfigDict, corpus: Corpus, workdir: Path, *, profile: bool) -> Any:
    """Trains from the latest checkpoint in `workdir`, or from the start, to the last step.

    Args:
      config: checked (`config.check`).
      corpus: what to train on.
      workdir: folder of the run; it must hold no other run (`workdir.check_config`).
      profile: whether to write a trace of a few steps to `workdir`/profile.

    Returns:
      The trained parameters, on the first local device, and the clock.

    Raises:
      Diverged: the loss is not finite; checkpoints from before stay.
    """
    trainer = Trainer(config, corpus)
    validate = evaluate.validation(trainer.network, config, corpus)
    settings = config.checkpoint
    with Checkpoints(
        workdir / "checkpoints", keep_latest=settings.keep_latest, keep_best=settings.keep_best
    ) as checkpoints:
        state, clock = _restore_or_start(trainer, checkpoints)
        step = int(state.step)
        state = parallel.replicate(state)
        sources = trainer.feed.sources(step)
        with (
            Writer(workdir, step) as writer,
            Progress(config.train.steps, step) as progress,
        ):
            devices = parallel.local_devices()
            source = next(sources)
            dispatch = trainer.dispatch.lower(state, devices, source).compile()
            loop = _Loop(config, clock, writer, progress)
            clock.start()
            while step < config.train.steps:
                if profile and step == _profiled_step(config):
                    jax.profiler.start_trace(str(workdir / "profile"))
                state, metrics = dispatch(state, devices, source)
                if profile and step == _profiled_step(config):
                    jax.block_until_ready(metrics)
                    jax.profiler.stop_trace()
                step += config.train.steps_per_dispatch
                source = next(sources)
                loop.read(step, metrics)
                last = step == config.train.steps
                evaluating = last or step % config.eval.every == 0
                saving = last or step % config.checkpoint.every == 0
                if not (evaluating or saving):
                    continue
                loop.flush()
                with clock.paused():
                    score = None
                    if evaluating:
                        report = validate(parallel.local(state.params))
                        score = report.get("rmse", 1 - report["exact"])
                        loop.report(step, report)
                    if saving:
                        notes = {
                            "config": json.loads(config.to_json()),
                            "corpus": corpus.identity,
                            "clock": clock.state(),
                        }
                        checkpoints.save(step, parallel.local(state), notes, score)
            loop.flush()
            clock.stop()
    return parallel.local(state.params), clock


def _restore_or_start(trainer: Trainer, checkpoints: Checkpoints) -> tuple[TrainState, Clock]:
    if checkpoints.latest_step is None:
        return trainer.initial_state(), Clock()
    _, state, notes = checkpoints.restore("latest", like=jax.eval_shape(trainer.fresh_state))
    return state, Clock.from_state(notes["clock"])


def _profiled_step(config: ConfigDict) -> int:
    """The third dispatch, or the last of fewer: by then nothing is compiled any more."""
    dispatch = config.train.steps_per_dispatch
    return min(2 * dispatch, config.train.steps - dispatch)


class _Loop:
    """Reads metrics one dispatch behind, so that the device never waits for the host."""

    def __init__(
        self, config: ConfigDict, clock: Clock, writer: Writer, progress: Progress
    ) -> None:
        self.config, self.clock, self.writer, self.progress = config, clock, writer, progress
        self.unread: tuple[int, Any] | None = None

    def read(self, step: int, metrics: Any) -> None:
        """Takes in the metrics of the dispatch that ended at `step`; writes those before."""
        self.flush()
        self.unread = (step, metrics)

    def flush(self) -> None:
        """Waits for the metrics not yet read and writes them."""
        if self.unread is None:
            return
        step, metrics = self.unread
        self.unread = None
        values = {name: np.asarray(x) for name, x in parallel.local(metrics).items()}
        losses_K = values["loss"]
        if not np.isfinite(losses_K).all():
            first = step - len(losses_K) + 1 + int(np.argmin(np.isfinite(losses_K)))
            raise Diverged(
                f"the loss is {losses_K[first - step - 1]} at step {first}; the checkpoints from "
                "before are kept. Try a lower train.learning_rate or train.clip_norm"
            )
        self.clock.tick(len(losses_K))
        means = {name: float(np.mean(x, dtype=np.float64)) for name, x in values.items()}
        rate = self.clock.rate * self.config.train.batch_size
        if parallel.is_main_process():
            self.writer.write(step, means)
            self.progress.update(
                step,
                loss=means["loss"],
                rate=rate,
                seconds_left=self.clock.remaining(self.config.train.steps),
            )

    def report(self, step: int, report: dict[str, Any]) -> None:
        """Writes and prints an evaluation."""
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
