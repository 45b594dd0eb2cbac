"""The answer of a comparison: the most accurate run, and of every chip the run that takes least."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from ecmt_deploy.estimation.result import Band
from ecmt_deploy.report.comparison import Comparison, Entry
from ecmt_deploy.report.comparison_verdict import headline, on_chips
from ecmt_deploy.report.html.page import render
from ecmt_deploy.report.verdict import in_brief
from tests.support import report_cases as cases
from tests.support.html import require_alone


def entry(label: str, right: float, pj: float | None, fits: bool = True, chip: str = "one", synops: float = 1.0) -> Entry:
    made = cases.report(chips=(chip if pj is not None else "unpriced",), steps=1)
    e = replace(made.energies[0], hardware=chip, obstacles=() if fits else made.energies[0].obstacles)
    if pj is not None:
        e = replace(e, total_pj=Band(pj, pj, pj))
    return Entry(label, label, replace(made, record=replace(made.record, accuracy=[right]), energies=[e], synops=synops))


RUNS = st.lists(
    st.tuples(st.sampled_from([0.25, 0.5, 0.75, 1.0]), st.one_of(st.none(), st.floats(1.0, 1e9)), st.booleans()),
    min_size=1,
    max_size=6,
)


@given(RUNS)
def test_the_run_that_takes_least_is_among_those_that_fit(drawn):
    entries = [entry(f"run {i}", *values) for i, values in enumerate(drawn)]
    ((name, fits, line),) = on_chips(Comparison(entries))
    assert name == "one"
    assert line.startswith("one: ")
    assert line.endswith(".")
    fitting = [i for i, (_, _, fit) in enumerate(drawn) if fit]
    assert fits == ("yes" if fitting else "no")
    assert (f"{len(fitting)} of {len(drawn)} run" in line) == bool(fitting)
    priced = [i for i in fitting or range(len(drawn)) if drawn[i][1] is not None]
    if not priced:
        assert "its energy is unknown" in line
        return
    least = min(priced, key=lambda i: drawn[i][1])
    assert f"run {least} takes least" in line
    about = in_brief(entries[least].report.energies[0])
    assert about.removeprefix("one: ").removesuffix(".") in line, "the sentence of the page of that run alone"
    assert ("the most accurate" in line) == (max(drawn[i][0] for i in priced) > drawn[least][0])


def test_the_headline_names_the_most_accurate_with_its_interval():
    runs = [entry("a", 0.5, 1.0, synops=1.0), entry("b", 1.0, 2.0, synops=9.0), entry("c", 1.0, 3.0, synops=2.0)]
    assert headline(Comparison(runs)) == "c is the most accurate, as b: 100.00 (51.0 to 100.0)\u00a0% right of 4 samples."
    assert headline(Comparison(runs[:1])).startswith("a is the most accurate: 50.00")
    assert headline(Comparison(runs[1:])) == "All are equally accurate: 100.00 (51.0 to 100.0)\u00a0% right of 4 samples."
    many = [*(entry(f"run{i}", 1.0, 1.0) for i in range(7)), entry("worse", 0.5, 1.0)]
    assert "run1, run2, run3 and 3 more" in headline(Comparison(many))


def test_chips_that_a_run_fits_come_first_and_the_others_are_folded():
    comparison = cases.comparison(3, ("none", "some"))
    entries = []
    for each in comparison.entries:
        misfit, other = each.report.energies
        entries.append(replace(each, report=replace(each.report, energies=[misfit, replace(other, obstacles=())])))
    found = on_chips(Comparison(entries))
    assert [(name, fits) for name, fits, _ in found] == [("some", "yes"), ("none", "no")]
    page = render(Comparison(entries))
    require_alone(page)
    places = [page.index(text) for text in (headline(comparison), "<li>some: 3 of 3 runs fit", "<h2>Runs</h2>")]
    assert places == sorted(places)
    assert "<summary>Does not fit none</summary>" in page


def test_a_comparison_without_chips_has_its_headline():
    comparison = cases.comparison(2, ())
    assert on_chips(comparison) == []
    assert headline(comparison) in render(comparison)


@pytest.mark.parametrize(("apart", "said"), [(0.0, "the readouts are equal"), (3e-7, "the readouts differ by at most 3.0e-07")])
def test_readouts_are_compared_in_words(apart, said):
    from ecmt_deploy.runs.record import Conformance

    made = cases.report()
    compared = Conformance(
        reference_target="reference",
        samples=4,
        spikes_equal=True,
        counts_equal=True,
        max_abs_logit_difference=apart,
        differences=[],
    )
    page = render(replace(made, record=replace(made.record, conformance=compared)))
    assert f"the spikes are equal, the counts of every node are equal,\n{said}." in page
