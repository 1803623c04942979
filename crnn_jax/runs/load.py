"""Reading runs back: a trained network, its data, and parameters to start another one from."""

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import jax
from ml_collections import ConfigDict

from crnn_jax import UserError, say, tasks, user_path
from crnn_jax.config import check, differences, is_own, read_config
from crnn_jax.data.dataset import Dataset, DatasetInfo, as_images, known_info, load_dataset
from crnn_jax.distributed import devices
from crnn_jax.model import crnn
from crnn_jax.model.crnn import CRNN
from crnn_jax.runs import trees
from crnn_jax.runs.alphabet import carried, changes
from crnn_jax.runs.folder import RunFolder
from crnn_jax.runs.steps import StoredSteps, Which
from crnn_jax.tasks.task import Task


@dataclasses.dataclass(frozen=True)
class Restored:
    """A network with its parameters, and what is known of its training.

    Attributes:
      config: the run's.
      dataset: what it was trained on.
      step: updates made.
      task: what is asked.
      network: the Flax module.
      params: its parameters, NumPy arrays.
    """

    config: ConfigDict
    dataset: DatasetInfo
    step: int
    task: Task
    network: CRNN
    params: Any


def restore(workdir: Path, which: Which = "latest") -> Restored:
    """Read one checkpoint of a run, with the config stored in it.

    Args:
      workdir: folder of a run.
      which: "latest", "best" or a step.

    Raises:
      UserError: the folder holds no run, or not this checkpoint, or its config is of another
        version of this program.
    """
    devices.check_platform()
    steps = _stored_steps(workdir)
    if steps is None:
        raise UserError(f"no run in {workdir}: expected the --workdir of a run")
    step, state, metadata = steps.restore(which, part="params")
    where = f"the run in {workdir}"
    config, info = read_metadata(metadata, where)
    task = tasks.build(config, info)
    network = crnn.build(config.model, task.question)
    params = state["params"]
    if different := trees.difference(params, crnn.parameter_shapes(network, task.question)):
        raise UserError(
            f"{where}: the parameters of step {step} are not those of its config ({different}): "
            "expected a run of this version"
        )
    return Restored(config, info, step, task, network, params)


def read_metadata(metadata: dict[str, Any], where: str) -> tuple[ConfigDict, DatasetInfo]:
    """The config and the data set that a checkpoint's metadata speaks of.

    Args:
      metadata: as it was read from JSON, of any content.
      where: what errors call the run.

    Raises:
      UserError: one of them is missing or unknown to this version.
    """
    match metadata:
        case {"config": dict(fields), "dataset": dict(info)}:
            try:
                dataset = DatasetInfo.from_json(info)
            except (TypeError, KeyError) as error:
                raise UserError(f"{where} does not describe its data set ({error})") from error
        case {"config": dict(fields), "corpus": str(identity)}:  # revision 63bc817
            try:
                dataset = known_info(identity)
            except UserError as error:
                raise UserError(f"{where}: {error}") from error
        case _:
            raise UserError(f"{where} has no checkpoint of this program: its config is missing")
    return read_config(fields, f"the config of {where}"), dataset


def start_from(init: ConfigDict, params: Any, task: Task | None = None) -> Any:
    """Parameters of which a part is another run's.

    Of a head for lines, what is known of each symbol is taken, and it is said which are new.

    Args:
      init: a config's `init` section: workdir, where "" leaves all as it is, and part.
      params: freshly initialized; or their shapes, of which nothing is said.
      task: what is asked; None if not about lines.

    Raises:
      UserError: the folder holds no checkpoint, or its part has other shapes.
    """
    if not init.workdir:
        return params
    flag = f"--config.init.workdir={init.workdir}"
    steps = _stored_steps(user_path(init.workdir))
    if steps is None:
        raise UserError(f"{flag} holds no run: expected the folder of one")
    _, state, metadata = steps.restore("latest", part="params")
    fresh, trained = params["params"], state["params"]["params"]
    names = {*fresh, *trained} if init.part == "all" else {init.part}
    taken = {name: trained[name] for name in names if name in trained}
    replaced = {name: fresh[name] for name in names if name in fresh}
    if "answer_head" in taken and (alphabets := _alphabets(metadata, task)):
        taken["answer_head"] = carried(taken["answer_head"], fresh["answer_head"], *alphabets)
        different = changes(*alphabets)
        if different and not isinstance(jax.tree.leaves(fresh)[0], jax.ShapeDtypeStruct):
            say(f"of the alphabet of {init.workdir}: {different}")
    if different := trees.difference(taken, replaced):
        raise UserError(
            f"{flag}: its {init.part} is of another form ({different}{_form(metadata)}): expected "
            "a run with the same model section, and frames of the same size and channels"
        )
    return {"params": {**fresh, **taken}}


def _alphabets(metadata: dict[str, Any], task: Any) -> tuple[Sequence[str], Sequence[str]] | None:
    """The symbols of a run on lines and of this task; None where either is about other things."""
    try:
        other: Any = tasks.build(*read_metadata(metadata, ""))
    except UserError:
        return None
    if not task or not other.question.kind == task.question.kind == "line":
        return None
    return other.vocabulary, task.vocabulary


def _form(metadata: dict[str, Any]) -> str:
    """What a run's encoder follows from, in words that begin with "; "; "" where not known."""
    try:
        config, info = read_metadata(metadata, "")
        shape = "x".join(map(str, tasks.build(config, info).question.frame_shape))
    except UserError:
        return ""
    names = ("convs", "dense", "class_bottleneck")
    fields = ", ".join(f"model.{name}={config.model[name]}" for name in names)
    return f"; that run has frames of {shape} and {fields}"


def _stored_steps(workdir: Path) -> StoredSteps | None:
    """The checkpoints of a run; None where there is no run."""
    folder = RunFolder(workdir).checkpoints
    # False too where the name is too long, which Path raises.
    return StoredSteps(folder) if os.path.isdir(folder) else None


def parse_step(step: str) -> Literal["latest", "best"] | int:
    """A --step of the command line.

    Raises:
      UserError: it is none.
    """
    if step == "latest" or step == "best":
        return step
    if not (step.isascii() and step.isdecimal()):
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
    """The data set of this name, from where a config says that it lies; or the user's own.

    Raises:
      UserError: see `load_dataset` and `load_own`.
    """
    if is_own(config.data):
        return _own(config)
    return load_dataset(
        name,
        data_dir=config.data.data_dir,
        manual_dir=config.data.manual_dir,
        fallback=fallback,
    )


def _own(config: ConfigDict) -> Dataset:
    """The user's own data; as labelled images, where the task composes sequences of them."""
    from crnn_jax.data.prepare import load_own  # imports much of what reads files

    dataset = load_own(config, tasks.wanted_answer(config))
    return dataset if tasks.is_stored(config) else as_images(dataset)


def dataset_of(restored: Restored, config: ConfigDict, workdir: Path) -> Dataset:
    """The data set that a network was trained on.

    Args:
      restored: the network.
      config: its `data` section says where the data lies.
      workdir: what errors call the run.

    Raises:
      UserError: what lies there is another one, or see `load_dataset`.
    """
    dataset = load_configured(config, restored.dataset.name, fallback=False)
    if dataset.identity != restored.dataset.identity:
        raise UserError(
            f"the run in {workdir} was trained on {restored.dataset.identity}, not "
            f"{dataset.identity}: point to it with --config=FILE --config.data.data_dir=FOLDER"
        )
    return dataset
