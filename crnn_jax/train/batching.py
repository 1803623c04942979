"""How a run divides its work: steps into dispatches, a batch among devices and micro-batches."""

from ml_collections import ConfigDict

from crnn_jax import UserError, tasks
from crnn_jax.data.dataset import Dataset


def micro_batch_size(config: ConfigDict, devices: int, backend: str) -> int:
    """Sequences that one device encodes at once.

    On a CPU, 32 sequences or fewer: what they need stays near the L2 cache.
    """
    device_batch = config.train.batch_size // devices
    if config.train.micro_batch_size:
        return config.train.micro_batch_size
    if backend != "cpu" or device_batch <= 32:
        return device_batch
    period = _period(config)
    fitting = [n for n in range(period, 33, period) if device_batch % n == 0]
    return fitting[-1] if fitting else device_batch


def device_count(config: ConfigDict, cores: int, processes: int) -> int:
    """How many devices of each process, its cores at most, can share a batch equally."""
    share = (config.train.micro_batch_size or _period(config)) * processes
    shares, rest = divmod(config.train.batch_size, share)
    return 1 if rest else max(n for n in range(1, cores + 1) if shares % n == 0)


def check_batching(config: ConfigDict, devices: int, backend: str) -> None:
    """Check that steps divide into dispatches, and a batch among devices and micro-batches.

    Args:
      config: each of its fields can be used (`config.check`).
      devices: devices of all processes.
      backend: JAX's name of the platform.

    Raises:
      UserError: a value that cannot be used, and what would do.
    """
    _check_batch(config, devices, backend)
    _check_steps(config)


def _check_batch(config: ConfigDict, devices: int, backend: str) -> None:
    batch = config.train.batch_size
    period = _period(config)
    if batch % (devices * period):
        raise UserError(
            f"--config.train.batch_size={batch}: expected a multiple of {devices * period}, "
            f"which is {devices} device(s) x {period} sequences that hold each length equally often"
        )
    micro = micro_batch_size(config, devices, backend)
    if micro % period or batch // devices % micro:
        raise UserError(
            f"--config.train.micro_batch_size={micro}: expected a multiple of {period} that "
            f"divides the {batch // devices} sequences of a device, or 0"
        )


def check_sequences(config: ConfigDict, dataset: Dataset) -> None:
    """Check that there are enough sequences of the user's own for a batch.

    Raises:
      UserError: says how many there are.
    """
    if not tasks.is_stored(config):
        return
    count = len(dataset.train)
    if count < config.train.batch_size:
        raise UserError(
            f"--config.train.batch_size={config.train.batch_size}: {dataset.info.name} has "
            f"{count:,} sequences to train on, expected no larger batch"
        )


def _check_steps(config: ConfigDict) -> None:
    dispatch = config.train.steps_per_dispatch
    fields = {
        "train.steps": config.train.steps,
        "eval.every": config.eval.every,
        "checkpoint.every": config.checkpoint.every,
    }
    for field, steps in fields.items():
        if steps % dispatch:
            raise UserError(
                f"--config.{field}={steps}: expected a multiple of "
                f"train.steps_per_dispatch={dispatch}"
            )


def _period(config: ConfigDict) -> int:
    """The sequences that hold each length equally often; stored ones hold what they hold."""
    if tasks.is_stored(config):
        return 1
    drawn = tasks.COMPOSED[config.task.name].drawn
    return drawn(0, config.task.min_length, config.task.max_length, 1).period
