"""People's clips, decoded once by several processes, checked, and opened as a data set."""

import contextlib
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from crnn_jax import UserError, say, user_path
from crnn_jax.data.dataset import Dataset, DatasetInfo
from crnn_jax.data.decoding import SMALL, ColourFound, Outcome, decode_all, shards_of
from crnn_jax.data.form import Form
from crnn_jax.data.frames import Peek, chosen, form_of, peek
from crnn_jax.data.line import misfit
from crnn_jax.data.sequence_store import Index, Records, read_index, unusable, write_index
from crnn_jax.data.sequences import Sequences
from crnn_jax.data.sources.listing import PARTS, Clip, Listing, Problem, Record, assign_splits
from crnn_jax.distributed.files import locked

_VERSION = 1  # of what is written: another one has all clips prepared anew
END = "END"
"""The last word or character of every text, and of every vocabulary."""


@dataclass(frozen=True)
class Prepared:
    """Clips that are ready for training."""

    info: DatasetInfo
    parts: dict[str, Sequences]  # train, validation and test
    problems: tuple[Problem, ...]  # of the listing, then those found in the clips
    misfits: tuple[Problem, ...]  # among them, those of lines too short for their text


def load_own(config: ConfigDict, answer: str) -> Dataset:
    """Load the user's own data set, preparing it the first time.

    Args:
      config: of the run; says where the data is.
      answer: the kind that the task wants: class, number, numbers or text.

    Raises:
      UserError: see `list_clips` and `prepare`.
    """
    from crnn_jax.data.sources.layouts import list_clips

    prepared = prepare(list_clips(config.data, answer), config.data, config.task.unit)
    if prepared.misfits:
        first, *others = prepared.misfits
        more = f" (and {len(others):,} more such lines; see all by --mode=data)" if others else ""
        say(f"warning: {first.name}: {first.what}{more}")
    return Dataset(prepared.info, **prepared.parts)


def prepare(listing: Listing, data: ConfigDict, unit: str, *, refuse: bool = True) -> Prepared:
    """Decode all clips once, into data.data_dir, and open what is prepared.

    What is prepared is found again as long as names, sizes and times of the files, answers, parts
    and the form stay the same.

    Args:
      listing: of the clips.
      data: a config's section.
      unit: "words" or "characters", what texts are made of; those of lines of characters alone.
      refuse: raise an error for the first fatal problem; else leave out the clips that have one.

    Raises:
      UserError: a problem that is fatal, data_dir cannot be written or is full, or what is
        prepared there is damaged.
    """
    if refuse:
        _refuse(listing.problems)
    unit = "characters" if data.strip else unit
    splits = assign_splits(listing.clips, data.validation, data.test)
    data_dir = user_path(data.data_dir)
    slug = re.sub(r"\W+", "_", listing.name)[:60]
    folder = data_dir / "sequences" / slug / _key(listing, splits, data)
    if not folder.exists():
        try:
            data_dir.mkdir(parents=True, exist_ok=True)
            with locked(data_dir / "sequences.lock", wait=True):
                if not folder.exists():  # no other process has prepared it in the meantime
                    _write(listing, splits, data, folder)
        except OSError as error:
            raise unusable(data_dir, error) from error
    prepared = _open(listing, splits, unit, folder)
    if refuse:
        _refuse(prepared.problems)
    return prepared


def _refuse(problems: Sequence[Problem]) -> None:
    fatal = [problem for problem in problems if problem.fatal]
    if fatal:
        more = f" (and {len(fatal) - 1} more problems)" if len(fatal) > 1 else ""
        raise UserError(f"{fatal[0].name}: {fatal[0].what}{more}; see all by --mode=data")


def _key(listing: Listing, splits: Sequence[str], data: ConfigDict) -> str:
    """What a folder of prepared clips is called: 16 hex digits of all that they depend on."""
    fields = ("channels", "height", "width", "fit", "stride", "max_frames", "frames")
    about = [_VERSION, listing.answer, *(data[name] for name in fields)]
    about += [data.strip] if data.strip else []
    digest = hashlib.sha256(json.dumps(about).encode())
    for clip, split in zip(listing.clips, splits, strict=True):
        stamps = [_stamp(file) for file in _files(clip)]
        place = clip.source[1:] if isinstance(clip.source, Record) else ()
        about = [clip.name, split, stamps, place, _bytes_of(clip.answer).hex()]
        digest.update(json.dumps(about).encode())
    return digest.hexdigest()[:16]


def _files(clip: Clip) -> tuple[Path, ...]:
    if isinstance(clip.source, Record):
        return (clip.source.folder / "dataset_info.json",)
    return clip.source


def _stamp(file: Path) -> tuple[str, int, int]:
    try:
        status = os.stat(file)
    except OSError:  # to be reported as a clip that cannot be read
        return file.name, 0, 0
    return file.name, status.st_size, status.st_mtime_ns


def _bytes_of(answer: Any) -> bytes:
    if isinstance(answer, str):
        return answer.encode(errors="surrogateescape")
    return np.asarray(answer, "<f4").tobytes()


def _write(listing: Listing, splits: Sequence[str], data: ConfigDict, folder: Path) -> None:
    """Prepare in a folder of another name; what is whole there after a kill is used again."""
    form = form_of(data, _first_look(listing))
    unsure = not data.channels and form.channels == 1  # colour may come later
    bytes_in_all = sum(_stamp(file)[1] for clip in listing.clips for file in _files(clip))
    while True:
        draft = folder.with_name(f"{folder.name}-{form.channels}.part")
        draft.mkdir(parents=True, exist_ok=True)
        for other in {*folder.parent.glob("*.part")} - {draft}:  # of files that have changed since
            shutil.rmtree(other)
        for leftover in draft.glob("*.tmp*"):  # of a process that was killed: the lock is ours
            leftover.unlink()
        shards = shards_of(draft, listing, splits, form, unsure)
        try:
            found = decode_all(shards, in_processes=bytes_in_all > SMALL)
            break
        except ColourFound:
            form, unsure = replace(form, channels=3), False
    for path in draft.glob("*.json"):  # what was found is in memory now, and soon in the index
        path.unlink()
    shard_lengths: dict[str, list[int]] = {}
    outcomes: dict[int, Outcome] = {}
    for shard, inside in zip(shards, found, strict=True):
        shard_lengths.setdefault(shard.part, []).append(sum(one.length > 0 for one in inside))
        outcomes.update(zip(shard.indices, inside, strict=True))
    in_order = [outcomes[i] for i in range(len(outcomes))]
    index = Index(
        lengths_C=np.array([one.length for one in in_order], np.int32),
        totals_C=np.array([one.total for one in in_order], np.int32),
        digests_Cx32=np.frombuffer(
            b"".join(bytes.fromhex(one.digest or 64 * "0") for one in in_order), np.uint8
        ).reshape(-1, 32),
        form=form,
        problems=tuple(_problems(listing.clips, splits, in_order)),
        sizes={path.name: path.stat().st_size for path in draft.iterdir()},
    )
    write_index(draft, index, listing.answer, shard_lengths)
    draft.replace(folder)
    for other in {*folder.parent.iterdir()} - {folder}:
        with contextlib.suppress(UserError):
            if any(problem.fatal for problem in read_index(other).problems):  # put right since
                shutil.rmtree(other)


def _first_look(listing: Listing) -> Peek:
    """Look at the first clip that can be read; raises UserError where none can."""
    failure = UserError(f"{listing.name}: no clips in it, expected some")
    for number, clip in enumerate(listing.clips):
        try:
            return peek(clip.source)
        except UserError as error:
            failure = failure if number else error
    raise failure


def _problems(
    clips: Sequence[Clip], splits: Sequence[str], outcomes: Sequence[Outcome]
) -> Iterator[Problem]:
    first: dict[str, int] = {}
    for i, (clip, outcome) in enumerate(zip(clips, outcomes, strict=True)):
        if outcome.problem:
            yield Problem(clip.name, outcome.problem, True)
            continue
        if outcome.cut:
            what = f"has more frames than --config.data.max_frames: the first {outcome.length} are"
            yield Problem(clip.name, f"{what} taken", False)
        j = first.setdefault(outcome.digest, i)
        if splits[i] != splits[j]:
            what = (
                f"the same frames in {splits[i]} as {clips[j].name} in {splits[j]}: expected all "
            )
            yield Problem(clip.name, f"{what}copies in one part; give them one group", True)
        elif _bytes_of(clip.answer) != _bytes_of(clips[j].answer):
            yield Problem(clip.name, f"the same frames as {clips[j].name}, another answer", False)


def _open(listing: Listing, splits: Sequence[str], unit: str, folder: Path) -> Prepared:
    index = read_index(folder)
    parts, problems, misfits = {}, [*listing.problems, *index.problems], []
    identity = hashlib.sha256()
    for part in PARTS:
        members = [i for i, n in enumerate(index.lengths_C) if n and splits[i] == part]
        if index.form.strip:
            found = {i: misfit(listing.clips[i], index.lengths_C[i], part) for i in members}
            misfits += filter(None, found.values())
            members = [i for i in members if part != "train" or found[i] is None]
        clips = [listing.clips[i] for i in members]
        answers: list[Any] = [clip.answer for clip in clips]
        if listing.answer == "numbers":
            answers = [
                answer[chosen(index.totals_C[i], index.form)]
                for i, answer in zip(members, answers, strict=True)
            ]
        if listing.answer == "text" and unit == "words":
            what = f"the answer has the word {END}, which ends answers: write it in another way"
            taken = (clip for clip in clips if END in str(clip.answer).split())
            problems += [Problem(clip.name, what, True) for clip in taken]
        identity.update(part.encode())
        for i, answer in zip(members, answers, strict=True):
            content = _bytes_of(answer)
            identity.update(f" {index.lengths_C[i]} {len(content)} ".encode())
            identity.update(index.digests_Cx32[i].tobytes() + content)
        parts[part] = Sequences(
            index.lengths_C[members],
            _array_of(answers, listing),
            index.form.frame_shape,
            tuple(clip.name for clip in clips),
            Records(folder, part, index.digests_Cx32[members]).read,
        )
        if not clips:
            what = f"no clip for {part}, expected some; see --config.data.validation and test"
            if misfits:
                what = f"no line for {part} has room for its text: {': '.join(misfits[0][:2])}"
            problems.append(Problem(listing.name, what, True))
    info = _info(listing, f"sequences:{identity.hexdigest()[:16]}", index.form, parts, unit)
    return Prepared(info, parts, (*problems, *misfits), tuple(misfits))


def _array_of(answers: Sequence[Any], listing: Listing) -> np.ndarray:
    """Answers of clips as `Sequences` has them."""
    if listing.answer == "class":
        numbers = {name: i for i, name in enumerate(listing.classes)}
        return np.array([numbers[answer] for answer in answers], np.int32)
    if listing.answer == "text":
        return np.array(answers, object)
    return np.concatenate([np.zeros(0, np.float32), *map(np.atleast_1d, answers)], dtype=np.float32)


def _info(
    listing: Listing, identity: str, form: Form, parts: dict[str, Sequences], unit: str
) -> DatasetInfo:
    answers = parts["train"].answers
    about: dict[str, Any] = {"answer": listing.answer}
    if listing.answer == "class":
        about["counts"] = tuple(np.bincount(answers, minlength=len(listing.classes)).tolist())
    elif listing.answer == "text":
        texts = [text.split() if unit == "words" else list(text) for text in answers]
        end = () if form.strip else (END,)
        about["vocabulary"] = (*sorted({x for text in texts for x in text} - {*end}), *end)
        about["symbols"] = max(map(len, texts), default=0) + len(end)
    elif len(answers):
        about["mean"] = float(answers.mean(dtype=np.float64))
        about["deviation"] = float(answers.std(dtype=np.float64)) or 1.0
    lengths = np.concatenate([part.lengths_B for part in parts.values()])
    return DatasetInfo(
        listing.name,
        identity,
        form.frame_shape,
        listing.classes,
        glyphs=False,
        form=form,
        longest=int(lengths.max(initial=1)),
        **about,
    )
