"""docs/format.md says what the code does: its generated parts are those the code generates now."""

from docs.generate import fixed_vector
from docs.generate.format_vector import DOCUMENT, renewed, small
from ecmt_deploy.program import ops
from tests.support.documents import require_alike


def test_the_test_vector_and_the_functions_are_current():
    text = DOCUMENT.read_text()
    assert renewed(text) == text


def test_every_node_type_and_field_is_in_the_document():
    text = DOCUMENT.read_text() + DOCUMENT.with_name("fixed_point.md").read_text()
    for name, op in ops.OPS.items():
        assert f"`{name}`" in text, name
        for field in (*op.fields, *(op.format_type.fields if op.format_type else ())):
            assert f"`{field}`" in text, (name, field)


def test_the_vector_spikes():
    """A vector of zeros would test nothing."""
    assert "neuron" in small("rate").neurons
    rows = [row for row in DOCUMENT.read_text().splitlines() if row.startswith("| `neuron`")]
    assert len(rows) == 2
    assert all("0.5" in row or "0.25" in row or "1" in row for row in rows)


def test_the_fixed_point_vector_and_errors_are_current():
    said = fixed_vector.DOCUMENT.read_text().splitlines()
    found = fixed_vector.renewed("\n".join(said)).splitlines()
    # entries of tables are rounded results of NumPy, whose last digit differs from version to version, and errors with it
    errors = [i for i, line in enumerate(said) if "` | 2^" in line]
    require_alike([said[i] for i in errors], [found[i] for i in errors], 0.05)
    assert [line for i, line in enumerate(found) if i not in errors] == [line for i, line in enumerate(said) if i not in errors]


def test_the_fixed_point_vector_spikes():
    for coding in ops.CODINGS:
        assert fixed_vector.quantised(coding).integer
    rows = [row for row in fixed_vector.DOCUMENT.read_text().splitlines() if row.startswith("| `neuron`")]
    assert len(rows) == 2
    assert all("[88, 88]" in row for row in rows)
