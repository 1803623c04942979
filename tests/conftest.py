"""What all tests share: 8 simulated CPU devices, strict shapes, and corpora prepared once."""

import os

# Before JAX is imported: it reads these once.
os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=8"
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"

from pathlib import Path

import jax
import numpy as np
import pytest
from absl import flags

from crnn_jax import config
from crnn_jax.data.dataset import load_dataset
from crnn_jax.data.sources.optdigits import read as read_optdigits
from crnn_jax.pictures.glyphs import center_glyph

PROJECT = Path(__file__).parents[1]


@pytest.fixture(scope="session", autouse=True)
def strict(tmp_path_factory):
    jax.config.update("jax_numpy_rank_promotion", "raise")
    jax.config.update("jax_compilation_cache_dir", str(tmp_path_factory.mktemp("compiled")))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
    jax.config.update("jax_disable_most_optimizations", True)  # compiling takes longest
    flags.FLAGS.mark_as_parsed()


@pytest.fixture(scope="module", autouse=True)
def forget_programs():
    """Drops what a file's tests compiled: thousands of programs are more than a process may map."""
    yield
    jax.clear_caches()


@pytest.fixture
def optimized():
    """Compiles as users do: for what runs for long, and for what depends on it."""
    jax.config.update("jax_disable_most_optimizations", False)
    yield
    jax.config.update("jax_disable_most_optimizations", True)


@pytest.fixture(scope="session")
def project():
    """Path of the project's folder."""
    return PROJECT


@pytest.fixture(scope="session")
def load_config():
    """Loads a config of this project as the command line does, by its name or NAME:VARIANT."""

    def load(name):
        stem, colon, variant = name.partition(":")
        return config.load_config(f"{PROJECT / 'configs' / stem}.py{colon}{variant}", [])

    return load


@pytest.fixture(scope="session")
def mnist_dir():
    """Folder of the four official MNIST files; skips where they are not to be had."""
    given = os.environ.get("CRNN_JAX_MANUAL_DIR")
    folder = Path(given) if given else PROJECT.parent / "shared" / "mnist"
    if not (folder / "train-images-idx3-ubyte.gz").exists():
        pytest.skip(f"MNIST's files are not in {folder}: set CRNN_JAX_MANUAL_DIR to their folder")
    return str(folder)


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory):
    """Folder of prepared corpora, shared by all tests."""
    return str(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session")
def optdigits(data_dir):
    """The corpus of real digits that every machine has."""
    return load_dataset("optdigits", data_dir=data_dir, manual_dir="", fallback=False)


@pytest.fixture(scope="session")
def digits():
    """Real digits in MNIST's form: uint8 (50, 28, 28)."""
    images = read_optdigits()["test"].images_IxHxWxC[:50, ..., 0]
    return np.stack([center_glyph(image / np.float32(255)) for image in images])


@pytest.fixture
def tiny_config():
    """A config like configs/sum8.py of a network small enough to compile in seconds."""
    c = config.default()
    c.task.max_length = 4
    c.data.name = "optdigits"
    c.data.augment.shift = 1.0
    c.data.augment.scale = 0.08
    c.model.convs = ((4, 5, True), (8, 3, True))
    c.model.gru_units = (16,)
    c.model.encoder_dropout = c.model.state_dropout = 0.1
    c.train.batch_size = 32
    c.train.steps = 4
    c.train.steps_per_dispatch = 2
    c.train.learning_rate = 3e-3
    c.train.schedule = "one_cycle"
    c.train.weight_decay = 0.4
    c.train.clip_norm = 1.0
    c.eval.every = 4
    c.eval.validation_sequences = 400
    c.eval.test_sequences = 400
    c.checkpoint.every = 4
    return c
