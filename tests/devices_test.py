"""Devices: replication, averaging, who does what."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from crnn_jax import UserError
from crnn_jax.distributed import devices, processes


def test_mean_is_over_all_devices_and_the_state_stays_replicated():
    def step(state, device, source):
        mean = devices.mean(source * (device + 1))
        return state + mean, {"mean": mean}

    run = devices.pmap(step, source_axis=0)
    state = devices.replicate(jnp.zeros(3))
    sources = np.arange(24, dtype=np.float32).reshape(8, 3)
    expected = np.mean(sources * np.arange(1, 9)[:, None], axis=0)
    for n in range(1, 4):
        state, metrics = run(state, devices.local_devices(), sources)
        assert state.shape == (3,)
        assert state.is_fully_replicated
        for shard in state.addressable_shards:
            np.testing.assert_allclose(shard.data, n * expected)
    np.testing.assert_allclose(devices.unreplicate(metrics)["mean"], expected)


def test_a_shared_source_is_whole_on_every_device():
    def step(state, device, source):
        return state, {"sum": devices.mean(jnp.sum(source) * (device == 7))}

    run = devices.pmap(step, source_axis=None)
    source = devices.replicate(jnp.arange(5.0))
    _, metrics = run(devices.replicate(jnp.zeros(())), devices.local_devices(), source)
    assert devices.unreplicate(metrics)["sum"] == 10 / 8


def test_the_state_is_donated():
    run = devices.pmap(lambda state, device, source: (state + 1, {}), source_axis=None)
    state = devices.replicate(jnp.zeros(1000))
    run(state, devices.local_devices(), devices.replicate(jnp.zeros(())))
    assert state.is_deleted()


def test_local_takes_the_first_device_without_a_copy():
    tree = devices.replicate({"a": jnp.arange(4)})
    mine = devices.unreplicate(tree)["a"]
    assert mine.devices() == {jax.local_devices()[0]}
    assert (
        mine.unsafe_buffer_pointer() == tree["a"].addressable_shards[0].data.unsafe_buffer_pointer()
    )


def test_one_process_has_all_devices_and_is_the_main_one():
    assert devices.local_devices().tolist() == list(range(8))
    assert devices.device_count() == 8
    assert processes.is_main()
    assert (processes.index(), processes.count()) == (0, 1)


def test_processes_have_as_many_devices(monkeypatch):
    devices.check_devices()
    monkeypatch.setattr(processes, "count", lambda: 2)
    monkeypatch.setattr(devices, "device_count", lambda: 8 + 4)
    with pytest.raises(UserError, match=r"process 0 has 8 devices, .* 2 processes together 12: "):
        devices.check_devices()


@pytest.mark.parametrize(
    ("given", "before", "devices"),
    [
        ({}, "pass", 3),
        ({}, "jax.devices()", 1),
        ({"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}, "pass", 2),
        ({"JAX_NUM_CPU_DEVICES": "2"}, "pass", 2),
    ],
    ids=["a device for each core", "JAX has begun", "XLA_FLAGS", "JAX_NUM_CPU_DEVICES"],
)
def test_cores_become_devices_unless_the_user_has_said_otherwise(given, before, devices, project):
    program = (
        f"import jax; from crnn_jax.distributed import devices; {before}; devices.use_cores(3)"
    )
    child = subprocess.run(
        [sys.executable, "-c", f"{program}\nprint(jax.device_count())"],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": "", "PYTHONPATH": str(project), "JAX_PLATFORMS": "cpu", **given},
    )
    assert int(child.stdout) == devices


@pytest.mark.parametrize(
    ("backend", "step", "deterministic_step", "quickly"),
    [
        ("cpu", None, None, {"xla_backend_optimization_level": 1}),
        ("tpu", None, None, None),
        (
            "gpu",
            {"xla_gpu_command_buffer_scheduling_mode": "CONCURRENT"},
            {
                "xla_gpu_command_buffer_scheduling_mode": "CONCURRENT",
                "xla_gpu_deterministic_ops": True,
            },
            {"xla_gpu_deterministic_ops": True},
        ),
    ],
)
def test_what_is_compiled_how(backend, step, deterministic_step, quickly, monkeypatch):
    """And XLA knows every option, on a CPU too."""
    lowered = jax.jit(lambda x: x + 1).lower(1.0)
    given = []

    class Noted:
        def compile(self, compiler_options=None):
            given.append(compiler_options)
            return lowered.compile(compiler_options=compiler_options)

    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    programs = [
        devices.compile_step(Noted(), deterministic=False),
        devices.compile_step(Noted(), deterministic=True),
        devices.compile_quickly(Noted()),
    ]
    assert given == [step, deterministic_step, quickly]
    assert [float(program(1.0)) for program in programs] == [2.0, 2.0, 2.0]
