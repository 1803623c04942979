"""Folders of their class: pictures, videos, or folders of frames; perhaps in train, test, …."""

from collections.abc import Iterator
from pathlib import Path

from ml_collections import ConfigDict

from crnn_jax import UserError, user_path
from crnn_jax.data.sources.listing import (
    ANIMATIONS,
    PICTURES,
    SPLIT_NAMES,
    VIDEOS,
    Clip,
    Listing,
    Problem,
    entries,
    frames_in,
    parse_answer,
    real_root,
    stem,
)

_KINDS = {
    "pictures": PICTURES,
    "videos": VIDEOS,
    "animations": ANIMATIONS,
}
_BESIDE = (".csv", ".json", ".md", ".txt", ".xml", ".yaml", ".yml")  # no problem
_EXPECTED = (
    "expected a folder for each class, such as cat/1.png, cat/clip.mp4 or cat/clip/1.png, perhaps "
    "under train, validation and test; or a list of files (labels.csv)"
)


def fits(data: ConfigDict) -> bool:
    """Whether the data is a folder."""
    return bool(data.path) and user_path(data.path).is_dir()


def read(data: ConfigDict, answer: str) -> Listing:
    """List clips whose folder names their class.

    Raises:
      UserError: answers are wanted that folders do not give, there are no folders of classes,
        kinds are mixed, or a link leads outside.
    """
    folder = user_path(data.path)
    root = real_root(folder, data.outside)
    if answer != "class" or data.answer:
        wanted = f"the answers {data.answer}" if data.answer else f"the task's answers ({answer})"
        raise UserError(
            f"{folder}: folders name classes, not {wanted}: expected a list of files with the "
            "columns path and answer, such as labels.csv in that folder"
        )
    clips, problems = [], []
    found: dict[str, str] = {}  # each kind, and the first that is of it
    for split, part in parts_of(folder, root):
        inside = entries(part, root)
        loose = [path for path in inside if kind_of(path) not in ("folders", "")]
        if loose:
            beside = "beside folders" if len(loose) < len(inside) else "and no folders"
            remedy = "; or give --config.data.answer=filename where names of files are the answers"
            raise UserError(f"{part}: found {loose[0].name} {beside}; {_EXPECTED}{remedy}")
        for class_folder in (path for path in inside if path.is_dir()):
            before = len(clips)
            for path in entries(class_folder, root):
                kind, name = kind_of(path), path.relative_to(folder).as_posix()
                if not kind:
                    if path.suffix.lower() not in _BESIDE:
                        problems.append(Problem(name, "no picture, no video: left out", False))
                    continue
                found.setdefault(kind, name)
                try:
                    source = frames_in(path, root) if kind == "folders" else (path,)
                except UserError as error:
                    problems.append(Problem(name, str(error), True))
                    continue
                clips.append(Clip(name, source, class_folder.name, split, stem(name)))
            if len(clips) == before:
                name = class_folder.relative_to(folder).as_posix()
                problems.append(Problem(name, "no clips in this folder of a class", True))
    return Listing(folder.name, _kind(folder, found), answer, tuple(clips), (), tuple(problems))


def fits_names(data: ConfigDict) -> bool:
    """Whether the data is a folder of files whose names are the answers."""
    return fits(data) and data.answer == "filename"


def read_names(data: ConfigDict, answer: str) -> Listing:
    """List files whose names, up to the first "_", are their answers: 2b827.png, 2b827_1.png.

    Raises:
      UserError: there is a folder that is no part, or a link leads outside.
    """
    folder = user_path(data.path)
    root = real_root(folder, data.outside)
    clips, problems = [], []
    for split, part in parts_of(folder, root):
        for path in entries(part, root):
            kind, name = kind_of(path), path.relative_to(folder).as_posix()
            if kind == "folders":
                raise UserError(
                    f"{path}: a folder, expected files alone with --config.data.answer=filename, "
                    "such as 2b827.png"
                )
            if kind:
                text = stem(name).partition("_")[0]
                try:
                    clips.append(Clip(name, (path,), parse_answer(text, answer), split, text))
                except UserError as error:
                    problems.append(Problem(name, str(error), True))
    return Listing(folder.name, "named answers", answer, tuple(clips), (), tuple(problems))


def parts_of(folder: Path, root: str | None) -> Iterator[tuple[str | None, Path]]:
    """Yield the folders of train, validation and test; or the folder itself, for no part.

    Raises:
      UserError: some folders are parts and others are not, or two are the same part.
    """
    folders = [path for path in entries(folder, root) if path.is_dir()]
    parts = [path for path in folders if path.name.lower() in SPLIT_NAMES]
    others = [path.name for path in folders if path not in parts]
    names = [SPLIT_NAMES[path.name.lower()] for path in parts]
    if others and len(parts) > 1 and "train" in names:  # one alone may be a class, as trains are
        raise UserError(
            f"{folder}: found {others[0]} beside {' and '.join(path.name for path in parts)}; "
            "expected all clips under train, validation and test, or none"
        )
    if len(set(names)) < len(names):
        raise UserError(
            f"{folder}: found {', '.join(path.name for path in parts)}; expected one folder each "
            "for train, validation and test"
        )
    if parts and not others:
        yield from zip(names, parts, strict=True)
    else:
        yield None, folder


def kind_of(path: Path) -> str:
    """What a path is: folders, pictures, animations, videos, or '' for anything else."""
    ending = path.suffix.lower()
    if path.is_dir():
        return "folders"
    return next((kind for kind, endings in _KINDS.items() if ending in endings), "")


def _kind(folder: Path, found: dict[str, str]) -> str:
    """Name the one kind of clips; GIF, TIFF and WebP files may be pictures or clips."""
    kinds = [kind for kind in found if kind != "animations"] or list(found)
    if not found:
        raise UserError(f"{folder}: no clips found; {_EXPECTED}")
    if len(kinds) > 1 or ("folders" in kinds and len(found) > 1):
        mixed = " and ".join(f"{kind} ({name})" for kind, name in found.items())
        raise UserError(f"{folder}: found {mixed}; expected one kind of clips: move the others")
    words = {"folders": "folders of frames", "animations": "animations or pictures"}
    return f"{words.get(kinds[0], kinds[0])} in folders of their class"
