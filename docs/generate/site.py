"""What the site takes from commands, as hooks of mkdocs: the first page, the command line, the notebooks as executed.

The first page is README.md, the changes are CHANGELOG.md, so nothing is said twice. A link that leaves ``docs`` becomes the
path in the repository; one to nothing is a warning, which ends the build. ``DOCS_EXECUTE=0`` shows notebooks without outputs:
for writing, where it is the text that is looked at.
"""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from docs.generate import cli, notebooks

ROOT = Path(__file__).parents[2]
_log = logging.getLogger("mkdocs.hooks")
_LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)\s#]+)(#[^)\s]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made."""

    def add(name: str, content: str | bytes) -> None:
        files.append(File.generated(config, name, content=content))

    add("index.md", _moved((ROOT / "README.md").read_text()))
    add("changelog.md", _moved((ROOT / "CHANGELOG.md").read_text()))
    add("reference/cli.md", cli.page())
    for file in notebooks.available():
        files.remove(files.src_uris[f"tutorials/{file.name}"])  # it would be copied as it is
        text, pictures = notebooks.page(_notebook(file), file.stem)
        add(f"tutorials/{file.stem}.md", text)
        for name, content in pictures.items():
            add(f"tutorials/{name}", content)
    return files


def _notebook(file: Path) -> nbformat.NotebookNode:
    if os.environ.get("DOCS_EXECUTE") == "0":
        return nbformat.read(file, as_version=4)
    _log.info("executing %s", file.name)
    with TemporaryDirectory() as directory:
        return notebooks.executed(file, Path(directory))


def _moved(text: str) -> str:
    """A document of the repository's top, as if it stood in ``docs``."""
    return re.sub(r"\]\((?!https?:)([^)]+)\)", lambda link: f"]({_from_docs(link[1])})", text)


def _from_docs(target: str) -> str:
    return target.removeprefix("docs/") if target.startswith("docs/") else f"../{target}"


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links to what is no page become the path in the repository, those to notebooks lead to their pages."""
    folder = (ROOT / "docs" / page.file.src_uri).parent

    def plain(link: re.Match[str]) -> str:
        text, target = link[1], link[2]
        if ":" in target:
            return link[0]
        path = Path(os.path.normpath(folder / target))
        if path.suffix == ".ipynb":
            return link[0].replace(target, target.removesuffix(".ipynb") + ".md")
        if path.is_relative_to(ROOT / "docs"):
            return link[0]
        if not path.exists():
            _log.warning("%s: a link to %s, which does not exist", page.file.src_uri, target)
        inside = path.relative_to(ROOT).as_posix()
        return f"`{inside}`" if text.strip("`") == inside else f"{text} (`{inside}`)"

    return _LINK.sub(plain, markdown)
