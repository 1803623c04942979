"""Everything that knows of several devices or processes: pmap, replication, who does what."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax import Array, lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

AXIS = "devices"


def devices() -> list[jax.Device]:
    """The devices of all processes."""
    return jax.devices()


def pmap(
    step: Callable[[Any, Array, Any], tuple[Any, Any]], source_axis: int | None
) -> Callable[[Any, np.ndarray, Any], tuple[Any, Any]]:
    """Runs `step(state, device, source) -> (state, metrics)` on all devices of all processes.

    The state is the same on every device and stays so, with no leading axis (see `replicate`),
    because `step` averages what it learns with `mean`. It is donated: its memory is used again
    for the new state. The mapped function takes `local_devices()` for `device`.

    Args:
      step: pure; `device` is the device's number among those of all processes.
      source_axis: 0 where each local device has its own slice of the source, None where all
        devices share it.
    """
    return jax.pmap(
        step,
        axis_name=AXIS,
        in_axes=(None, 0, source_axis),
        out_axes=None,
        devices=devices(),
        donate_argnums=0,
    )


def mean(tree: Any) -> Any:
    """Inside `pmap`: the mean over all devices of all processes."""
    return lax.pmean(tree, AXIS)


def replicate(tree: Any) -> Any:
    """Puts a pytree of arrays on every device, in the form `pmap` takes without compiling twice."""
    mesh = Mesh(np.array(devices()), (AXIS,))
    return jax.device_put(tree, NamedSharding(mesh, PartitionSpec()))


def local(tree: Any) -> Any:
    """A replicated pytree's arrays on the first local device; copies nothing, waits for nothing."""
    return jax.tree.map(lambda x: x.addressable_shards[0].data, tree)


def device_count() -> int:
    """Devices of all processes."""
    return len(devices())


def local_devices() -> np.ndarray:
    """Numbers of this process's devices among those of all processes."""
    mine = [device.process_index == jax.process_index() for device in devices()]
    return np.flatnonzero(mine).astype(np.int32)


def is_main_process() -> bool:
    """True in the one process that writes files and speaks to people."""
    return jax.process_index() == 0
