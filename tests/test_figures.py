"""What documents say is what the commands that are named beside it measure now: the figures of the bundled digits model."""

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks import accuracy as benchmark
from benchmarks import startup, subjects
from docs.generate import accuracy, chips, digits, equal, fixed, views
from docs.generate.documents import block
from ecmt_deploy import convert
from ecmt_deploy.evaluation.intervals import interval
from ecmt_deploy.evaluation.jobs import EvaluateJob, evaluate_file
from ecmt_deploy.report.units import accuracy as percent
from ecmt_deploy.verbs.demo import DATA, MODEL, TIMESTEPS
from tests.support.documents import require_alike

ROOT = Path(__file__).parent.parent
#: rounding differs between machines, and moves a spike here and there: images of 360, and shares of a count or an energy
IMAGES, SHARE = 2, 0.03


@pytest.fixture(scope="module")
def run():
    return digits.run()


def test_energies_of_the_bundled_model(run):
    require_alike(block(ROOT / "docs/energy.md", "energy"), digits.on_chips(run), SHARE)


def test_the_worked_example(run):
    require_alike(block(ROOT / "docs/energy.md", "bill"), digits.bill(run), SHARE)


def test_two_chips_with_a_price_for_every_row():
    require_alike(block(ROOT / "docs/energy.md", "waterfall"), views.waterfalls(views.run("paper")), SHARE)


@pytest.mark.slow
def test_break_even_over_the_size_of_a_tile():
    found = views.over_tiles(views.curves([views.run(preset) for preset in views.PRESETS]))
    require_alike(block(ROOT / "docs/energy.md", "tiles"), found, SHARE)


def test_the_demo_gives_the_table_of_the_document(tmp_path):
    """Accuracy, agreement and events of preset ``accurate``, as a user gets them."""
    convert(MODEL, DATA, out=tmp_path / "p.nir")
    result = evaluate_file(EvaluateJob(program=tmp_path / "p.nir", data=DATA, timesteps=TIMESTEPS))
    rows = {
        tuple(cells[:3]): cells[3:] for line in block(ROOT / "docs/accuracy.md", "accuracy")[2:] for cells in [cells_of(line)]
    }
    name = f"digits ({result.n_samples} samples)"
    slack = 100 * IMAGES / result.n_samples
    for figure, measured in (("top-1, %", result.accuracy), ("agreement with the ANN, %", result.agreement)):
        said = [float(cell.split()[0]) for cell in rows[name, "accurate", figure]]
        assert said == pytest.approx([100 * share for share in measured], abs=slack + 0.005)
    assert f"top-1 {percent(result.analog_accuracy, result.n_samples)} %" in block(ROOT / "docs/accuracy.md", "claims")[0]


def cells_of(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


@pytest.mark.slow
def test_every_figure_of_the_bundled_model():
    rows, analog = accuracy.rows_of(subjects.digits(), 2000)
    mine = [line for line in block(ROOT / "docs/accuracy.md", "accuracy") if line.startswith("| digits")]
    require_alike(mine, accuracy.lines_of(rows, range(1, accuracy.STEPS + 1))[1], SHARE, 100 * IMAGES / 360 + 0.1)
    require_alike(block(ROOT / "docs/accuracy.md", "claims")[:1], [accuracy.claim(rows, analog)], SHARE, IMAGES)
    (mine,) = [line for line in block(ROOT / "docs/accuracy.md", "draws") if line.startswith("| digits")]
    require_alike([mine], [accuracy.draws_of(subjects.digits(), 2000)], SHARE, 100 * IMAGES / 360 + 0.1)
    found = fixed.rows_of(subjects.digits(), 1000, fixed.presets_of(subjects.digits()))
    mine = [line for line in block(fixed.DOCUMENT, "fixed") if line.startswith("| digits")]
    require_alike(mine, found, SHARE, 100 * 2 * IMAGES / 360 + 0.1)


@pytest.mark.slow
def test_equal_accuracy_of_the_bundled_model():
    rows = benchmark.rows_of(subjects.digits(), 2000, lambda row: None)
    mine = [line for line in block(ROOT / "docs/accuracy.md", "methods") if line.startswith("| digits")]
    require_alike(mine, equal.lines_of(rows)[1], SHARE, 100 * IMAGES / 360 + 0.1)


def test_equal_accuracy_is_told_as_the_table_has_it():
    """The sentences and the table of the README by the rows of the document; the figure has a panel for every model."""
    lines = block(ROOT / "docs/accuracy.md", "methods")
    points = equal.points(lines)
    assert len(points.rows) == len(lines) - 2
    for drawn in (equal.PICTURE.read_text(), equal.picture(points)):
        texts = {text.text for text in ElementTree.fromstring(drawn).iter("{http://www.w3.org/2000/svg}text")}
        assert texts >= {*points.column("model"), *points.column("method")}
    claims = block(ROOT / "docs/accuracy.md", "equal")
    assert block(ROOT / "README.md", "equal") == equal.glance(lines)
    for model in dict.fromkeys(points.column("model")):
        (claim,) = [line for line in claims if line.startswith(f"- **{model}** ")]
        for level in equal.LEVELS:
            able = [x for name, of, x, right in points.rows if (name, of) == (model, "graded") and right >= 100 * level]
            (told,) = re.findall(rf"for {100 * level:g} % `graded` (\S+|at no budget), plain", claim)
            # the table has one digit more, itself rounded
            assert abs(float(told) - min(able)) < 0.0056 if able else told == "at no budget"


@pytest.mark.slow
def test_cores_of_vision_transformers():
    placed = chips.placements("ViT-Tiny")
    said = [cells_of(line) for line in block(ROOT / "docs/chips.md", "chips")[2:]]
    for line, chip, placement in zip(said, chips.available(), placed, strict=True):
        assert [line[0], line[1], line[-1]] == chips.row(chip, [placement])


def test_what_a_start_costs_is_told_of_every_command():
    said = block(startup.DOCUMENT, "startup")
    assert said[:2] == startup.HEAD
    rows = [cells_of(line) for line in said[2:]]
    commands = [f"ecmt-deploy {command}" for command in startup.COMMANDS]
    assert [row[0].strip("`") for row in rows] == [startup.PYTHON, startup.TORCH, *commands]
    assert (rows[0][2], rows[1][3]) == ("1.0", "1.00")
    assert startup.table({startup.PYTHON: 0.5, startup.TORCH: 2.0, "x": 1.0})[-1] == "| `x` | 1.00 | 2.0 | 0.50 |"


def test_intervals():
    """By hand: Wilson's interval of 356 of 360, of all and of none."""
    assert percent(356 / 360, 360) == "98.89 (97.2 to 99.6)"
    assert interval(1.0, 10) == pytest.approx((1 / (1 + 3.841459 / 10), 1.0))
    assert interval(0.0, 10) == pytest.approx((0.0, 1 - 1 / (1 + 3.841459 / 10)))
    with pytest.raises(ValueError, match="n"):
        interval(0.5, 0)
