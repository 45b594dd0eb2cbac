"""Functions without a price: scaled from 45 nm by hand, shown apart, and in the total only where asked."""

import csv
import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ecmt_deploy as ecmt
from ecmt_deploy import chips
from ecmt_deploy import estimation as pricing
from ecmt_deploy.chips.recipes import function_prices
from ecmt_deploy.estimation.assumed import assumed_prices
from ecmt_deploy.estimation.nodes import energy_factor, scaling
from ecmt_deploy.report import tables
from ecmt_deploy.report.remarks import notes
from ecmt_deploy.runs.directory import save_run
from ecmt_deploy.simulation.run import simulate
from ecmt_deploy.testing.handmade import images
from tests.support.runs import record
from tests.support.two_layers import figure, near

HOROWITZ, LOIHI, SENECA = (chips.hardware(name) for name in ("horowitz45", "loihi1", "seneca"))
COUNTS = {"ecm_ops.softmax", "ecm_ops.gelu"}


@pytest.fixture(scope="module")
def made(all_programs):
    program = all_programs["transformer, accurate"]
    return program, simulate(program, images(4), "torch", 3)


def test_factors_are_those_of_the_authors_corrigendum():
    """0.4571 at 0.9 V, 2.604 at 1.3 V, and their ratio, 0.1755: https://vcl.ece.ucdavis.edu, Technology Scaling."""
    assert energy_factor(32, 0.9) == pytest.approx(0.4571, abs=5e-5)
    assert energy_factor(65, 1.3) == pytest.approx(2.604, abs=5e-4)
    assert energy_factor(32, 0.9) / energy_factor(65, 1.3) == pytest.approx(0.1755, abs=1e-4)


@given(st.floats(7, 45), st.floats(0.5, 1.2), st.booleans())
def test_smaller_processes_and_voltages_take_less(node, volts, low_power):
    here = energy_factor(node, volts, low_power)
    assert 0 < here <= energy_factor(node, volts + 0.05, low_power)
    assert here <= energy_factor(45, volts, low_power) * 1.01
    assert energy_factor(6.9, volts) is None
    assert energy_factor(131, volts) is None


def test_between_two_processes_the_factor_is_linear():
    low, high = energy_factor(20, 0.8), energy_factor(32, 0.8)
    assert energy_factor(26, 0.8) == pytest.approx((low + high) / 2)


def test_one_price_by_hand():
    """An element of relu on Loihi 1, 14 nm at 0.75 V: a compare and two adds of 0.9 pJ, 3 loads and 2 stores.

    A core's 128 KiB at 45 nm: 20 + (100 - 20) (131072 - 32768) / (1048576 - 32768) pJ for 64 bits, half of it for 32.
    """
    access = (20 + 80 * 98304 / 1015808) / 2
    high_performance = (0.2363 * 0.75**2 - 0.09675 * 0.75 + 0.02239) / (1.018 * 0.9**2 - 0.3107 * 0.9 + 0.1539)
    low_power = (0.1556 * 0.75**2 - 0.06472 * 0.75 + 0.03066) / (1.103 * 0.9**2 - 0.362 * 0.9 + 0.2767)
    least, mean, most = low_power, (low_power + high_performance) / 2, high_performance
    assert scaling(LOIHI.node_nm, LOIHI.supply_v, HOROWITZ.node_nm, HOROWITZ.supply_v) == near(least, mean, most)
    price = assumed_prices(LOIHI, HOROWITZ)["ecm_op_pj.relu"]
    alone, whole = 3 * 0.9, 3 * 0.9 + 5 * access
    assert (price.low, price.value) == pytest.approx((alone * least, whole * mean))
    assert price.high == pytest.approx((whole + 2 * 3.7) * most)  # in rate coding 2 muls more
    assert (price.method, price.grade) == ("assumed", "D")


def test_a_voltage_that_is_not_stated_is_a_range():
    known = scaling(LOIHI.node_nm, figure(0.9, "V", low=0.5, high=0.9), HOROWITZ.node_nm, HOROWITZ.supply_v)
    assert scaling(LOIHI.node_nm, None, HOROWITZ.node_nm, HOROWITZ.supply_v) == known
    assert known.low < known.value < known.high


@pytest.mark.parametrize(
    "chip",
    [
        msgspec.structs.replace(LOIHI, node_nm=None),
        msgspec.structs.replace(LOIHI, node_nm=figure(250, "nm")),
        msgspec.structs.replace(
            LOIHI, limits=msgspec.structs.replace(LOIHI.limits, synaptic_memory_bytes_per_core=None)
        ),
    ],
    ids=["no process", "a process beyond the table", "no memory"],
)  # fmt: skip
def test_what_cannot_be_scaled_is_unknown(made, chip):
    program, run = made
    assert assumed_prices(chip, HOROWITZ) == {}
    result = pricing.energy(run.activity, program, chip, assume_functions=True)
    assert result.assumed_functions_pj is None
    assert not result.functions_assumed
    assert result.unpriced.keys() >= COUNTS


def test_it_is_apart_and_in_the_total_where_asked(made):
    program, run = made
    prices = assumed_prices(LOIHI, HOROWITZ)
    without, asked = (pricing.energy(run.activity, program, LOIHI, assume_functions=asked) for asked in (False, True))
    functions = {name: amount for name, amount in without.unpriced.items() if name.startswith("ecm_ops.")}
    expected = sum(amount * prices[name.replace("ops", "op_pj")].value for name, amount in functions.items())
    assert without.assumed_functions_pj == asked.assumed_functions_pj
    assert without.assumed_functions_pj.value == pytest.approx(expected)
    assert "assumed_functions" not in without.components_pj
    assert without.unpriced.keys() >= COUNTS
    assert (without.functions_assumed, asked.functions_assumed) == (False, True)
    for end in ("low", "value", "high"):
        more = getattr(asked.total_pj, end) - getattr(without.total_pj, end)
        assert more == pytest.approx(getattr(without.assumed_functions_pj, end))
    assert asked.components_pj["assumed_functions"].value == pytest.approx(expected)
    rows = [row.components_pj.get("assumed_functions", pricing.NOTHING).value for row in asked.rows]
    assert sum(rows) == pytest.approx(expected)
    assert without.unpriced.keys() - functions.keys() == asked.unpriced.keys()
    assert without.paper == asked.paper
    assert without.memory == asked.memory
    assert msgspec.json.decode(msgspec.json.encode(asked), type=pricing.Energy) == asked


def test_where_every_function_has_a_price_nothing_is_assumed(made):
    program, run = made
    for name in ("seneca", "horowitz45"):
        result = pricing.energy(run.activity, program, name, assume_functions=True)
        assert result.assumed_functions_pj is None
        assert result == pricing.energy(run.activity, program, name)


def test_the_one_chip_with_both_is_within_the_band():
    """The estimate against SENECA's own prices: every one of its values lies in the assumed band."""
    own, assumed = function_prices(SENECA), assumed_prices(SENECA, HOROWITZ)
    assert own.keys() == assumed.keys()
    for name, price in own.items():
        assert assumed[name].low <= price.value <= assumed[name].high * 1.01, name


def test_in_what_is_printed_and_written(made, tmp_path, monkeypatch, capsys):
    from rich.console import Console

    from ecmt_deploy.cli import main
    from ecmt_deploy.program import write

    program, run = made
    write(program, tmp_path / "p.nir")
    save_run(tmp_path / "run", record(program, run), run, program, tmp_path / "p.nir")
    found = {}
    for asked in (False, True):
        results = ecmt.energy(tmp_path / "run", ["loihi1"], assume_functions=asked, out=tmp_path / f"{asked}.csv")
        console = Console(width=120)
        with console.capture() as shown:
            console.print(tables.energy(results, 120, details=True))
        (line,) = (line for line in notes(results) if line.startswith("loihi1: functions, assumed"))
        assert ("not in the total" in line) != asked
        assert ("--assume-functions" in line) != asked
        assert ("functions, assumed: not in it" in shown.get()) != asked
        assert ("assumed_functions" in shown.get()) == asked
        lines = (tmp_path / f"{asked}.csv").read_text(encoding="utf-8").splitlines()
        (total,) = (row for row in csv.DictReader(lines) if row["node"] == "total")
        assert ("assumed_functions_pj" in total) == asked
        assert ("ecm_ops.gelu" in total["unpriced"]) != asked
        found[asked] = results[0]
    for flags in ([], ["--assume-functions"]):
        arguments = ["energy", str(tmp_path / "run"), "--hardware", "loihi1", "--json", *flags]
        monkeypatch.setattr("sys.argv", ["ecmt-deploy", *arguments])
        main()
        (written,) = json.loads(capsys.readouterr().out)
        assert written["functions_assumed"] == bool(flags)
        assert written["total_pj"]["value"] == pytest.approx(found[bool(flags)].total_pj.value)
    ecmt.report([tmp_path / "run"], tmp_path / "report.html", ["loihi1"])
    assert "functions, assumed: not in the total" in (tmp_path / "report.html").read_text(encoding="utf-8")
