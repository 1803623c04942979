"""Everything that knows of several devices: pmap, replication, means."""

import os
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax import Array, lax
from jax.extend.backend import clear_backends
from jax.flatten_util import ravel_pytree
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from crnn_jax import UserError, user_path
from crnn_jax.distributed import processes

AXIS = "devices"

_CACHE, _PLATFORMS = "jax_compilation_cache_dir", "jax_platforms"  # settings of JAX


def core_count() -> int:
    """Cores of the CPU that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on every platform
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def use_cores(count: int) -> None:
    """On a CPU, expose `count` single-threaded devices.

    The layers of one step are too small to divide among threads: two devices with a thread each
    train 1.5 times as fast as one with two threads (benchmarks/NOTES.md). Where the user has set
    `XLA_FLAGS` or `JAX_NUM_CPU_DEVICES`, and where JAX has begun to compute, all stays as it is.
    """
    if "XLA_FLAGS" in os.environ or "JAX_NUM_CPU_DEVICES" in os.environ:
        return
    try:
        jax.config.update("jax_num_cpu_devices", count)
    except RuntimeError:  # JAX has begun to compute
        return
    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"


def keep_compiled_programs() -> None:
    """Turn JAX's persistent compilation cache on, unless the user chose a place for it."""
    if getattr(jax.config, _CACHE) is not None:
        return
    jax.config.update(_CACHE, str(user_path("~/.cache/crnn_jax/compiled")))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)


REPEATABLE = {"xla_gpu_deterministic_ops": True}
"""No atomic additions, and no choice of kernels by timing, which is most of a compilation."""


def compile_step(lowered: jax.stages.Lowered, *, deterministic: bool) -> jax.stages.Compiled:
    """Compile the training step.

    Args:
      lowered: the step.
      deterministic: whether it is to give the same bits in every process on a GPU too. On a CPU it
        does anyway.
    """
    if jax.default_backend() != "gpu":
        return lowered.compile()
    # Kernels that do not wait for each other run side by side.
    options = {"xla_gpu_command_buffer_scheduling_mode": "CONCURRENT"}
    return lowered.compile(compiler_options=options | (REPEATABLE if deterministic else {}))


def compile_quickly(lowered: jax.stages.Lowered) -> jax.stages.Compiled:
    """Compile what runs once or for seconds: on a CPU with fewer of LLVM's passes.

    A network's initial parameters compile in half the time or less, and evaluation runs no slower
    (benchmarks/NOTES.md). On a GPU, no kernels are tried.
    """
    options: dict[str, Any] = {"cpu": {"xla_backend_optimization_level": 1}, "gpu": REPEATABLE}
    return lowered.compile(compiler_options=options.get(jax.default_backend()))


def all_devices() -> list[Any]:
    """The devices of all processes."""
    return jax.devices()


def check_platform() -> None:
    """Check that JAX finds the platform it is told to use.

    Raises:
      UserError: it does not; says what is available.
    """
    try:
        jax.devices()
    except (RuntimeError, AssertionError) as error:  # JAX asserts that there is a GPU
        wanted = getattr(jax.config, _PLATFORMS)
        reason = " ".join(str(error).split()) or "none is found"
        if not wanted:
            raise UserError(f"JAX cannot use its devices ({reason})") from error
        jax.config.update(_PLATFORMS, None)
        available = " or ".join(sorted({device.platform for device in jax.devices()}))
        clear_backends()
        jax.config.update(_PLATFORMS, wanted)
        raise UserError(
            f"JAX_PLATFORMS={wanted} is not available here ({reason}): expected {available}, or "
            "JAX_PLATFORMS unset"
        ) from error


def check_devices() -> None:
    """Check that all processes have as many devices, and can reach each other.

    Raises:
      UserError: they do not.
    """
    processes.check_hosts()
    local = jax.local_device_count()
    if device_count() != processes.count() * local:
        raise UserError(
            f"process {processes.index()} has {local} devices, and all {processes.count()} "
            f"processes together {device_count()}: expected as many in each; leave some out "
            "(JAX_NUM_CPU_DEVICES, CUDA_VISIBLE_DEVICES), or start processes to match"
        )


def pmap(
    step: Callable[[Any, Any, Any], tuple[Any, Any]], source_axis: Any
) -> Callable[[Any, Any, Any], tuple[Any, Any]]:
    """Run `step(state, inputs, source) -> (state, metrics)` on all devices of all processes.

    The state is the same on every device and stays so, with no leading axis (see `replicate`),
    because `step` averages what it learns with `mean`. It is donated: its memory is used again
    for the new state. The mapped function takes `device_inputs()`, or what else `shard` gives, for
    `inputs`.

    Args:
      step: pure. It should hold one collective alone, one call of `mean`: with two, a program for
        CPU devices crashes where it comes from the compilation cache (JAX 0.10.2).
      source_axis: 0 where each local device has its own slice of the source, None where all
        devices share it; or one for each of several sources.
    """
    return jax.pmap(
        step,
        axis_name=AXIS,
        in_axes=(None, 0, source_axis),
        out_axes=None,
        devices=all_devices(),
        donate_argnums=0,
    )


def device_inputs(stop: bool = False) -> tuple[Array, Array]:
    """Each device's number, and 1 where its process is to stop, 0 where it is not."""
    numbers = local_devices()
    return shard((numbers, np.full(numbers.shape, stop, np.float32)))


def shard(tree: Any) -> Any:
    """Give each local device its slice of a pytree of arrays, in the form `pmap` takes."""
    sharding = NamedSharding(_mesh(), PartitionSpec(AXIS))
    return jax.tree.map(lambda x: jax.make_array_from_process_local_data(sharding, x), tree)


def over_local_devices(
    function: Callable[[Any, Any, Any], Any],
) -> Callable[[Any, Any, Any], Any]:
    """Run `function(number, params, data)` on each device of this process; stacks the results.

    `number` counts them from 0; beside it there may be arrays with a slice for each. What each
    device has made, `gather` gives to all.
    """
    mapped = jax.local_devices()
    return jax.pmap(function, axis_name=AXIS, in_axes=(0, None, None), devices=mapped)


def gather(share: Array) -> Array:
    """Inside `over_local_devices`: the shares of all devices, one behind the other."""
    return lax.all_gather(share, AXIS, tiled=True)


def mean(tree: Any) -> Any:
    """Inside `pmap`: the mean over all devices of all processes."""
    # Each array would be a meeting of all devices, or a message of milliseconds between processes.
    flat, restore = ravel_pytree(tree)
    return restore(lax.pmean(flat, AXIS))


def replicate(tree: Any) -> Any:
    """Put a pytree of arrays on every device, in the form `pmap` takes without compiling twice."""
    return jax.device_put(tree, NamedSharding(_mesh(), PartitionSpec()))


def _mesh() -> Mesh:
    return Mesh(np.array(all_devices()), (AXIS,))


def unreplicate(tree: Any) -> Any:
    """A replicated pytree's arrays on the first local device; copies nothing, waits for nothing."""
    return jax.tree.map(lambda x: x.addressable_shards[0].data, tree)


def device_count() -> int:
    """Devices of all processes."""
    return len(all_devices())


def local_devices() -> np.ndarray:
    """Numbers of this process's devices among those of all processes."""
    mine = [device.process_index == jax.process_index() for device in all_devices()]
    return np.flatnonzero(mine).astype(np.int32)
