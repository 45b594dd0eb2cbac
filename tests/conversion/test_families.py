"""Every family of models converts, keeps its mathematics, and answers as its analog self; the table in docs/support.md says
how well. The fast suite has one of every kind of attention; kinds of operations are those of test_kinds.py."""

import pytest

from tests.support.families import FAMILIES, KINDS_OF_ATTENTION, Result, measure, rows, table

#: rounding differs from machine to machine and moves a spike here and there: little once the readout has converged, more at
#: T = 4
SLACK_4, SLACK_16 = 0.1, 0.02


@pytest.mark.parametrize(
    "family",
    [pytest.param(f, id=f.name, marks=[] if f.name in KINDS_OF_ATTENTION else [pytest.mark.slow]) for f in FAMILIES],
)
def test_a_family_converts(family):
    result = measure(family)
    assert not result.idle, f"blocks that do not matter test nothing: {result.idle}"
    assert result.analog_difference < 1e-4
    assert result.cosine_16 >= 0.98
    documented = {cells(row)[0]: row for row in rows()}
    assert family.name in documented, "python -m tests.support.families writes the table anew"
    check_row(documented[family.name], result)


def check_row(row: str, result: Result) -> None:
    """What the document says is what was measured now."""
    said, found = cells(row), cells(table([result]).splitlines()[-1])
    assert said[:3] == found[:3]
    for mine, theirs, slack in zip(said[4:], found[4:], (SLACK_4, SLACK_16), strict=True):
        assert abs(float(mine) - float(theirs)) <= slack, f"{row}: measured {found}"


def cells(row: str) -> list[str]:
    return [cell.strip() for cell in row.strip("|").split("|")]


def test_the_table_has_every_family_and_no_other():
    assert [cells(row)[0] for row in rows()] == [family.name for family in FAMILIES]
