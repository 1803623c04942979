"""What MkDocs reads besides docs/: mkdocs.yml names this file, and `make docs` runs it.

Documents that stand elsewhere join the site under their own names, and the notebook becomes a page.
Links between all of them are as in the folders, so that they work where the files are shown, too.
"""

import json
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
BESIDE = ("CHANGELOG.md", "benchmarks/*.md", "benchmarks/figures/*.png")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds what stands elsewhere, and a page for each notebook."""
    for pattern in BESIDE:
        for path in sorted(ROOT.glob(pattern)):
            name = path.relative_to(ROOT).as_posix()
            files.append(File.generated(config, name, abs_src_path=str(path)))
    for path in sorted(Path(config.docs_dir).glob("*.ipynb")):
        page = notebook_page(json.loads(path.read_text(encoding="utf-8")), path.name)
        files.append(File.generated(config, path.with_suffix(".md").name, content=page))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Leads links to where the files are in the site."""
    del config, files
    if page.file.src_uri.startswith("benchmarks/"):
        return markdown.replace("](../docs/", "](../")
    if page.file.src_uri == "CHANGELOG.md":
        return markdown.replace("](docs/", "](")
    return markdown.replace("](../", "](").replace(".ipynb)", ".md)")


def on_post_build(config: MkDocsConfig) -> None:
    """Takes the addresses of other servers out of the theme's scripts, which need none of them."""
    for path in Path(config.site_dir).glob("assets/javascripts/*.js"):
        script = re.sub(r"([\"'`])https://[\w.]+/", r"\1assets/", path.read_text(encoding="utf-8"))
        path.write_text(script, encoding="utf-8")


def notebook_page(notebook: dict[str, Any], name: str) -> str:
    """A notebook's cells and their outputs as Markdown; `name` is its file, to download."""
    parts = []
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
            continue
        parts.append(f"```python\n{source}\n```")
        parts += [_output(output) for output in cell["outputs"]]
    title, *rest = parts
    link = f"This page is a notebook: <a href='{name}' download>{name}</a>."
    return "\n\n".join([title, link, *rest]) + "\n"


def _output(output: dict[str, Any]) -> str:
    data = output.get("data", {})
    if "image/png" in data:
        return f"![output](data:image/png;base64,{''.join(data['image/png']).strip()})"
    text = "".join(output["text"] if "text" in output else data["text/plain"])
    return f"```text\n{text.rstrip()}\n```"
