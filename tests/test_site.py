"""The site: it builds without a warning, fetches nothing, and names all that is public."""

import io
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from rich.console import Console

import ecmt_deploy
from docs.generate import cli, notebooks, picture
from docs.generate.docstrings import shown
from ecmt_deploy.cli.app import VERBS, app

ROOT = Path(__file__).parent.parent
for needed in ("material", "mkdocstrings", "nbconvert"):
    pytest.importorskip(needed, reason="the extra `docs` is not installed")


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The site, with notebooks as they are kept: without outputs."""
    made = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(made)]
    environment = os.environ | {"DOCS_EXECUTE": "0", "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return made


def test_no_page_fetches_anything_from_elsewhere(site):
    fetched = re.compile(r"<(?:script|link|img|iframe)\b[^>]*(?:src|href)=\"(?:https?:)?//[^\"]+")
    assert not {
        page.name: fetched.findall(page.read_text()) for page in site.rglob("*.html") if fetched.search(page.read_text())
    }


def test_every_public_name_is_in_the_reference(site):
    documented = {
        name for page in (site / "reference").glob("*.html") for name in re.findall(r"<h\d id=\"([\w.]+)\"", page.read_text())
    }
    packages = {"chips", "data", "models", "report", "__version__"}
    named = {name.rpartition(".")[2] for name in documented if name.startswith("ecmt_deploy.")}
    assert set(ecmt_deploy.__all__) - packages <= named
    assert {"ecmt_deploy.data.select.open", "ecmt_deploy.models.load", "ecmt_deploy.verbs.runs.report"} <= documented


def test_links_to_what_is_no_page_become_paths(site):
    assert "(<code>ecmt_deploy/simulation/target.py</code>)" in (site / "targets.html").read_text()


def test_the_command_line_page_has_every_verb_and_option():
    page = cli.page()
    assert re.findall(r"^## (.+)$", page, re.MULTILINE)[: len(VERBS)] == list(VERBS)
    for verb in VERBS:
        (mine,) = re.findall(rf"^## {verb}$(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)
        console = Console(file=io.StringIO(), width=200)
        app.help_print([verb], console=console)
        options = re.findall(r"^│ *[*]? *(--[\w-]+)", console.file.getvalue(), re.MULTILINE)
        assert "--json" in options
        assert [option for option in options if option not in mine] == [], verb


def test_docstrings_say_what_a_parameter_means_and_take_types_from_the_signature():
    text = (
        "Run.\n\nParameters\n----------\nx : samples (N, 3)\n    normalised\na, b : two of :class:`~m.Thing`\n\n"
        "Returns\n-------\noutputs (T, N)\n\nRaises\n------\nValueError\n    always."
    )
    assert shown(text) == (
        "Run.\n\nParameters\n----------\nx\n    samples (N, 3)\n    normalised\n"
        "a\n    two of `Thing`\nb\n    two of `Thing`\n\n"
        "Returns\n-------\n:\n    outputs (T, N)\n\nRaises\n------\nValueError\n    always."
    )
    assert shown("Only a line.") == "Only a line."


def test_parameters_that_are_explained_together_keep_their_own_types(site):
    text = re.sub(r"<[^>]+>|\s+", "", (site / "reference/verbs.html").read_text())
    assert "model_args(Mapping[str,Any]|None,default:None)" in text
    assert "model_args(str|" not in text


def test_the_readme_is_short_and_every_file_it_names_is_there():
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= 100
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", text)
    assert len(targets) > 10
    assert [target for target in targets if not (ROOT / target).exists()] == []


def test_the_picture_is_small():
    assert (ROOT / "docs/report.png").stat().st_size <= picture.MOST_BYTES


def test_a_picture_without_a_page_or_a_browser_says_what_is_missing(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="no such page"):
        picture.draw(tmp_path / "report.html", tmp_path / "out.png")
    (tmp_path / "report.html").write_text("<p>a page</p>")
    with pytest.raises(FileNotFoundError, match="no Chromium is installed; one of chromium"):
        picture.draw(tmp_path / "report.html", tmp_path / "out.png")
    assert not (tmp_path / "out.png").exists()


@pytest.mark.parametrize("path", notebooks.available(), ids=lambda path: path.stem)
def test_notebooks_are_kept_without_what_a_run_leaves(path):
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None


@pytest.mark.parametrize("path", notebooks.available(), ids=lambda path: path.stem)
def test_a_notebook_shows_results_as_tables_and_charts(path):
    code = "\n".join(cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code")
    assert ".to_frame()" in code
    assert ".plot(" in code


@pytest.mark.slow
@pytest.mark.parametrize("path", notebooks.available(), ids=lambda path: path.stem)
def test_notebooks_run_and_become_pages(path, tmp_path):
    if path.stem == "lava":
        pytest.importorskip("lava", reason="lava-nc is not installed")
    made = notebooks.executed(path, tmp_path)
    for cell in made.cells:
        for output in cell.get("outputs", ()):  # what a result shows of itself is short
            assert len(output.get("data", {}).get("text/plain", "")) < 2000, cell.source
            assert output.get("name") != "stderr", output
    text, pictures = notebooks.page(made, path.stem)
    assert pictures
    assert all(name in text for name in pictures)
    assert len(text) < 30_000  # what cells show is for people
