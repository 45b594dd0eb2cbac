"""Notebooks as pages: each is executed and becomes Markdown, with what it printed and drew.

    python -m docs.generate.notebooks docs/tutorials/checkpoint.ipynb      prints the page

They are kept without outputs, so that a change of one is a change of its text. The site and the tests execute them.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbconvert import MarkdownExporter
from traitlets.config import Config

TUTORIALS = Path(__file__).parents[1] / "tutorials"
#: seconds that one cell may take
CELL_S = 600


def available() -> list[Path]:
    """The notebooks, in order of their names."""
    return sorted(TUTORIALS.glob("*.ipynb"))


def executed(path: Path, directory: Path) -> nbformat.NotebookNode:
    """The notebook with its outputs.

    Parameters
    ----------
    path : the notebook
    directory : where it runs, and writes its files

    Raises
    ------
    nbclient.exceptions.CellExecutionError
        if a cell raises.
    """
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(notebook, timeout=CELL_S, kernel_name="python3", resources={"metadata": {"path": str(directory)}})
    return client.execute()


def page(notebook: nbformat.NotebookNode, name: str) -> tuple[str, dict[str, bytes]]:
    """The page in Markdown, and the pictures in it by file name, which begins with ``name``."""
    exporter = MarkdownExporter(config=Config({"NbConvertBase": {"display_data_priority": _KINDS}}))
    names = {"output_files_dir": ".", "unique_key": name}
    text, resources = exporter.from_notebook_node(notebook, resources=names)
    return re.sub(r"!\[(png|svg)\]", "![What the cell above draws]", text), {
        Path(file).name: content for file, content in resources["outputs"].items()
    }


#: of what a cell shows, the first of these that it has
_KINDS = ["text/html", "text/markdown", "image/svg+xml", "image/png", "text/plain"]

if __name__ == "__main__":
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as directory:
        for file in map(Path, sys.argv[1:]):
            print(page(executed(file, Path(directory)), file.stem)[0])
