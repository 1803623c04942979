"""What tests read in the documents: commands, code and names in them."""

import re
import shlex
from pathlib import Path

ROOT = Path(__file__).parents[1]
PLACEHOLDERS = {
    "NAME": "sum8",
    "SEED": "0",
    "STEP": "100",
    "VARIANT": "quick",
    "FIELD": "train.class_weights",
    "VALUE": "true",
}
PROGRAMS = (
    r"(?:[A-Z_]+=\S+ )*(?:\./)?(?:python3?|crnn-jax|curl|pip|make|sbatch|kubectl|launch/\w+\.sh) "
)

DOCS = [  # recipes_test.py follows extend.md, whose files are not there yet
    path for path in sorted((ROOT / "docs").glob("*.md")) if path.name != "extend.md"
]


def text_of(path):
    """The text of a document, with examples in the place of names that stand for any."""
    text = path.read_text()
    for placeholder, value in PLACEHOLDERS.items():
        text = re.sub(rf"\b{placeholder}\b", value, text)
    return text


def code_spans(text):
    """Code within lines, and the lines of shell blocks."""
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    within = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    spans = [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", within)]
    return spans + "".join(blocks).replace("\\\n", " ").splitlines()


def python_blocks(path):
    """The Python programs of a document."""
    return re.findall(r"^```python\n(.*?)^```", path.read_text(), re.DOTALL | re.MULTILINE)


def commands(text, module):
    """The arguments of each call of a module."""
    for span in code_spans(text):
        _, called, arguments = span.partition(f"python -m {module} ")
        if called:
            yield shlex.split(arguments, comments=True)


def shell_commands(text):
    """All that people are told to type, in order."""
    for span in code_spans(text):
        if re.match(PROGRAMS, f"{span} "):
            yield " ".join(span.partition(" #")[0].split())
