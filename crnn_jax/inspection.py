"""Looking at data before training on it: what was understood, what is wrong, and examples."""

import json
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
from ml_collections import ConfigDict

from crnn_jax import UserError, tasks, user_path
from crnn_jax.config import is_own
from crnn_jax.data.dataset import Dataset, DatasetInfo, as_images
from crnn_jax.data.epochs import Epochs
from crnn_jax.data.packing import pack
from crnn_jax.data.prepare import prepare
from crnn_jax.data.report import facts_of, parts_of, tables
from crnn_jax.data.sequences import Sequences
from crnn_jax.data.sources.layouts import list_clips
from crnn_jax.data.sources.listing import Problem
from crnn_jax.distributed import devices
from crnn_jax.figures.contact import draw_contact
from crnn_jax.figures.saving import pixels, write_png
from crnn_jax.runs.folder import RunFolder
from crnn_jax.runs.load import load_configured
from crnn_jax.runs.progress import print_table
from crnn_jax.train import run
from crnn_jax.train.batching import check_sequences, micro_batch_size

_LARGE = 2**30  # bytes of frames from which on streaming is named


def inspect(config: ConfigDict, workdir: Path, command: Sequence[str], *, as_json: bool) -> None:
    """Print what a config's data holds and all that is wrong with it, and draw examples.

    The data is prepared, as training does. The examples are drawn into
    `workdir`/figures/data.png.

    Args:
      config: of the run.
      workdir: folder of the run; is made.
      command: that trains on this data.
      as_json: whether to print one JSON object instead of tables.

    Raises:
      UserError: something must be mended before training (after all else is printed), or no clip
        can be read.
    """
    run.check_start(config)
    info, parts, problems, origin = _read(config)
    problems = [*problems, *_misfits(config, info, parts, problems)]
    in_order = sorted(problems, key=lambda problem: not problem.fatal)
    fatal = sum(problem.fatal for problem in problems)
    if not any(map(len, parts.values())):
        if not as_json:
            print_table("problems", [(problem.name, problem.what) for problem in in_order])
        raise UserError(_demand(in_order, fatal))
    facts = facts_of(info, parts, config.task.unit)
    memory = _memory(facts["bytes"], config.data.feed)
    facts["origin"] = origin
    facts["training"] = {"memory": memory, **_lanes(config, parts["train"])}
    facts["problems"] = [problem._asdict() for problem in in_order]
    facts["examples"] = str(_draw(info, parts, workdir))
    facts["command"] = "" if fatal else shlex.join(command)
    if as_json:
        print(json.dumps(facts))
    else:
        for title, rows in tables(facts):
            print_table(title, rows)
        print(f"\nexamples: {facts['examples']}")
    if fatal:
        raise UserError(_demand(in_order, fatal))
    if not as_json:
        print(f"ready to train: {facts['command']}")


def _demand(problems: Sequence[Problem], fatal: int) -> str:
    first = f"{problems[0].name}: {problems[0].what}"
    if fatal == 1:
        return f"1 problem must be mended first: {first}"
    return f"{fatal:,} problems must be mended first, such as {first}"


def _read(
    config: ConfigDict,
) -> tuple[DatasetInfo, dict[str, Sequences], Sequence[Problem], dict[str, str]]:
    """What is known, the parts, the problems, and what else people want to know, in words."""
    data = config.data
    if not is_own(data):
        dataset = load_configured(config, data.name, fallback=data.fallback)
        kind = {"kind": "published images with labels, of which sequences are made"}
        return dataset.info, parts_of(dataset), (), kind
    listing = list_clips(data, tasks.wanted_answer(config))
    prepared = prepare(listing, data, config.task.unit, refuse=False)
    where = str(user_path(data.path)) if data.path else data.name
    return prepared.info, prepared.parts, prepared.problems, {"kind": listing.kind, "where": where}


def _misfits(
    config: ConfigDict,
    info: DatasetInfo,
    parts: dict[str, Sequences],
    problems: Sequence[Problem],
) -> Iterator[Problem]:
    """What of the config does not go with the data, as far as there is data to tell by."""
    dataset = Dataset(info, **parts)
    try:
        if is_own(config.data) and not tasks.is_stored(config):
            info = as_images(dataset).info
        if not any(problem.fatal for problem in problems):
            run.network_of(config, info)
            check_sequences(config, dataset)
    except UserError as error:
        yield Problem("the config", str(error), True)


def _lanes(config: ConfigDict, part: Sequences) -> dict[str, str]:
    """How full the lanes of a batch are, where they are packed."""
    batch = config.train.batch_size
    if not tasks.is_stored(config) or len(part) < batch:
        return {}
    count = devices.device_count()
    micro = micro_batch_size(config, count, jax.default_backend())
    gap, frames = tasks.STORED[config.task.name].gap, "strips" if config.data.strip else "frames"
    packing = pack(Epochs(part.lengths_B, batch, config.seed).longest_B, batch // micro, gap)
    groups, lanes, _ = packing.lanes_GxNxP.shape
    steps = groups * lanes * packing.steps
    share = part.lengths_B.mean() * batch / steps
    words = f"{groups * lanes:,} lanes of {packing.steps:,} {frames} for the {batch:,} of a batch"
    return {"lanes": f"{share:.1%} full: {words}"}


def _memory(size: int, feed: str) -> str:
    megabytes = f"{size / 1e6:,.1f} MB of frames"
    if feed != "resident":
        return f"{megabytes}, read as they are needed"
    hint = "; --config.data.feed=streamed reads them as they are needed" if size > _LARGE else ""
    return f"{megabytes}, kept on the device{hint}"


def _draw(info: DatasetInfo, parts: dict[str, Sequences], workdir: Path) -> Path:
    path = RunFolder(workdir).figures / "data.png"
    image: Any = pixels(draw_contact(info, parts))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_png(path, image)
    except OSError as error:
        raise UserError(
            f"{path}: cannot be written ({error.strerror or error}); give another folder by "
            "--workdir=FOLDER"
        ) from error
    return path
