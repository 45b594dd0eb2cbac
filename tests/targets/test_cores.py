"""Target cores: what runs core by core is what the reference runs, and what is measured is what a recount by hand finds."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from math import prod

import numpy as np
import pytest

from ecmt_deploy.errors import TargetError
from ecmt_deploy.estimation.timing import depth_of
from ecmt_deploy.placement import place
from ecmt_deploy.placement.loads import Loads
from ecmt_deploy.placement.placed import Placed, placed
from ecmt_deploy.program import Program, Provenance, ops, verify
from ecmt_deploy.simulation.run import simulate
from ecmt_deploy.simulation.streams import stream
from ecmt_deploy.simulation.target import Probe, Run
from ecmt_deploy.targets.cores import CoresTarget
from ecmt_deploy.testing import Case, differences, integer_program
from tests.support.random_chips import made_chip, random_chip

SEEDS, MANY_SEEDS = range(40), range(40, 1040)


def on_cores(case: Case, hardware: object) -> tuple[Run, Run] | None:
    """Runs on cores and on the reference, with every stream of spikes and every state; ``None`` where a unit has no cores."""
    program, x, timesteps = case
    probes = [Probe(name, "spikes") for name in program.neurons]
    probes += [Probe(name, "state") for name in program.nodes if program.state(name)]
    try:
        found = simulate(program, x, CoresTarget(), timesteps, "fixed", hardware=hardware, allow_misfit=True, probes=probes)
    except TargetError as error:
        assert "can hold" in str(error)
        return None
    return found, simulate(program, x, "reference", timesteps, "fixed", probes=probes)


def require_equal(seed: int) -> None:
    case = integer_program(seed)
    if (runs := on_cores(case, random_chip(seed))) is not None:
        assert list(differences(case.program, *runs)) == []
        assert runs[0].activity.steps == runs[1].activity.steps != ()


@pytest.mark.parametrize("seed", SEEDS)
def test_random_programs_on_random_cores(seed: int) -> None:
    require_equal(seed)


def test_most_of_them_run_on_several_cores() -> None:
    sizes = [placed(integer_program(seed).program, random_chip(seed)) for seed in SEEDS]
    assert sum(not each.homeless for each in sizes) > len(SEEDS) / 2
    assert np.median([each.cores for each in sizes]) >= 3


@pytest.mark.slow
@pytest.mark.parametrize("seed", MANY_SEEDS)
def test_many_random_programs_on_random_cores(seed: int) -> None:
    require_equal(seed)


def recount(where: Placed, run: Run, program: Program) -> Counter[tuple[int, ...]]:
    """Packets by (step of the chip, source, target) of the spikes that were recorded, one message after another; every element
    of every operand that a core needs is looked for."""
    found: Counter[tuple[int, ...]] = Counter()
    for population in where.populations.values():
        for k, operand in enumerate(population.operands):
            for emitter, places in operand.sources.items():
                if program.nodes[emitter].emits != "spikes":
                    continue
                (series,) = (values for probe, values in run.probes.items() if probe == Probe(emitter, "spikes"))
                for core, share in zip(population.cores, population.shares, strict=True):
                    needed = share.operands[k].ravel()
                    elements = set(needed.tolist() if places is None else places.ravel()[needed].tolist()) - {-1}
                    for element in elements:
                        source = int(where.populations[emitter].core_of[element])
                        if source == core:
                            continue
                        for t, spikes in enumerate(series.reshape(*series.shape[:2], -1)[:, :, element].T):
                            step = t + where.places[emitter] - 1
                            found[step, source, core] += int(np.count_nonzero(spikes))
    return +found


@pytest.mark.parametrize("seed", range(16))
def test_packets_of_spikes_by_a_recount(seed: int) -> None:
    """Packets, hops and crossings of spikes, and the links of all packets, message by message."""
    case, hardware = integer_program(seed), random_chip(seed)
    runs = on_cores(case, hardware)
    if runs is None:
        pytest.skip("a unit has no cores")
    where, loads = placed(case.program, hardware), runs[0].loads
    packets = recount(where, runs[0], case.program)
    by_core = np.zeros((loads.steps, loads.cores), np.int64)
    for (step, source, _), count in packets.items():
        by_core[step, source] += count
    assert np.array_equal(loads.total_of("packets"), by_core)
    # every packet is on as many links as it has hops
    hops = loads.total_of("hops_ew") + loads.total_of("hops_ns")
    assert np.array_equal(hops.sum(axis=1), loads.link_packets.sum(axis=1))
    all_packets = loads.total("packets")
    assert all_packets.sum() == loads.total_of("packets_in").sum()
    if where.terms.mesh is None:
        assert loads.links == ()


FORMAT = {"exponent": 0, "state_bits": 24}
PLAIN, AT_REST = ops.NumberFormat(**FORMAT), np.zeros((), np.int32)


def as_it_is(outputs: int) -> ops.Weighted:
    """The format of synapses whose sums are sent as they are."""
    return ops.Weighted(weight_bits=8, multiplier=np.ones(outputs, np.int16), shift=np.zeros(outputs, np.int8), **FORMAT)


def graded(bits: int) -> ops.Graded:
    """Neurons of base 1 that send at most 2**(bits - 1) - 1 of their membrane in a step."""
    return ops.Graded(np.asarray(1, np.int32), bits, initial_membrane=AT_REST, format=PLAIN)


def chain(shape: tuple[int, int], neuron: ops.Graded, *middle: tuple[str, ops.Op], out: tuple[int, ...]) -> Program:
    """Neurons that get the image as it is, and what follows them."""
    encode = ops.LastAxisLinear(np.eye(shape[-1], dtype=np.int8), format=as_it_is(shape[-1]))
    nodes = {
        "input": ops.Input(input_type={"input": np.array(shape)}, format=ops.NumberFormat(exponent=0, state_bits=16)),
        "encode": encode,
        "neuron": neuron,
        **dict(middle),
        "readout": ops.Readout("differential", format=PLAIN),
        "output": ops.Output(output_type={"output": np.array(out)}),
    }
    return verify(nodes, list(pairwise(nodes)), Provenance(tool_version="test"))


def test_an_event_in_a_row_counts_for_the_row_wherever_it_lies() -> None:
    """Channel 0 goes on spiking after t = 1, channel 1 does not; the mean of each is on a core of its own, but both are one
    row, which is sent whole."""
    conv = ops.Conv1d(None, np.ones((2, 1, 1), np.int8), 1, 0, 1, 2, np.zeros(2, np.int8), format=as_it_is(2))
    averaged = ops.Requantised(multiplier=np.asarray(1, np.int16), shift=np.asarray(1, np.int8), **FORMAT)
    middle = (("conv", conv), ("mean", ops.Mean(np.array([1]), False, format=averaged)))
    program = chain((2, 2), graded(2), *middle, out=(2,))
    case = Case(program, np.array([[[5.0, 5.0], [1.0, 1.0]]]), 3)
    hardware = made_chip({}, weight_bits=8, state_bits=24, neurons_per_core=1)
    runs = on_cores(case, hardware)
    assert runs is not None
    assert len(placed(program, hardware).populations["mean"].cores) == 2
    assert runs[1].activity["mean"].analog_messages == 3 * 2
    assert list(differences(program, *runs)) == []


def test_four_cores_by_hand() -> None:
    """4 tokens of 2 -> neurons -> 4 channels, on tiles of one core, 2 x 2 of them a chip, 4 neurons a core.

    encode with its neurons: 4 x 2 = 8 outputs, so 2 cores of 2 rows. layer: 4 x 4 = 16, so 4 cores of 2 x 2: cores 2, 3 take
    rows 0 and 1, cores 4, 5 rows 2 and 3. Tiles to and fro: core 0 at (0, 0), 1 at (1, 0), 2 at (1, 1), 3 at (0, 1) of chip 0;
    4 at (2, 0), 5 at (3, 0) of chip 1.

    At t = 1 every neuron fires: each of the 4 spikes of core 0 goes to cores 2 and 3, each of core 1's to 4 and 5. Core 0 is
    1 + 1 hops from core 2 and 0 + 1 from core 3: 4 packets each. Core 1 is 1 from core 4 and 2 from core 5, over the border of
    the chips. At t = 2 nothing comes.
    """
    layer = ops.LastAxisLinear(np.ones((4, 2), np.int8), format=as_it_is(4))
    case = Case(chain((4, 2), graded(8), ("layer", layer), out=(4, 4)), np.ones((1, 4, 2)), 2)
    limits = {"tile_columns": 2, "tile_rows": 2, "cores_per_tile": 1, "neurons_per_core": 4}
    hardware = made_chip({"weight_sharing": True}, weight_bits=8, state_bits=24, **limits)
    runs = on_cores(case, hardware)
    assert runs is not None
    assert list(differences(case.program, *runs)) == []
    loads = runs[0].loads
    assert (loads.steps, loads.cores, loads.samples) == (3, 6, 1)
    assert loads.total_of("packets").tolist() == [[8, 8, 0, 0, 0, 0], [0] * 6, [0] * 6]
    assert loads.total_of("packets_in").tolist() == [[0, 0, 4, 4, 4, 4], [0] * 6, [0] * 6]
    assert loads.total_of("hops_ew")[0].tolist() == [4, 12, 0, 0, 0, 0]
    assert loads.total_of("hops_ns")[0].tolist() == [8, 0, 0, 0, 0, 0]
    assert loads.total_of("chip_crossings")[0].tolist() == [0, 8, 0, 0, 0, 0]
    # each core of layer meets 4 spikes of 2 channels each in the step after
    assert loads.total_of("synops").tolist() == [[0] * 6, [0, 0, 8, 8, 8, 8], [0] * 6]
    assert loads.total_of("macs").tolist() == [[8, 8, 0, 0, 0, 0], [0] * 6, [0] * 6]
    packets = dict(zip(loads.links, loads.link_packets[0].tolist(), strict=True))
    assert packets == {
        (0, 0, 0, 1, 0): 4,  # core 0 to core 2, first along its row
        (0, 1, 0, 1, 1): 4,  # then down
        (0, 0, 0, 0, 1): 4,  # core 0 to core 3
        (0, 1, 0, 2, 0): 8,  # core 1 over the border
        (1, 0, 0, 1, 0): 4,  # and on to core 5
    }


@pytest.mark.parametrize("seed", range(12))
def test_averages_of_the_placement_where_all_elements_send_equally(seed: int) -> None:
    """Analog messages at t = 1 leave from every element once: packets and hops are the placement's averages times elements."""
    case, hardware = integer_program(seed), random_chip(seed)
    runs = on_cores(case._replace(timesteps=1, inputs=case.inputs[:1]), hardware)
    if runs is None:
        pytest.skip("a unit has no cores")
    program, placement, loads = case.program, place(case.program, hardware), runs[0].loads
    analog = [route for route in placement.routes if program.nodes[route.source].emits == "analog"]
    sizes = [prod(program.shapes[route.source]) for route in analog]
    spiking = [route for route in placement.routes if program.nodes[route.source].emits == "spikes"]
    total = sum(route.packets * size for route, size in zip(analog, sizes, strict=True))
    assert loads.total_of("packets.analog").sum() == round(total)
    if not spiking:
        for action in ("hops_ew", "hops_ns", "chip_crossings"):
            expected = sum(getattr(route, action) * size for route, size in zip(analog, sizes, strict=True))
            assert loads.total_of(action).sum() == round(expected)


@pytest.mark.parametrize("seed", range(20))
def test_utilisation_is_the_placements(seed: int) -> None:
    """Cores, output axons, neurons and packets of a placement, from what each core really holds and sends."""
    program, hardware = integer_program(seed).program, random_chip(seed)
    placement, where = place(program, hardware), placed(program, hardware)
    assert where.cores == placement.cores
    if not where.homeless:
        assert where.depth == depth_of(program, placement)
    sent: Counter[tuple[str, str]] = Counter()
    leaving = np.zeros(where.cores, np.int64)
    for each in where.packets:
        sent[each.emitter, each.consumer] += len(each.elements)
        leaving += np.bincount(each.sources, minlength=where.cores)
    routes: Counter[tuple[str, str]] = Counter()
    for route in placement.routes:
        routes[route.source, route.target] += round(route.packets * prod(program.shapes[route.source]))
    assert sent == routes
    for unit in placement.units:
        if not unit.cores:
            continue
        cores = range(unit.first_core, unit.first_core + unit.cores)
        assert {core for name in unit.nodes for core in where.populations[name].cores} == set(cores)
        assert unit.use["output_axons"].used == leaving[list(cores)].max()
        first = where.populations[unit.name]
        most = max(share.elements.size for share in first.shares)
        assert most <= unit.use["neurons"].used
        assert most <= unit.rows_per_core * unit.columns_per_core


def test_it_needs_a_chip_and_integers() -> None:
    case = integer_program(0)
    with pytest.raises(TargetError, match="is placed on no chip; name one with --hardware NAME"):
        simulate(case.program, case.inputs, CoresTarget(), 1, "fixed")
    hardware = made_chip({}, neurons_per_core=1, fan_in_per_neuron=1)
    with pytest.raises(TargetError, match="no core of chip can hold .* so they cannot run on target cores"):
        simulate(case.program, case.inputs, CoresTarget(), 1, "fixed", hardware=hardware, allow_misfit=True)


def test_loads_of_two_samples_are_the_sum() -> None:
    case, hardware = integer_program(1), random_chip(1)

    def loads(x: np.ndarray) -> Loads:
        found = simulate(case.program, x, CoresTarget(), 2, "fixed", hardware=hardware, allow_misfit=True).loads
        assert found is not None
        return found

    both, added = loads(case.inputs), loads(case.inputs[:1]) + loads(case.inputs[1:])
    assert both.samples == added.samples == 2
    assert np.array_equal(both.link_packets, added.link_packets)
    assert all(np.array_equal(both.total_of(name), added.total_of(name)) for name in both.core_actions)


def test_streams_are_refused_in_a_line() -> None:
    layer = ops.LastAxisLinear(np.ones((4, 2), np.int8), format=as_it_is(4))
    program = chain((4, 2), graded(8), ("layer", layer), out=(4, 4))
    with pytest.raises(TargetError, match="target cores begins every inference anew; streams run on torch, reference and lava"):
        stream(program, [np.ones((4, 2))], CoresTarget(), 1, precision="fixed", hardware="loihi2", allow_misfit=True)
