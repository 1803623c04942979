"""A trained network, read back from a run's folder."""

import dataclasses
import os
from pathlib import Path
from typing import Any, Literal

from ml_collections import ConfigDict

from crnn_jax.runs.checkpoint import Checkpoints
from crnn_jax.config import check, differences, read_config
from crnn_jax.data.dataset import Dataset, DatasetInfo, known_info, load_dataset
from crnn_jax import UserError, tasks
from crnn_jax.runs.warm_start import shapes
from crnn_jax.model import crnn
from crnn_jax.model.crnn import CRNN
from crnn_jax.tasks.task import Task


@dataclasses.dataclass(frozen=True)
class Restored:
    """A network with its parameters, and what is known of its training.

    Attributes:
      config: the run's.
      corpus: identity of the corpus it was trained on.
      step: updates made.
      task: what is asked.
      network: the Flax module.
      params: its parameters, NumPy arrays.
    """

    config: ConfigDict
    corpus: str
    step: int
    task: Task
    network: CRNN
    params: Any

    @property
    def dataset(self) -> DatasetInfo:
        """What is known of the corpus."""
        return known_info(self.corpus)


def restore(workdir: Path, which: Literal["latest", "best"] | int = "latest") -> Restored:
    """Reads one checkpoint of a run, with the config stored in it.

    Args:
      workdir: folder of a run.
      which: "latest", "best" or a step.

    Raises:
      UserError: the folder holds no run, or not this checkpoint, or its config is of another
        version of this program.
    """
    folder = workdir / "checkpoints"
    if not os.path.isdir(folder):  # False too where the name is too long, which Path raises
        raise UserError(f"no run in {workdir}: expected the --workdir of a run")
    with Checkpoints.open_to_read(folder) as checkpoints:
        step, state, notes = checkpoints.restore(which, like=None)
    match state, notes:
        case {"params": params}, {"config": dict(fields), "corpus": str(corpus)}:
            config = read_config(fields, f"the config of the run in {workdir}")
        case _:
            raise UserError(f"step {step} in {folder} is no checkpoint of this program")
    try:
        info = known_info(corpus)
    except UserError as error:
        raise UserError(f"the run in {workdir}: {error}") from error
    task = tasks.build(config, info)
    network = crnn.build(config.model, task.question)
    if shapes(params) != shapes(crnn.parameter_shapes(network, task.question)):
        raise UserError(
            f"the parameters of step {step} in {folder} are not those of its config: expected a "
            "run of this version"
        )
    return Restored(config, corpus, step, task, network, params)


def parse_step(step: str) -> Literal["latest", "best"] | int:
    if step in ("latest", "best"):
        return step
    if not step.isdecimal():
        raise UserError(f"--step={step}: expected latest, best or a number")
    return int(step)


def config_of(restored: Restored, config: ConfigDict | None, workdir: Path) -> ConfigDict:
    """The given config, which must be the run's but for where the data lies; or the run's own."""
    if config is None:
        return restored.config
    if different := differences(restored.config.to_dict(), config):
        raise UserError(
            f"--config differs from that of the run in {workdir} ({'; '.join(different)}): "
            "leave --config out to go by the run's own"
        )
    check(config)
    return config


def load_configured(config: ConfigDict, name: str, *, fallback: bool) -> Dataset:
    return load_dataset(
        name,
        data_dir=config.data.data_dir,
        manual_dir=config.data.manual_dir,
        fallback=fallback,
    )


def corpus_of(restored: Restored, config: ConfigDict, workdir: Path) -> Dataset:
    """The corpus that a network was trained on.

    Args:
      restored: the network.
      config: its `data` section says where the corpus lies.
      workdir: what errors call the run.

    Raises:
      UserError: what lies there is another corpus, or see `load_corpus`.
    """
    corpus = load_configured(config, restored.dataset.name, fallback=False)
    if corpus.identity != restored.corpus:
        raise UserError(
            f"the checkpoint in {workdir} is of the corpus {restored.corpus}, not "
            f"{corpus.identity}: say where that lies (--config=FILE --config.data.data_dir=FOLDER)"
        )
    return corpus
