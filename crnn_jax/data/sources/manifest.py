"""Lists of files and their answers: CSV, TSV, JSON lines, docTR's JSON, and "path label" lines."""

import csv
import fnmatch
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from crnn_jax import UserError, shown, user_path
from crnn_jax.data.sources.listing import (
    ANIMATIONS,
    PATH_COLUMNS,
    PICTURES,
    SPLIT_NAMES,
    Clip,
    Listing,
    Problem,
    answer_column,
    check_inside,
    column,
    entries,
    frames_in,
    parse_answer,
    parse_numbers,
    real_root,
    stem,
)

_NAMES = ("labels.csv", "labels.tsv", "labels.jsonl", "labels.json", "gt.txt", "labels.txt")
_LARGEST_FILE = 256 * 2**20  # bytes
_LARGEST_NUMBERS = 2**24  # bytes of a file of numbers

Row = tuple[str, dict[str, Any] | str]
"""Where it stands, such as "line 3", and its cells by column or what is wrong with it."""


def fits(data: ConfigDict) -> bool:
    """Whether the data is a list of files, or a folder with one.

    Raises:
      UserError: a folder has two.
    """
    return bool(data.path) and _find(user_path(data.path)) is not None


def _find(path: Path) -> Path | None:
    if path.is_file():
        return path if path.suffix.lower() in READERS else None
    found = [name for name in _NAMES if (path / name).is_file()]
    if len(found) > 1:
        raise UserError(
            f"{path}: found {' and '.join(found)}; expected one: give --config.data.path="
            f"{path / found[0]}"
        )
    return path / found[0] if found else None


def read(data: ConfigDict, answer: str) -> Listing:
    """List the clips that a list of files names.

    Raises:
      UserError: it cannot be read, is not UTF-8, has no rows or lacks a column.
    """
    path = _find(user_path(data.path))
    assert path  # it fits
    root = real_root(path.parent, data.outside)
    clips, problems = [], []
    columns: dict[str, str] = {}
    for where, row in READERS[path.suffix.lower()](_text(path), path):
        try:
            if isinstance(row, str):
                raise UserError(row)
            columns = columns or _columns(path, list(row), data.answer)
            clips.append(_clip(row, columns, path, root, answer))
        except UserError as error:
            if isinstance(row, dict) and not columns:  # wrong for all rows
                raise
            problems.append(Problem(f"{path.name}, {where}", str(error), True))
    if not clips and not problems:
        raise UserError(f"{path}: no rows, expected a line for each clip")
    return Listing(
        path.name, f"list of files {path.name}", answer, tuple(clips), (), tuple(problems)
    )


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise UserError(f"{path}: expected a list of files of at most {_LARGEST_FILE:,} bytes")
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"{path}: not UTF-8 (byte 0x{content[error.start]:02x} in line {line}), expected a "
            "text in UTF-8; save it so, or convert it with iconv -t UTF-8"
        ) from error


def _table(text: str, path: Path) -> Iterator[Row]:
    header_line = text.partition("\n")[0]
    separator = "\t" if path.suffix.lower() == ".tsv" else max(",;\t", key=header_line.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    header: list[str] = []
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield f"line {reader.line_num}", f"{error}, expected cells separated by {separator!r}"
            continue
        if not any(cells):
            continue
        if not header:
            header = [cell.strip() for cell in cells]
            if len({name.lower() for name in header}) < len(header):
                raise UserError(
                    f"{path}: the columns are {shown(', '.join(header))}, expected different names"
                )
        elif len(cells) == len(header):
            yield f"line {reader.line_num}", dict(zip(header, cells, strict=True))
        else:
            what = f"{len(cells)} cells, expected {len(header)} separated by {separator!r}"
            yield f"line {reader.line_num}", f"{what}; put a cell that contains one in quotes"


def _json_lines(text: str, path: Path) -> Iterator[Row]:
    del path
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield f"line {number}", _object(_parse(line))


def _json(text: str, path: Path) -> Iterator[Row]:
    whole = _parse(text)
    if isinstance(whole, dict):  # as docTR has it
        folder = "images/" if (path.parent / "images").is_dir() else ""
        whole = [{"path": f"{folder}{name}", "answer": value} for name, value in whole.items()]
    if not isinstance(whole, list):
        raise UserError(f'{path}: no JSON such as {{"image.png": "answer"}}')
    for number, row in enumerate(whole, 1):
        yield f"entry {number}", _object(row)


def _object(row: Any) -> dict[str, Any] | str:
    if not isinstance(row, dict):
        return 'expected an object such as {"path": "1.png"}'
    try:
        "".join(text for text in (*row, *row.values()) if isinstance(text, str)).encode()
    except UnicodeEncodeError as error:  # JSON can write it, UTF-8 cannot
        return f"{shown(error.object[error.start])} is half a character, expected text"
    return row


def _parse(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _pairs(text: str, path: Path) -> Iterator[Row]:
    del path
    separator = "\t" if "\t" in text.lstrip().partition("\n")[0] else None
    for number, line in enumerate(text.split("\n"), 1):
        cells = line.strip("\r\n ").split(separator, 1)
        if len(cells) == 2:
            yield f"line {number}", {"path": cells[0], "answer": cells[1]}
        elif line.strip():
            what = f"{shown(line.strip())}, expected a path, a tab or space, and the answer"
            yield f"line {number}", what


READERS = {
    ".csv": _table,
    ".tsv": _table,
    ".jsonl": _json_lines,
    ".json": _json,
    ".txt": _pairs,
}
"""What yields the rows of a list of files, by its ending."""


def _columns(path: Path, found: list[str], answer: str) -> dict[str, str]:
    """The names that the columns path, answer, split and group have here."""
    return {
        "path": column(str(path), found, PATH_COLUMNS, "rename it"),
        "answer": answer_column(str(path), found, answer),
        **{name.lower(): name for name in found if name.lower() in ("split", "group")},
    }


def _clip(
    row: dict[str, Any], columns: dict[str, str], path: Path, root: str | None, answer: str
) -> Clip:
    name = row.get(columns["path"])
    if not isinstance(name, str) or not name.strip() or "\0" in name:
        raise UserError(f"the path is {shown(name)!r}, expected a file or a folder of frames")
    given, name = name, name.strip().replace("\\", "/").removeprefix("./").rstrip("/")
    if name in ("", "."):
        raise UserError(f"the path is {shown(given)!r}, expected a file or a folder in this one")
    split, group = (_cell(row, columns.get(column, "")) for column in ("split", "group"))
    if split and split.lower() not in SPLIT_NAMES:
        raise UserError(f"the split is {shown(split)}, expected {', '.join(SPLIT_NAMES)}")
    source = _source(name, path.parent, root)
    value = row.get(columns["answer"])
    is_pattern = source[0].name != PurePath(name).name and not (path.parent / name).is_dir()
    return Clip(
        name,
        source,
        _numbers(value, path.parent, root) if answer == "numbers" else parse_answer(value, answer),
        SPLIT_NAMES[split.lower()] if split else None,
        group or (name if is_pattern else stem(name)),  # 1/*.png and 2/*.png end alike
    )


def _cell(row: dict[str, Any], column: str) -> str:
    value = row.get(column)
    return "" if value is None else str(value).strip()


def _source(name: str, folder: Path, root: str | None) -> tuple[Path, ...]:
    path = folder / name
    try:
        check_inside(path, root)
        if path.is_dir():
            return frames_in(path, root)
        if path.is_file():
            return (path,)
        if any(wild in path.name for wild in "*?[") and path.parent.is_dir():
            inside = {entry.name: entry for entry in entries(path.parent, root)}
            found = [inside[frame] for frame in fnmatch.filter(inside, path.name)]
            frames = tuple(path for path in found if path.suffix.lower() in PICTURES + ANIMATIONS)
            if frames:
                return frames
    except OSError as error:
        raise UserError(f"{shown(name)}: cannot be looked at ({error.strerror})") from error
    raise UserError(f"{shown(name)}: not found in {folder}, expected a file or a folder of frames")


def _numbers(value: Any, folder: Path, root: str | None) -> np.ndarray:
    """Read a number for every frame: a list in JSON, or the name of a .npy or .csv file."""
    if isinstance(value, str) and value.strip().lower().endswith((".npy", ".csv")):
        path = folder / value.strip()
        check_inside(path, root)
        numbers = _stored(path)
    else:
        listed = _parse(value) if isinstance(value, str) else value
        if not isinstance(listed, list):
            raise UserError(
                f"the answer is {shown(value)}, expected a list such as [0.5, 1], or the name of a "
                ".npy or .csv file"
            )
        numbers = parse_numbers(listed)
    if not len(numbers):
        raise UserError("no numbers, expected one for every frame")
    return numbers


def _stored(path: Path) -> np.ndarray:
    """Read a file of numbers; what its header says takes no memory before it is checked."""
    try:
        if not path.is_file():
            raise UserError(f"{shown(path.name)}: not found, expected a file of numbers")
        if os.path.getsize(path) > _LARGEST_NUMBERS:
            raise UserError(f"{shown(path.name)}: expected {_LARGEST_NUMBERS:,} bytes at most")
        if path.suffix.lower() == ".csv":
            return parse_numbers(path.read_text("utf-8-sig").replace(",", " ").split())
        mapped = np.lib.format.open_memmap(path, mode="r")
    except UserError:
        raise
    except Exception as error:  # NumPy raises nearly anything on a damaged header
        raise UserError(
            f"{shown(path.name)}: cannot be read ({shown(error)}), expected numbers"
        ) from error
    if mapped.dtype.kind not in "fiu" or mapped.size != max(mapped.shape, default=0):
        raise UserError(
            f"{shown(path.name)}: {mapped.dtype} {mapped.shape}, expected one number a frame"
        )
    return parse_numbers(mapped.reshape(-1).tolist())
