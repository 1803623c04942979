"""The compiled training step: several updates of a network, on all devices."""

import math
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax
from jax import Array, lax
from ml_collections import ConfigDict

from crnn_jax import tasks
from crnn_jax.data.batch import Drawn
from crnn_jax.data.dataset import Dataset
from crnn_jax.data.feed import Feed, Plan
from crnn_jax.distributed import devices
from crnn_jax.model import crnn, optimizer
from crnn_jax.model.flat import Flat
from crnn_jax.runs.load import start_from
from crnn_jax.train.batching import micro_batch_size


@flax.struct.dataclass
class TrainState:
    """All that training changes.

    Attributes:
      step: updates made.
      params: what is evaluated, kept and restored: the parameters, or with `train.ema` the average
        of those after each update so far.
      opt_state: the optimizer's.
      trained: with `train.ema`, the parameters that the optimizer updates; else None.
    """

    step: Array
    params: Any
    opt_state: optax.OptState
    trained: Any = None


class Trainer:
    """A network, its data and its compiled training step, put together from a config.

    Attributes:
      task: what is asked.
      network: the Flax module.
      plan: how a batch is divided.
      feed: how sequences reach the device.
      dispatch: runs several updates on all devices (`devices.pmap`).
    """

    def __init__(self, config: ConfigDict, dataset: Dataset) -> None:
        self.config = config
        self.task = tasks.build(config, dataset.info)
        self.network = crnn.build(config.model, self.task.question)
        self.plan = Plan(
            batch_size=config.train.batch_size,
            devices=devices.device_count(),
            micro_batch_size=micro_batch_size(
                config, devices.device_count(), jax.default_backend()
            ),
            steps_per_dispatch=config.train.steps_per_dispatch,
        )
        self.feed: Feed = self.task.feed(config.data.feed, dataset.train, self.plan, config.seed)
        self.optimizer = optimizer.build(config)
        self.flat: Flat | None = None
        if jax.default_backend() != "cpu":
            params = crnn.parameter_shapes(self.network, self.task.question)
            self.flat = optimizer.flat(config, params)
        self.dispatch = devices.pmap(self._dispatch, self.feed.source_axis)

    def initial_state(self) -> TrainState:
        """The state before the first step, on the default device.

        Raises:
          UserError: the run that `init.workdir` names cannot be read or does not fit.
        """
        state = devices.compile_quickly(jax.jit(self.fresh_state).lower())()
        params = start_from(self.config.init, state.params, self.task)
        return state.replace(params=params, trained=self._copy(params))

    def fresh_state(self) -> TrainState:
        """The state before the first step of a network that starts from random parameters."""
        key = jax.random.key(self.config.seed)
        params = self.network.init(key, *crnn.example(self.task.question))
        opt_state = self.optimizer.init(params)
        return TrainState(jnp.zeros((), jnp.int32), params, opt_state, self._copy(params))

    def _copy(self, params: Any) -> Any:
        """A copy for `TrainState.trained`: the state is donated, no memory may be there twice."""
        return jax.tree.map(jnp.copy, params) if self.config.train.ema else None

    def _dispatch(
        self, state: TrainState, inputs: tuple[Array, Array], source: Any
    ) -> tuple[TrainState, dict[str, Array]]:
        """Several updates; metrics of each, averaged over the global batch.

        Args:
          state: before the first of them.
          inputs: the device's number, and whether its process is to stop
            (`devices.device_inputs`). The stop flag is averaged too, so that all processes stop
            together.
          source: what the feed gives this device for the dispatch.
        """
        steps_J = jnp.arange(self.plan.steps_per_dispatch)
        if self.flat is not None:
            state = self.flat.vectors(state)
        state, metrics = lax.scan(lambda s, k: self._update(s, inputs, source, k), state, steps_J)
        return (state if self.flat is None else self.flat.arrays(state)), metrics

    def _update(
        self, state: TrainState, inputs: tuple[Array, Array], source: Any, k: Array
    ) -> tuple[TrainState, dict[str, Array]]:
        device, stop = inputs
        trained = state.params if state.trained is None else state.trained
        params = trained if self.flat is None else self.flat.arrays(trained)

        def loss_and_gradient(micro_batch: Array) -> tuple[Array, Any]:
            drawn = self.feed.micro_batch(source, state.step, k, device, micro_batch)
            return jax.value_and_grad(self._loss)(params, drawn)

        def accumulate(total: Any, micro_batch: Array) -> tuple[Any, None]:
            return jax.tree.map(jnp.add, total, loss_and_gradient(micro_batch)), None

        if self.plan.micro_batches == 1:
            total = loss_and_gradient(jnp.int32(0))
        else:
            nothing = jax.tree.map(jnp.zeros_like, (jnp.zeros(()), params))
            micro_batches = jnp.arange(self.plan.micro_batches)
            total, _ = lax.scan(accumulate, nothing, micro_batches)
        total, stops = devices.mean((total, stop))
        share = self.plan.devices / self.plan.batch_size
        loss, gradient = jax.tree.map(lambda x: x * share, total)
        if self.flat is not None:
            gradient = self.flat.vectors(gradient)
        updates, opt_state = self.optimizer.update(gradient, state.opt_state, trained)
        params = optax.apply_updates(trained, updates)
        metrics = {"loss": loss, "gradient_norm": optax.tree.norm(gradient), "stops": stops}
        step, decay = state.step + 1, self.config.train.ema
        if state.trained is None:
            return TrainState(step, params, opt_state), metrics
        # Of t parameters, the newest weighs (1 - decay) / (1 - decay^t): their weights fall by
        # `decay` from one to the one before, and add up to 1 from the first step on.
        weight = (1 - decay) / -jnp.expm1(step * math.log(decay))
        average = jax.tree.map(lambda old, new: old + weight * (new - old), state.params, params)
        return TrainState(step, average, opt_state, params), metrics

    def _loss(self, params: Any, drawn: Drawn) -> Array:
        """The loss (`Task.loss`) of a micro-batch."""
        batch = self.task.training_batch(drawn, self.config.data.augment)
        known = (batch.lanes, drawn.dropout_keys, batch.targets)
        if self.config.train.on_labels:
            encoded = self.network.apply(params, drawn.labels, method="encode_labels")
            output = self.network.apply(params, encoded, *known, method="aggregate")
        else:
            output = self.network.apply(params, batch.frames_TxNxHxWxC, *known)
        return self.task.loss(output, batch)
