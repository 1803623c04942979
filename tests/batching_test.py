"""How a run divides its work: what fits, in what words it does not, what is chosen by itself."""

import pytest

from crnn_jax import UserError
from crnn_jax.train.batching import check_batching, device_count, micro_batch_size


def test_batch_size_must_fit_devices_and_lengths(tiny_config):
    tiny_config.train.batch_size = 24  # 4 lengths
    check_batching(tiny_config, 1, "cpu")
    check_batching(tiny_config, 2, "cpu")
    with pytest.raises(
        UserError, match=r"batch_size=24: expected a multiple of 16, .* 4 device\(s\) x 4 seq"
    ):
        check_batching(tiny_config, 4, "cpu")
    tiny_config.task.max_length = 3  # lanes of whole sequences need each of 3 lengths twice
    check_batching(tiny_config, 4, "cpu")
    with pytest.raises(UserError, match=r"batch_size=24: expected a multiple of 18"):
        check_batching(tiny_config, 3, "cpu")


@pytest.mark.parametrize(
    ("micro", "fits"), [(0, True), (4, True), (8, True), (6, False), (16, False)]
)
def test_micro_batch_size_must_fit_lengths_and_divide_a_devices_share(tiny_config, micro, fits):
    tiny_config.train.batch_size = 48
    tiny_config.train.micro_batch_size = micro
    if fits:
        check_batching(tiny_config, 2, "cpu")
        return
    with pytest.raises(UserError, match=f"micro_batch_size={micro}: expected a multiple of 4 that"):
        check_batching(tiny_config, 2, "cpu")


@pytest.mark.parametrize("field", ["train.steps", "eval.every", "checkpoint.every"])
def test_steps_must_be_whole_dispatches(tiny_config, field):
    section, name = field.split(".")
    tiny_config[section][name] = 7
    with pytest.raises(UserError, match=rf"^--config\.{field}=7: .*steps_per_dispatch=2$"):
        check_batching(tiny_config, 1, "cpu")


@pytest.mark.parametrize(
    ("batch", "devices", "backend", "expected"),
    [
        (64, 1, "cpu", 32),
        (32, 8, "cpu", 4),
        (192, 1, "cpu", 32),
        (144, 1, "cpu", 24),
        (268, 1, "cpu", 4),
        (192, 1, "gpu", 192),
    ],
)
def test_micro_batch_size_chosen_by_itself(tiny_config, batch, devices, backend, expected):
    tiny_config.train.batch_size = batch
    assert micro_batch_size(tiny_config, devices, backend) == expected
    check_batching(tiny_config, devices, backend)


@pytest.mark.parametrize(
    ("batch", "micro", "cores", "processes", "devices"),
    [
        (64, 0, 1, 1, 1),
        (64, 0, 2, 1, 2),
        (64, 0, 6, 1, 4),
        (64, 0, 99, 1, 8),
        (64, 16, 8, 1, 4),
        (60, 0, 8, 1, 1),
        (64, 0, 8, 2, 4),
        (64, 0, 8, 3, 1),
    ],
)
def test_a_batch_is_shared_equally_by_as_many_cores_as_can(
    batch, micro, cores, processes, devices, load_config
):
    config = load_config("sum8")
    config.train.batch_size, config.train.micro_batch_size = batch, micro
    assert device_count(config, cores, processes) == devices
