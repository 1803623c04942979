"""How people lay out their clips. A new way is a file that reads it, and a row of `LAYOUTS`."""

import dataclasses
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from ml_collections import ConfigDict

from crnn_jax import UserError, shown, user_path
from crnn_jax.data.sources import class_folders, manifest, prepared_by_tfds
from crnn_jax.data.sources.listing import (
    PARTS,
    Clip,
    Listing,
    Problem,
    assign_splits,
    natural,
    stem,
)


class Layout(NamedTuple):
    """A way to lay out clips and their answers."""

    fits: Callable[[ConfigDict], bool]  # whether config.data names such data
    read: Callable[[ConfigDict, str], Listing]  # its clips in any order, and their problems


LAYOUTS: dict[str, Layout] = {
    "tfds": Layout(prepared_by_tfds.fits, prepared_by_tfds.read),
    "manifest": Layout(manifest.fits, manifest.read),
    "file_names": Layout(class_folders.fits_names, class_folders.read_names),
    "class_folders": Layout(class_folders.fits, class_folders.read),
}
"""The first that fits is read."""


def list_clips(data: ConfigDict, answer: str) -> Listing:
    """List the clips of your own data; opens no picture and no video.

    Args:
      data: the config's `data`: path or name, answer, outside, validation and test.
      answer: what the task wants of each clip: class, number, numbers (one a frame) or text.

    Returns:
      The clips in natural order, and all problems found in listing them.

    Raises:
      UserError: there is no such data, it is laid out in no known way or in two, or holds no clip.
    """
    if data.validation + data.test >= 1:
        raise UserError(
            f"--config.data.validation={data.validation} and data.test={data.test} leave nothing "
            "to train on: expected shares of less than 1 together"
        )
    try:
        layout = next((layout for layout in LAYOUTS.values() if layout.fits(data)), None)
    except OSError as error:  # a name too long, a folder that may not be looked into
        raise UserError(
            f"--config.data.path={shown(data.path)}: cannot be looked at ({error.strerror}), "
            "expected a folder of clips or a list of them"
        ) from error
    if layout is None:
        path = user_path(data.path)
        found = "not a folder or a list of files" if path.exists() else "not found"
        raise UserError(
            f"--config.data.path={data.path}: {found}, expected a folder of clips, or a list of "
            f"them ({', '.join(manifest.READERS)})"
        )
    listing = layout.read(data, answer)
    if not listing.clips:
        first, *others = listing.problems or [Problem(listing.name, "holds no clips", True)]
        more = f" (and {len(others):,} more problems)" if others else ""
        raise UserError(f"no clips to read: {first.name}: {first.what}{more}")
    clips = tuple(sorted(listing.clips, key=_order))
    classes: tuple[str, ...] = ()
    if answer == "class":
        classes = tuple(sorted({str(clip.answer) for clip in clips}, key=natural))
    problems = (*listing.problems, *_missing(clips, classes, data))
    return dataclasses.replace(listing, clips=clips, classes=classes, problems=problems)


def _order(clip: Clip) -> list:
    folder, slash, _ = clip.name.rpartition("/")
    return natural(f"{folder}{slash}{stem(clip.name)}")


def _missing(clips: tuple[Clip, ...], classes: tuple[str, ...], data: ConfigDict) -> list[Problem]:
    """What every part should have, and does not."""
    problems = []
    if len(classes) == 1:
        what = f"the only class of {len(clips):,} clips, expected two or more"
        problems.append(Problem(classes[0], what, True))
    parts = assign_splits(clips, data.validation, data.test)
    sizes = Counter(parts)
    counts = Counter(
        (part, clip.answer) for part, clip in zip(parts, clips, strict=True) if classes
    )
    for part in PARTS:
        if not sizes[part]:
            groups = len({clip.group for clip in clips})
            what = (
                f"no clips: {len(clips):,} clips of {groups:,} names are split by a hash of the "
                "name; expected more, a larger share (data.validation, data.test), or given parts"
            )
            problems.append(Problem(part, what, True))
            continue
        for name in classes:
            if not counts[part, name]:
                what = f"no clip of this class for {part}"
                problems.append(Problem(name, what, part == "train"))
    return problems
