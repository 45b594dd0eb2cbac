"""Every DOI, eprint and address of a chip file was looked up, or says why not; and no bound contradicts what was measured."""

from datetime import date
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ecmt_deploy import chips

ALL = chips.available()
CHECKED: dict[str, dict[str, Any]] = msgspec.toml.decode((Path(__file__).parent / "checked_references.toml").read_bytes())
SOURCES = {key: source for name in ALL for key, source in chips.hardware(name).sources.items()}
IDENTIFIERS = ("doi", "eprint", "url")


def identifiers(key: str) -> dict[str, str]:
    return {name: text for name in IDENTIFIERS if (text := getattr(SOURCES[key], name))}


def test_the_list_is_of_the_sources_of_the_files():
    assert CHECKED.keys() == SOURCES.keys(), "look it up, and say in checked_references.toml what was found"


@pytest.mark.parametrize("key", sorted(SOURCES))
def test_every_identifier_was_looked_up_or_says_why_not(key):
    entry = CHECKED[key]
    assert set(entry) <= {"found", "unchecked", "what", "reason", "on"}
    assert entry["what"]
    assert isinstance(entry["on"], date)
    found, unchecked = entry.get("found", {}), entry.get("unchecked", {})
    assert not found.keys() & unchecked.keys()
    assert {**found, **unchecked} == identifiers(key), "the file names another one than was looked up"
    nothing_to_see = not identifiers(key)
    assert bool(unchecked or nothing_to_see) == bool(entry.get("reason")), (
        "a reason where something was not found, and only there"
    )


def test_what_was_not_found_is_known():
    """Who adds to this list says so here."""
    unchecked = {key for key, entry in CHECKED.items() if entry.get("unchecked")}
    assert unchecked == {
        "akopyan2015truenorth", "davies2018loihi", "debole2019truenorth", "horowitz2014", "rueckauer2022nxtf",
        "scholze2026spinnaker2",
    }  # fmt: skip


def test_a_notebook_is_named_with_its_path_and_version():
    notebooks = [source for source in SOURCES.values() if source.url.endswith(".ipynb")]
    assert len(notebooks) == 2
    for source in notebooks:
        assert "/tutorials/" in source.url
        assert "commit" in source.note


@pytest.mark.parametrize("name", ALL)
def test_every_price_time_and_process_says_where_it_stands(name):
    described = chips.hardware(name)
    figures = {**described.prices, **described.times, **described.operations}
    figures |= {key: figure for key in ("node_nm", "supply_v") if (figure := getattr(described, key)) is not None}
    for key, figure in figures.items():
        assert figure.where, f"{key}: in which table, figure or condition?"
        assert figure.source
        if figure.method == "derived":
            assert figure.derivation, f"{key}: derived how?"
        if figure.grade == "D":
            assert figure.method == "assumed", f"{key}: sources that conflict make an assumption"


#: what was measured or published of a whole chip, per action in pJ or mW: the arithmetic is the source's, not the file's
EVIDENCE = [
    # PilotNet on Oheo Gulch: 1094 uJ of dynamic energy an inference of 16 steps, 2.29 million events a step
    ("loihi2", "synop_pj", 1094e6 / (16 * 2.29e6)),
    # Hala Point at its best rate: 2600 W at 380 T events a second
    ("loihi2", "synop_pj", 2600 / 380),
    # the same notebook: 0.232 W; others from 0.23 to 0.28 W
    ("loihi2", "static_mw", 232.0),
    # a fit on silicon: dense, sparse and convolutional synapses
    ("loihi1", "synop_pj", 35.5),
    ("loihi1", "synop_pj", 33.6),
    ("loihi1", "synop_pj", 24.0),
    # the slope between two measured powers of a whole chip
    ("truenorth", "synop_pj", (94 - 68) * 1e9 / (2**20 * 128 * (95.93 - 11.58))),
    # 477 uW at 37.5 million events a second, less leakage and clock
    ("odin", "synop_pj", (477 - 27.3 - 1.78 * 75) / 37.5),
    # int8 at high efficiency, and at high performance; an operation is half a multiply-accumulate
    ("spinnaker2", "mac_pj", 2 / 2.77),
    ("spinnaker2", "mac_pj", 2 / 2.06),
    # baseline of a chip below 250 mW
    ("spinnaker2", "static_mw", 250.0),
    ("seneca", "synop_pj", 2.8),
]


@pytest.mark.parametrize(("name", "price", "measured"), EVIDENCE)
def test_no_bound_contradicts_what_was_measured(name, price, measured):
    figure = chips.hardware(name).prices[price]
    low, high = (figure.value if end is None else end for end in (figure.low, figure.high))
    if figure.bound != "lower":  # a lower bound has no upper end
        assert measured <= high * 1.01, f"{price} is at most {high}, and {measured:.3g} was measured"
    if figure.bound != "upper":
        assert measured >= low * 0.99, f"{price} is at least {low}, and {measured:.3g} was measured"


def test_every_price_that_claims_a_bound_is_held_against_evidence_or_says_what_it_is():
    """A bound without evidence here is one of a table's own words, of a derivation from parts, or of an accelerator alone."""
    held = {(name, price) for name, price, _ in EVIDENCE}
    claimed = {
        (name, price)
        for name in ALL
        for price, figure in chips.hardware(name).prices.items()
        if figure.bound != "exact" and (name, price) not in held
    }
    assert claimed == {
        ("horowitz45", "message_pj"), ("horowitz45", "analog_message_pj"), ("seneca", "message_in_pj"),
        ("spinnaker2", "ecm_op_pj.exp"), ("spinnaker2", "ecm_op_pj.softmax"),
    }  # fmt: skip
    for name, price in claimed:
        assert chips.hardware(name).prices[price].note, f"{name}: {price}: what is left out?"
