"""docs/targets.md followed to the letter: a target of another package is found and passes; a wrong one is told where."""

from __future__ import annotations

import importlib
import re
import sys

import numpy as np
import pytest

from ecmt_deploy import testing
from ecmt_deploy.errors import ConfigError, TargetError
from ecmt_deploy.kernels import kernels, present
from ecmt_deploy.program.activity import Activity
from ecmt_deploy.simulation.run import simulate
from ecmt_deploy.simulation.target import Run
from ecmt_deploy.targets.reference import ReferenceTarget
from tests.support.installed import ROOT
from tests.support.pages import follow

DOCUMENT = ROOT / "docs" / "targets.md"
PAGE = DOCUMENT.read_text()
CASE = "every node, rate"


@pytest.fixture
def package(tmp_path, monkeypatch):
    """The package of the page, as pip leaves it."""
    follow(DOCUMENT, tmp_path)
    (registered,) = re.findall(r'\[project\.entry-points\."(.*?)"\]\n(\w+) = "(.*?)"', PAGE)
    information = tmp_path / "mychip-0.1.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: mychip\nVersion: 0.1\n")
    (information / "entry_points.txt").write_text("[{}]\n{} = {}\n".format(*registered))
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("mychip")
    sys.modules.pop("mychip")


def test_the_page_is_followed(package, tmp_path, capsys, monkeypatch):
    """In this process, in which the cases may be made already. The target is found by the name that its package registers; its
    tests are given the outcomes of the run whose summary the page shows, instead of running everything once more."""
    whole = testing.conformance("mychip")
    asked = []
    monkeypatch.setattr(testing, "check", lambda target, name: asked.append((target, name)) or whole.outcomes[name])
    status = pytest.main(["-q", "-rs", "-p", "no:cacheprovider", "-p", "no:xdist", str(tmp_path / "test_mychip.py")])
    printed = capsys.readouterr().out
    assert status == 0, printed
    assert asked == [("mychip", name) for name in testing.CASES]
    said = str(whole)
    assert "".join(f"    {line}\n" for line in said.splitlines()) in PAGE
    equal, different, unsupported = map(int, re.findall(r"(\d+) (?:cases equal|different|unsupported)", said))
    assert f"{equal} passed, {unsupported} skipped" in printed
    assert equal > 20
    assert different == 0


class Dropping(ReferenceTarget):
    """Drops the first spike that a neuron fires at a step: neither sent nor counted there."""

    name = "dropping"

    def __init__(self, node: str, step: int, records: bool) -> None:
        self.node, self.step, self.records = node, step, records

    def run(self, program, inputs, timesteps, *, dtype, progress=None, probes=()):
        if probes and not self.records:
            raise TargetError("target dropping records no probes")
        running = kernels(program, dtype)
        outputs = np.zeros((timesteps, len(inputs), *program.output_shape), dtype)
        series = {probe: [] for probe in probes}
        for i, sample in enumerate(inputs):
            present(program, running, sample)
            for each in running.values():
                each.reset()
            for t in range(1, timesteps + 1):
                streams = {}
                for name, each in running.items():
                    streams[name] = each.step(t, *(streams[operand] for operand in program.operands[name]))
                    value = streams[name].value
                    if (i, t, name) == (0, self.step, self.node):
                        value.flat[np.flatnonzero(value)[0]] = 0
                outputs[t - 1, i] = streams[program.output_name].value
                for probe, recorded in series.items():
                    value = streams[probe.node].value if probe.kind == "spikes" else running[probe.node].state()
                    recorded.append(np.array(value))
        activity = Activity(len(inputs), timesteps, {name: each.counts for name, each in running.items()})
        shaped = {probe: np.reshape(each, (len(inputs), timesteps, *np.shape(each[0]))) for probe, each in series.items()}
        return Run(outputs, activity, shaped)


@pytest.mark.parametrize("step", [1, 3])
@pytest.mark.parametrize("records", [True, False])
def test_a_dropped_spike_is_told_by_node_count_and_step(step, records):
    outcome = testing.check(Dropping("spread.neuron", step, records), CASE)
    assert not outcome.equal
    first = outcome.differences[0]
    if records and step == 3:
        assert f"    {first}\n" in PAGE
    if records:
        assert re.fullmatch(
            rf"node spread\.neuron, step {step}: spikes of sample 0, element \[.*\]: 0\.0, the reference has -?0\.\d+", first
        )
    else:
        assert outcome.unrecorded == "target dropping records no probes"
        assert re.fullmatch(rf"node spread, step {step}: synops so far: \d+, the reference has \d+", first)
    summary = str(testing.conformance(Dropping("spread.neuron", step, records), [CASE]))
    assert summary.startswith("target dropping: 0 cases equal, 1 different, 0 unsupported\n")
    assert f"different: {CASE}: {first}" in summary


def test_a_count_that_cannot_be_is_told_with_its_step():
    class Forgetful(ReferenceTarget):
        name = "forgetful"

        def run(self, program, inputs, timesteps, **options):
            run = super().run(program, inputs, timesteps, **options)
            if timesteps > 1:
                del run.activity.nodes["spread"]
            return run

    (line,) = testing.check(Forgetful(), CASE).differences
    assert line.startswith("step 2: target forgetful returned what cannot be: no counts of node spread")


def test_what_is_recorded_must_be_what_was_asked_for():
    class Silent(ReferenceTarget):
        def run(self, *arguments, probes=(), **options):
            return super().run(*arguments, **options)

    assert "node spread.neuron: spikes were asked for and not recorded" in testing.check(Silent(), CASE).differences


def test_senseless_requests_are_one_line():
    with pytest.raises(ConfigError, match=r"there is no case 'evry node'; .* for example every node"):
        testing.check("reference", "evry node")
    for other in ("nobody", 5, object()):
        with pytest.raises(TargetError, match="unknown target .*; registered: "):
            simulate(*testing.case(CASE)[:2], other)
