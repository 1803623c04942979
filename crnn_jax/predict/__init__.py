"""The mode `predict`: answers about people's pictures and clips."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from crnn_jax import UserError, say
from crnn_jax.data.pages import picture_path
from crnn_jax.data.sources.listing import entries
from crnn_jax.distributed import devices
from crnn_jax.pictures import find_pictures
from crnn_jax.predict import answers as shown
from crnn_jax.predict.answers import Answer
from crnn_jax.predict.predictor import Predictor
from crnn_jax.runs.load import parse_step, restore

__all__ = ["Predictor", "predict"]

Paths = Sequence[str | os.PathLike[str]]


def predict(
    workdir: Path,
    paths: Paths,
    *,
    split: bool = False,
    each: bool = False,
    step: str = "latest",
    as_json: bool = False,
    table: str | None = None,
    figure: str | None = None,
    min_confidence: float | None = None,
) -> None:
    """Answer about people's own pictures or clips, and print the answers.

    Args:
      workdir: folder of a run.
      paths: pictures in order, or folders of pictures; or a clip.
      split: whether the one picture shows a row of glyphs, to be cut apart.
      each: whether each path, or each clip in a folder, has an answer of its own.
      step: "latest", "best" or a number.
      as_json: whether to print a JSON object, of each one a line, instead of a table.
      table: file to write as CSV; None for none.
      figure: file to draw the frames and answers into, as PNG; None for none.
      min_confidence: what is less sure than this share is not told; None tells everything.

    Raises:
      UserError: the folder holds no such run or checkpoint, a file cannot be written, or the
        pictures cannot be used; of each, after all others are answered.
    """
    which = parse_step(step)
    shown.check(table, figure, min_confidence)
    devices.keep_compiled_programs()
    predictor = Predictor(restore(workdir, which))
    answers = []
    for answer in _answers(predictor, paths, split, each, min_confidence):
        if as_json:
            shown.print_json(answer, named=each)
        answers.append(answer if len(answers) < shown.STRIPS else answer._replace(strip=None))
    if not answers:
        raise UserError(f"{paths[0]}: found no clips in it, expected files such as a.mp4")
    if not as_json:
        shown.print_answers(answers, each=each)
    shown.write(answers, table, figure)
    if failed := sum("error" in answer.found for answer in answers):
        raise UserError(f"{failed:,} of {len(answers):,} files have no answer: see their errors")


def _answers(
    predictor: Predictor, paths: Paths, split: bool, each: bool, least: float | None
) -> Iterator[Answer]:
    groups = [[path] for path in _expanded(paths, predictor)] if each else [[*paths]]
    for group in groups:
        name = str(group[0]) + (f" and {len(group) - 1:,} more" if len(group) > 1 else "")
        try:
            frames, names = predictor.read_files(group, split=split)
            if frames.cut:
                say(f"warning: {name}: the answer is about its first {len(frames[0]):,} frames")
            found = predictor.answer(frames, names)
        except UserError as error:
            if not each:
                raise
            yield Answer(name, {"error": str(error)}, (), None)
            continue
        found = shown.told(found, least)
        yield shown.answer(name, found, frames, per_frame=predictor.per_frame)


def _expanded(paths: Paths, predictor: Predictor) -> Iterator[str | os.PathLike[str]]:
    """The paths of clips: a folder of frames is one, any other folder stands for what is in it.

    Those of lines: a folder stands for the pictures in it.
    """
    for path in paths:
        folder = picture_path(path)
        if predictor.lines and folder.is_dir():
            yield from find_pictures([folder])
        elif predictor.stored and folder.is_dir() and not predictor.reads_folder(folder):
            yield from entries(folder, None)
        else:
            yield path
