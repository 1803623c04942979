"""Write docs/reference.md, every flag and every field of a config, from the code.

python tools/reference.py   # writes docs/reference.md
"""

import ast
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from crnn_jax import UserError
from crnn_jax.config import FIELDS, load_config, shipped
from crnn_jax.main import FLAGS, MODES

REFERENCE = Path(__file__).parents[1] / "docs" / "reference.md"

MODE_ABOUT = {
    "train": "train, or go on with a run; the default",
    "data": "show what is understood of the data, and what is wrong with it",
    "evaluate": "test a run on the test images",
    "predict": "answer about your pictures and clips",
    "figures": "draw what a run has learned and where it is wrong",
    "export": "write a run's network for other programs",
}
SECTIONS = {
    "": "All parts",
    "task": "task: what is asked",
    "data": "data: images, clips and lines",
    "data.augment": "data.augment: changes of training frames",
    "model": "model: the network",
    "init": "init: what it starts from",
    "train": "train: how it is trained",
    "eval": "eval: how it is tested",
    "checkpoint": "checkpoint: what is kept",
}
INTRODUCTION = """\
# Commands and configs

Written by `python tools/reference.py` from the code. `crnn-jax` is the same as
`python -m crnn_jax.main`:

```sh
python -m crnn_jax.main --help
```

"""
CONFIGS = """\
## Configs

`--config=NAME` or `--config=NAME:VARIANT`. Each config has the variant `smoke`, a run of seconds.
Variants can be joined: `--config=sum8:quick,smoke`.
"""
FIELDS_OF = """\
## Fields of a config

`--config.FIELD=VALUE` sets a field; `--config.FIELD` and `--noconfig.FIELD` set one that is true or
false. Defaults are what a config file starts from; it sets what differs.
"""
STATUS = """\
## Exit status

| status | meaning |
|---|---|
| 0 | done |
| 1 | training diverged, or the folder can be written no more |
| 2 | a mistake in what was given, said in one line on stderr |
| 128 + n | stopped by signal n, after a checkpoint was saved ([faults.md](faults.md)) |

## Environment

| variable | meaning |
|---|---|
| `CRNN_JAX_MANUAL_DIR` | default of `data.manual_dir`: folder of published files, such as MNIST's |
| `XDG_CACHE_HOME` | in place of `~/.cache`, where prepared data and compiled programs are kept |
| `JAX_PLATFORMS` | `cpu`, `cuda` or `tpu`: which devices to use |
"""


def reference() -> str:
    """The page's text."""
    return INTRODUCTION + "\n".join([*_commands(), *_configs(), *_fields(), STATUS])


def _commands() -> Iterator[str]:
    yield "## Modes\n"
    yield "| `--mode` | what it does |\n|---|---|"
    for mode in MODES:
        yield f"| `{mode}` | {MODE_ABOUT[mode]} |"
    yield "\n## Flags\n"
    yield "| flag | modes | default | meaning |\n|---|---|---|---|"
    for name, flag in FLAGS.items():
        default = "" if flag.default in (None, False) else _code(flag.default)
        modes = ", ".join(flag.modes.split()) or "all"
        yield f"| `--{name}` | {modes} | {default} | {_cell(flag.about)} |"
    yield ""


def _configs() -> Iterator[str]:
    yield CONFIGS
    yield "| config | variants | what it is |\n|---|---|---|"
    for name, path in shipped().items():
        about = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        variants = ", ".join(map(_code, _variants(name)))
        yield f"| `{name}` | {variants} | {_cell(about.partition(chr(10))[0])} |"
    yield ""


def _variants(name: str) -> list[str]:
    """A config's own variants, which a wrong name makes it list."""
    try:
        load_config(f"{name}:?", [])
    except UserError as error:
        return re.findall(r"FILE:(\w+)", str(error))[:-1]  # the last is smoke
    raise AssertionError(f"{name} has a variant ?")


def _fields() -> Iterator[str]:
    yield FIELDS_OF
    for section, title in SECTIONS.items():
        yield f"\n### {title}\n"
        yield "| field | default | values | meaning |\n|---|---|---|---|"
        for name, field in FIELDS.items():
            if name.rpartition(".")[0] == section:
                expected = _cell(field.kind.expected())
                default = _code(field.default)
                yield f"| `{name}` | {default} | {expected} | {_cell(field.about)} |"
    yield ""


def _code(value: Any) -> str:
    return f"`{value}`" if str(value) else '`""`'


def _cell(text: str) -> str:
    return re.sub(r"([|*])", r"\\\1", text).replace("<", "&lt;")


def main(argv: Sequence[str]) -> int:
    """Write the page."""
    del argv
    REFERENCE.write_text(reference(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
