"""The training loop."""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax
from jax import Array, lax
from ml_collections import ConfigDict

from crnn_jax.data.augment import augment
from crnn_jax.data.dataset import Dataset
from crnn_jax.data.draw import AUGMENTATION, DROPOUT, SCENE, Draw
from crnn_jax.data.feed import FEEDS, Feed, Plan
from crnn_jax.distributed import devices
from crnn_jax.model import crnn
from crnn_jax.runs.warm_start import start_from
from crnn_jax.train import optimizer
from crnn_jax.train.batching import micro_batch_size


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

    def __init__(self, config: ConfigDict, dataset: Dataset) -> None:
        self.config = config
        task = config.task
        self.network = crnn.build(config, digits=len(dataset.info.classes))
        self.draw = Draw(config.seed, task.min_length, task.max_length, len(dataset.train.labels_N))
        self.plan = Plan(
            batch_size=config.train.batch_size,
            devices=devices.device_count(),
            micro_batch_size=micro_batch_size(
                config, devices.device_count(), jax.default_backend()
            ),
            steps_per_dispatch=config.train.steps_per_dispatch,
        )
        self.feed: Feed = FEEDS[config.data.feed](dataset.train, self.draw, self.plan)
        self.optimizer = optimizer.build(config)
        self.lanes = self.draw.lanes(self.plan.micro_batch_size)
        self.example = crnn.example(config, dataset.info.frame_shape)
        self.dispatch = devices.pmap(self._dispatch, self.feed.source_axis)

    def initial_state(self) -> TrainState:
        """The state before the first step, on the default device.

        Raises:
          UserError: the run that `init.workdir` names cannot be read or does not fit.
        """
        state = devices.compile_quickly(jax.jit(self.fresh_state).lower())()
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

        `own` is the device's number, and whether its process is to stop (see
        `devices.device_inputs`). The stop flag is averaged too, so all processes stop together.
        """
        steps_K = jnp.arange(self.plan.steps_per_dispatch)
        return lax.scan(lambda state, k: self._update(state, own, source, k), state, steps_K)

    def _update(
        self, state: TrainState, own: tuple[Array, Array], source: Any, k: Array
    ) -> tuple[TrainState, dict[str, Array]]:
        device, stop = own

        def loss_and_gradient(micro_batch: Array) -> tuple[Array, Any]:
            frames_TxNxHxWxC, labels_TxN = self.feed.micro_batch(
                source, state.step, k, device, micro_batch
            )
            first = self.plan.first_sequence(device, micro_batch)
            return jax.value_and_grad(self._loss)(
                state.params, frames_TxNxHxWxC, labels_TxN, state.step, first
            )

        def accumulate(total: Any, micro_batch: Array) -> tuple[Any, None]:
            return jax.tree.map(jnp.add, total, loss_and_gradient(micro_batch)), None

        nothing = jax.tree.map(jnp.zeros_like, (jnp.zeros(()), state.params))
        micro_batches = jnp.arange(self.plan.micro_batches)
        total, _ = lax.scan(accumulate, nothing, micro_batches)
        total, stops = devices.mean((total, stop))
        share = self.plan.devices / self.plan.batch_size
        loss, gradient = jax.tree.map(lambda x: x * share, total)
        updates, opt_state = self.optimizer.update(gradient, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        metrics = {"loss": loss, "gradient_norm": optax.tree.norm(gradient), "stops": stops}
        return TrainState(state.step + 1, params, opt_state), metrics

    def _loss(
        self, params: Any, frames_TxNxHxWxC: Array, labels_TxN: Array, step: Array, first: Array
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
        frames_FxHxWxC = frames_TxNxHxWxC.reshape(steps * count, *frames_TxNxHxWxC.shape[2:])
        keys_F = jax.vmap(frame_key)(sequences_TxN.reshape(-1), lanes.frame_TxN.reshape(-1))
        frames_FxHxWxC = augment(frames_FxHxWxC, keys_F, self.config.data.augment)
        task = self.network.task
        frames_TxNxHxWxC, starts_TxN, target = task.show(
            frames_FxHxWxC.reshape(frames_TxNxHxWxC.shape),
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
            output = self.network.apply(params, frames_TxNxHxWxC, *given)
        if task.written:
            return jnp.sum(output.loss(target))
        asked_TxN = lanes.real_TxN if self.config.task.every_step else lanes.ends_TxN
        share = lanes.count / asked_TxN.sum()  # sequences to an answer
        return jnp.sum(output.loss(target) * asked_TxN) * share
