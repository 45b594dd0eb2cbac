"""BibTeX of a bill has the sources of the prices that it charges, and of no other."""

from __future__ import annotations

import re

import msgspec
import pytest

from ecmt_deploy.chips import Source, available, hardware
from ecmt_deploy.errors import HardwareError
from ecmt_deploy.estimation import energy
from ecmt_deploy.report.papers import bibliography, cited
from ecmt_deploy.simulation.run import simulate
from ecmt_deploy.testing.cases import CASES, case

ENTRY = Source(type="misc", title="t", author="a", year=2000)


@pytest.fixture(scope="module")
def run():
    """A transformer of every kind of node, run once."""
    wanted = case(next(name for name in CASES if "transformer" in name))
    return simulate(wanted.program, wanted.inputs, timesteps=wanted.timesteps, target="reference")


@pytest.mark.parametrize("name", available())
def test_a_price_is_cited_exactly_where_another_would_change_the_bill(run, name: str) -> None:
    chip = hardware(name)
    apart = {key: msgspec.structs.replace(price, source=(f"price_{key}",)) for key, price in chip.prices.items()}
    sources = {**chip.sources, **{f"price_{key}": ENTRY for key in apart}}
    chip = msgspec.structs.replace(chip, prices=apart, sources=sources)
    said = energy(run, chip)
    assert set(said.sources) == {key for row in said.rows for key in row.sources} | {
        f"price_{key}" for key in apart if key.endswith("_mw") and "static" in said.components_pj
    }
    for key, price in apart.items():
        dearer = {**apart, key: msgspec.structs.replace(price, value=3 * price.value + 1, low=None, high=None)}
        changed = energy(run, msgspec.structs.replace(chip, prices=dearer)).total_pj.value != said.total_pj.value
        assert changed == (f"price_{key}" in said.sources), key


def test_bibtex_has_every_key_once_and_sorted(run) -> None:
    bills = [energy(run, name) for name in ("loihi2", "seneca", "loihi2")]
    keys = re.findall(r"^@\w+\{(.*),$", bibliography(bills), re.MULTILINE)
    assert keys == sorted(set(keys))
    assert set(cited(bills)) <= set(cited(bills, views=True)) == set(keys)
    assert "horowitz2014" in keys
    assert "horowitz2014" not in cited(bills)


def test_two_sources_of_one_key_are_refused(run) -> None:
    bill = energy(run, "loihi2")
    other = msgspec.structs.replace(bill, hardware="mine", sources=dict.fromkeys(bill.sources, ENTRY))
    with pytest.raises(HardwareError, match="another key"):
        bibliography([bill, other])
