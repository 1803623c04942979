"""Clips decoded into files of records, by as many processes as there are cores.

Each file of records is written under another name and renamed when whole, with what was found in
its clips beside it: after a kill, whole files are kept. Nothing here imports JAX, which would cost
each process its start.
"""

import dataclasses
import json
import math
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich import progress
from rich.console import Console

from crnn_jax import UserError, say
from crnn_jax.data.form import Form
from crnn_jax.data.frames import COLOUR, chosen, colour_of, name_of, read_clip, read_whole
from crnn_jax.data.sequence_store import digest_of, features, shard_path
from crnn_jax.data.sources.listing import PARTS, Clip, Listing, Record
from crnn_jax.distributed.files import write_whole

SMALL = 2**22
"""Bytes of clips that are decoded before other processes would have started."""

_SHARDS = 128  # files of a part at most: all are open at once
_LEAST = 16  # clips in a file, where there are so many
_SECONDS_BETWEEN_LINES = 10.0
_CODEC = ("utf-8", "surrogateescape")  # of names that are no text


class Outcome(NamedTuple):
    """What was found in a clip."""

    length: int = 0  # frames taken; 0 if it could not be read
    total: int = 0  # frames of the source, as far as they were counted
    digest: str = ""
    problem: str = ""  # why it could not be read
    cut: bool = False  # whether it has more frames than the form takes


class Shard(NamedTuple):
    """A file of records to be made of some clips."""

    path: Path
    part: str
    indices: tuple[int, ...]  # of the clips in their listing
    clips: tuple[Clip, ...]
    answer: str  # the kind
    form: Form
    unsure: bool  # whether the form is grey only as long as no clip has colour


def shards_of(
    folder: Path, listing: Listing, splits: Sequence[str], form: Form, unsure: bool
) -> list[Shard]:
    """Divide the clips of each part into files, in order."""
    shards = []
    for part in PARTS:
        members = [i for i, split in enumerate(splits) if split == part]
        count = min(_SHARDS, math.ceil(len(members) / _LEAST))
        for number, within in enumerate(np.array_split(members, count) if count else ()):
            indices = tuple(within.tolist())
            path = shard_path(folder, part, number, count)
            clips = tuple(listing.clips[i] for i in indices)
            shards.append(Shard(path, part, indices, clips, listing.answer, form, unsure))
    return shards


class ColourFound(Exception):
    """Raised where all clips so far were grey, but one is not."""


def decode_all(shards: Sequence[Shard], *, in_processes: bool) -> list[list[Outcome]]:
    """Make all files of records that are not there yet.

    Returns:
      For each file what was found in its clips.

    Raises:
      ColourFound: see `Shard.unsure`.
      OSError: the disk is full.
      UserError: a process died.
    """
    found = [_stored(shard) for shard in shards]
    todo = [i for i, outcomes in enumerate(found) if outcomes is None]
    count = [len(shard.clips) for shard in shards]
    with _showing(sum(count), sum(count[i] for i in todo)) as advance:
        for i, outcomes in _decoded([shards[i] for i in todo], in_processes):
            found[todo[i]] = outcomes
            advance(len(outcomes))
    return [outcomes for outcomes in found if outcomes is not None]


def _decoded(shards: Sequence[Shard], in_processes: bool) -> Iterator[tuple[int, list[Outcome]]]:
    """Yield the outcomes of each, with its number, in the order in which they are finished."""
    if not in_processes:
        yield from enumerate(map(decode, shards))
        return
    affinity = getattr(os, "sched_getaffinity", None)  # not on every platform
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    with ProcessPoolExecutor(
        min(cores, len(shards) or 1), multiprocessing.get_context("spawn"), _serve
    ) as pool:
        numbers = {pool.submit(decode, shard): i for i, shard in enumerate(shards)}
        try:
            for future in as_completed(numbers):
                yield numbers[future], future.result()
        except BrokenProcessPool as error:
            raise UserError(
                "a process that decodes clips has died, perhaps for lack of memory; start again, "
                "what is done is kept (a script must begin its work under "
                "`if __name__ == '__main__':`)"
            ) from error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _serve() -> None:
    """End with the parent, and without a word at Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    parent = multiprocessing.parent_process()
    assert parent

    def follow() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def _beside(shard: Shard) -> Path:
    return shard.path.with_name(f"{shard.path.name}.json")


def _stored(shard: Shard) -> list[Outcome] | None:
    """What was found in the clips of a file that is whole; None where there is none."""
    try:
        outcomes = [Outcome(*fields) for fields in json.loads(_beside(shard).read_bytes())]
    except (OSError, ValueError):
        return None
    return outcomes if shard.path.exists() else None


def decode(shard: Shard) -> list[Outcome]:
    """Make a file of records, one of each clip that can be read.

    Raises:
      ColourFound: see `Shard.unsure`.
      OSError: the disk is full.
    """
    from array_record.python.array_record_module import ArrayRecordWriter

    to_bytes = features(shard.form, shard.answer).serialize_example
    draft = shard.path.with_name(f"{shard.path.name}.tmp-{os.getpid()}")
    outcomes = []
    try:
        writer = ArrayRecordWriter(str(draft), "group_size:1")
        for clip in shard.clips:
            outcome, record = _record(clip, shard)
            outcomes.append(outcome)
            if record:
                writer.write(to_bytes(record))
        writer.close()
        write_whole(_beside(shard), json.dumps(outcomes).encode())
        draft.replace(shard.path)
    except RuntimeError as error:  # so ArrayRecord says that the disk is full
        raise OSError(str(error).partition(";")[0]) from error
    finally:
        draft.unlink(missing_ok=True)
    return outcomes


def _record(clip: Clip, shard: Shard) -> tuple[Outcome, dict[str, Any] | None]:
    answer: Any = clip.answer
    numbers = shard.answer == "numbers"
    form = dataclasses.replace(shard.form, channels=3) if shard.unsure else shard.form
    try:
        frames, total, cut = read_whole(clip.source, form, to_the_end=numbers)
        if numbers and len(answer) != total:
            raise UserError(f"{len(answer)} numbers, expected one for each of {total} frames")
        if shard.unsure:
            colour = colour_of(frames)
            if colour > COLOUR:
                raise ColourFound
            frames = read_clip(clip.source, shard.form) if colour else frames[..., :1]
    except UserError as error:
        return Outcome(problem=_within(clip, str(error))), None
    answer = answer[chosen(total, form)] if numbers else answer
    answer, name = (x.encode(*_CODEC) if isinstance(x, str) else x for x in (answer, clip.name))
    outcome = Outcome(len(frames), total, digest_of(frames).hex(), "", cut)
    return outcome, {"frames": frames, "answer": answer, "name": name}


def _within(clip: Clip, message: str) -> str:
    """A message about a file of a clip, without the path, which the clip's name says."""
    if isinstance(clip.source, Record):
        return message
    for path in clip.source:
        if message.startswith(f"{path}: "):
            rest = message.removeprefix(f"{path}: ")
            return rest if len(clip.source) == 1 else f"{path.name}: {rest}"
    return message.removeprefix(f"{name_of(clip.source)}: ")


@contextmanager
def _showing(total: int, left: int) -> Iterator[Callable[[int], None]]:
    """Show how many clips are decoded, in a bar on a terminal, else in a line now and then."""
    console, start = Console(stderr=True), time.monotonic()
    columns = (
        progress.TextColumn("preparing"),
        progress.BarColumn(bar_width=None),
        progress.TextColumn("{task.completed:,.0f} of {task.total:,.0f} clips"),
        progress.TextColumn("{task.description}"),
    )
    next_line, done = start + _SECONDS_BETWEEN_LINES, total - left
    with progress.Progress(
        *columns,
        console=console,
        expand=True,
        redirect_stdout=False,
        disable=not console.is_interactive,
    ) as bar:
        task = bar.add_task("", total=total, completed=done)

        def advance(clips: int) -> None:
            nonlocal next_line, done
            done += clips
            now = time.monotonic()
            rate = (done - total + left) / max(now - start, 1e-9)
            seconds = timedelta(seconds=round((total - done) / rate))
            text = f"{rate:,.0f} clips/s · {seconds} left"
            bar.update(task, completed=done, description=text)
            if bar.disable and now >= next_line:
                next_line = now + _SECONDS_BETWEEN_LINES
                say(f"preparing: {done:,} of {total:,} clips · {text}")

        yield advance
