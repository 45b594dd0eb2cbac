"""Placement: cores, use, packets and hops worked out by hand, and checked against what the kernels really depend on."""

from __future__ import annotations

from collections import Counter, defaultdict
from functools import cache
from itertools import pairwise
from math import ceil, prod

import nir
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecmt_deploy.chips import Abilities, Ability, Figure, Hardware, Limits, Source
from ecmt_deploy.errors import HardwareError
from ecmt_deploy.kernels import Site, Stream, kernel
from ecmt_deploy.placement import Placement, place
from ecmt_deploy.placement.settling import settle
from ecmt_deploy.placement.streams import operands
from ecmt_deploy.placement.terms import RESOURCES, Terms
from ecmt_deploy.program import Program, ops
from ecmt_deploy.quantization import quantize
from ecmt_deploy.testing import integer_program
from ecmt_deploy.testing.handmade import every_node, neuron
from ecmt_deploy.testing.handmade import program as verified
from tests.support.attention import attention
from tests.support.rounding import rounding_each

WHERE = {"source": ("self",), "method": "assumed", "grade": "C"}


def chip(abilities: dict[str, bool] | None = None, **limits: int) -> Hardware:
    """A chip of these limits; weights of 8 bits and states of 24 unless said."""
    limits = {"weight_bits": 8, "state_bits": 24, **limits}
    return Hardware(
        name="chip", title="a chip", description="for tests",
        sources={"self": Source("misc", "a chip", "ourselves", 2025)},
        limits=Limits(**{name: Figure(value=value, unit="", **WHERE) for name, value in limits.items()}),
        prices={},
        abilities=Abilities(**{name: Ability(value=value, **WHERE) for name, value in (abilities or {}).items()}),
    )  # fmt: skip


SHARING = {"weight_sharing": True}


def chain(*middle: tuple[str, nir.NIRNode], shape: tuple[int, ...], out: tuple[int, ...]) -> Program:
    """Nodes one after the other, from the input to a readout."""
    steps = [("input", nir.Input(input_type={"input": np.array(shape)})), *middle, ("readout", ops.Readout("differential")),
             ("output", nir.Output(output_type={"output": np.array(out)}))]  # fmt: skip
    names = [name for name, _ in steps]
    return verified(dict(steps), list(pairwise(names)))


def linear(out: int, into: int) -> ops.LastAxisLinear:
    return ops.LastAxisLinear(np.ones((out, into)))


def two_layers() -> Program:
    """4 tokens of 3 features -> 2 channels -> neurons -> 4 channels."""
    return chain(("first", linear(2, 3)), ("neuron", neuron()), ("second", linear(4, 2)), shape=(4, 3), out=(4, 4))


def used(placement: Placement, unit: str) -> dict[str, int]:
    return {resource: use.used for resource, use in placement.unit_of(unit).use.items()}


def tiles(placement: Placement) -> dict[str, tuple[int, int, int, int]]:
    """First core, cores, and the tile of every unit."""
    return {u.name: (u.first_core, u.cores, u.rows_per_core, u.columns_per_core) for u in placement.units}


def test_two_layers_by_hand():
    """Every core, use, packet and hop of a program of two layers, on a chip of 2 tiles of one core, 4 neurons a core.

    first, with its neurons: 4 rows x 2 columns = 8 neurons, so 2 cores. 2 x 2 and 4 x 1 take two; 2 + 2 < 4 + 1.
    second, with the readout: 4 x 4 = 16 neurons, so 4 cores: 2 x 2 each (2 + 2 < 4 + 1). Cores:

        core       0         1         2         3         4         5
        first      rows 0-1  rows 2-3
        second                         rows 0-1  rows 0-1  rows 2-3  rows 2-3
                                       cols 0-1  cols 2-3  cols 0-1  cols 2-3
        chip       0         0         1         1         2         2
        x          0         1         2         3         4         5

    A spike of rows 0-1 goes from core 0 to cores 2 and 3: 2 packets, 2 + 3 hops, 1 + 1 borders of chips. A spike of rows 2-3
    goes from core 1 to cores 4 and 5: 2 packets, 3 + 4 hops, 2 + 2 borders. There are as many of the one as of the other:
    on average 2 packets, (5 + 7) / 2 = 6 hops, (2 + 4) / 2 = 3 borders.
    """
    hardware = chip(SHARING, cores_per_chip=2, chips=3, tile_columns=2, tile_rows=1, cores_per_tile=1, neurons_per_core=4)
    placed = place(two_layers(), hardware)
    assert placed.fits
    assert tiles(placed) == {"first": (0, 2, 2, 2), "second": (2, 4, 2, 2)}
    assert [unit.nodes for unit in placed.units] == [("first", "neuron"), ("second", "readout")]
    assert used(placed, "first") == {
        "neurons": 4,  # 2 rows x 2 columns
        "synaptic_memory_bytes": 6,  # 2 columns x 3 features x 8 bits
        "state_memory_bytes": 12,  # 4 membranes of 24 bits
        "input_axons": 6,  # 2 rows x 3 features
        "output_axons": 8,  # 4 neurons, to 2 cores each
        "fan_in": 3,
    }
    assert used(placed, "second") == {
        "neurons": 4, "synaptic_memory_bytes": 4, "state_memory_bytes": 12, "input_axons": 4, "output_axons": 0, "fan_in": 2,
    }  # fmt: skip
    assert [unit.binding for unit in placed.units] == ["neurons", "neurons"]
    (route,) = placed.routes
    assert (route.source, route.target) == ("neuron", "second")
    assert (route.packets, route.within_tile, route.hops_ew, route.hops_ns, route.chip_crossings) == (2, 0, 6, 0, 3)
    assert (placed.cores, placed.chips, placed.mesh) == (6, 3, (2, 1, 1))


def test_cores_fill_tiles_and_tiles_a_snake():
    """The same on one chip of 2 x 2 tiles of 2 cores: cores 0, 1 in tile (0, 0); 2, 3 in (1, 0); 4, 5 in (1, 1), for the
    second row of tiles goes back. Core 0 to 2 and 3: one hop east each; core 1 to 4 and 5: one east, one north each."""
    hardware = chip(SHARING, cores_per_chip=8, tile_columns=2, tile_rows=2, cores_per_tile=2, neurons_per_core=4)
    placed = place(two_layers(), hardware)
    (route,) = placed.routes
    assert (route.packets, route.within_tile, route.hops_ew, route.hops_ns, route.chip_crossings) == (2, 0, 2, 1, 0)
    assert placed.chips == 1
    # all in one tile: no hops, and both packets stay within it
    together = chip(SHARING, cores_per_chip=8, tile_columns=1, tile_rows=1, cores_per_tile=8, neurons_per_core=4)
    (route,) = place(two_layers(), together).routes
    assert (route.packets, route.within_tile, route.hops_ew, route.hops_ns) == (2, 2, 0, 0)


def test_chips_fill_a_board_to_and_fro():
    """The same on chips of one core, two side by side on a board: cores 0 to 5 are chips at (0, 0), (1, 0), (1, 1), (0, 1),
    (0, 2), (1, 2). Core 0 to 2 and 3: 2 + 1 borders, 1 hop east, 2 north. Core 1 to 4 and 5: 3 + 2 borders, 1 west, 4 north."""
    one = {"cores_per_chip": 1, "tile_columns": 1, "tile_rows": 1, "cores_per_tile": 1}
    placed = place(two_layers(), chip(SHARING, chip_columns=2, neurons_per_core=4, **one))
    (route,) = placed.routes
    assert (route.packets, route.hops_ew, route.hops_ns, route.chip_crossings) == (2, 1, 3, 4)
    assert any("a board 2 wide" in said for said in placed.assumptions)
    # in one row: 2 + 3 and 3 + 4 borders
    (route,) = (in_a_row := place(two_layers(), chip(SHARING, neurons_per_core=4, **one))).routes
    assert (route.hops_ew, route.hops_ns, route.chip_crossings) == (6, 0, 6)
    assert any("in one row" in said for said in in_a_row.assumptions)
    # the mesh of a chip may be unknown: borders are the same
    (route,) = place(two_layers(), chip(SHARING, chip_columns=2, cores_per_chip=1, neurons_per_core=4)).routes
    assert (route.hops_ew, route.hops_ns, route.chip_crossings) == (0, 0, 4)


def test_without_a_mesh_there_are_packets_but_no_hops():
    placed = place(two_layers(), chip(SHARING, neurons_per_core=4))
    (route,) = placed.routes
    assert (placed.mesh, placed.chips) == (None, None)
    assert (route.packets, route.hops_ew, route.hops_ns, route.chip_crossings) == (2, 0, 0, 0)
    assert any("mesh" in said for said in placed.assumptions)


def test_a_program_on_one_core_sends_no_packets():
    program = chain(("only", linear(2, 3)), ("neuron", neuron()), shape=(4, 3), out=(4, 2))
    placed = place(program, chip())
    assert tiles(placed) == {"only": (0, 1, 4, 2)}
    assert placed.units[0].nodes == ("only", "neuron", "readout")
    assert placed.units[0].binding is None
    assert placed.routes == ()


def test_weights_are_shared_by_rows_or_stored_for_each():
    """A layer of 8 tokens, 6 -> 4 channels, 24 weights of a byte. Shared, one core holds 24 bytes and all tokens. Stored for
    each token, 8 x 24 = 192 bytes, in memories of 48: 4 cores of 2 tokens (2 + 4 is the least sum; 8 x 1 is 9)."""
    program = chain(("layer", linear(4, 6)), shape=(8, 6), out=(8, 4))
    shared = place(program, chip({"weight_sharing": True}, synaptic_memory_bytes_per_core=48))
    assert tiles(shared)["layer"] == (0, 1, 8, 4)
    assert used(shared, "layer")["synaptic_memory_bytes"] == 24
    for abilities in ({"weight_sharing": False}, {}):
        copied = place(program, chip(abilities, synaptic_memory_bytes_per_core=48))
        assert copied.units[0].cores == 4
        assert used(copied, "layer")["synaptic_memory_bytes"] == 48
        assert copied.units[0].binding == "synaptic_memory_bytes"
        assert any("shared is unknown" in said for said in copied.assumptions) == (not abilities)


def test_weights_are_packed_into_entries():
    """Entries of 32 bits hold 2 weights of 8 bits where tokens share them, and 1 where each pair has its own: 16 and 32 bits a
    weight. At half the width half of that. A layer of 8 tokens, 6 -> 4: 24 weights; of one token, stored as dense ones are."""
    packed = {"synaptic_entry_bits": 32, "weights_per_entry_convolution": 2, "weights_per_entry_dense": 1}

    def bytes_of(tokens: int, abilities: dict[str, bool]) -> int:
        program = chain(("layer", linear(4, 6)), shape=(tokens, 6), out=(tokens, 4))
        return used(place(program, chip(abilities, **packed)), "layer")["synaptic_memory_bytes"]

    assert bytes_of(8, SHARING) == 24 * 2
    assert bytes_of(8, {}) == 8 * 24 * 4
    assert bytes_of(1, SHARING) == 24 * 4


def test_rows_and_positions_share_axons_where_a_chip_can():
    """6 channels to 8 tokens: 6 axons in place of 48; 1 channel under 3 x 3 windows: one axon. A single row shares nothing."""
    shared = {"weight_sharing": True, "axon_sharing": True}
    program = chain(("layer", linear(4, 6)), shape=(8, 6), out=(8, 4))
    assert used(place(program, chip(shared)), "layer")["input_axons"] == 6
    assert used(place(program, chip({**shared, "axon_sharing": False})), "layer")["input_axons"] == 48
    node = nir.Conv2d((6, 6), np.ones((2, 1, 3, 3)), (1, 1), (0, 0), (1, 1), 1, np.zeros(2))
    image = chain(("conv", node), shape=(1, 6, 6), out=(2, 4, 4))
    assert used(place(image, chip(shared)), "conv")["input_axons"] == 1
    assert used(place(image, chip(SHARING)), "conv")["input_axons"] == 36


def test_layers_that_are_halved():
    """11 tokens of 6 channels, 20 neurons a core. In halves: room for 2 rows (2 x 6 = 12; 4 x 6 are too many), so 6 cores; as
    even as can be: 6 rows of 3 channels, 4 cores. With 5 neurons a core not even one row of 6 fits: 1 row of 3, 22 cores.

    A convolution of 4 x 5 positions (height x width) of 2 channels, 20 neurons a core: 2 columns of the image, 2 x 4 x 2 = 16,
    so 3 cores, the last with one column.
    """
    program, halving = chain(("layer", linear(6, 3)), shape=(11, 3), out=(11, 6)), {**SHARING, "halved_layers": True}
    assert tiles(place(program, chip(halving, neurons_per_core=20)))["layer"] == (0, 6, 2, 6)
    assert tiles(place(program, chip(SHARING, neurons_per_core=20)))["layer"] == (0, 4, 6, 3)
    assert tiles(place(program, chip(halving, neurons_per_core=5)))["layer"] == (0, 22, 1, 3)
    # room for 16 rows is set aside for 11: 96 neurons
    assert used(place(program, chip(halving)), "layer")["neurons"] == 96
    assert tiles(place(program, chip(halving, neurons_per_core=95)))["layer"][1] == 2
    node = nir.Conv2d((6, 7), np.ones((2, 1, 3, 3)), (1, 1), (0, 0), (1, 1), 1, np.zeros(2))
    first = nir.Conv2d((6, 7), np.ones((1, 1, 1, 1)), (1, 1), (0, 0), (1, 1), 1, np.zeros(1))
    image = chain(("encode", first), ("neuron", neuron()), ("conv", node), shape=(1, 6, 7), out=(2, 4, 5))
    placed = place(image, chip(halving, neurons_per_core=20))
    assert tiles(placed)["conv"][1:] == (3, 8, 2)
    # the two columns of a core see 4 x 6 places
    assert used(placed, "conv")["input_axons"] == 24


def test_what_a_reset_needs_again_takes_memory():
    """Membranes that begin alike are a constant; where they differ, each is a word more. Of 8 membranes of 24 bits."""

    def bytes_of(initial: np.ndarray) -> int:
        graded = ops.Graded(np.array(0.1), 8, initial_membrane=initial)
        placed = place(
            chain(("first", linear(2, 3)), ("neuron", graded), ("second", linear(4, 2)), shape=(4, 3), out=(4, 4)), chip()
        )
        return used(placed, "first")["state_memory_bytes"]

    assert bytes_of(np.array(0.05)) == bytes_of(np.full(2, 0.05)) == 8 * 3
    assert bytes_of(np.array([0.01, 0.02])) == 2 * 8 * 3
    product = ops.ECMProduct(("an", "bn"), "matmul", "differential", np.array([[0.0, 1.0, 2.0]]), np.array(0.5))
    nodes = {"input": nir.Input(input_type={"input": np.array([4, 3])}), "a": linear(3, 3), "an": neuron(), "b": linear(3, 3),
             "bt": ops.Permute(np.array([1, 0])), "bn": neuron(), "scores": product,
             "readout": ops.Readout("differential"),
             "output": nir.Output(output_type={"output": np.array([4, 4])})}  # fmt: skip
    edges = [("input", "a"), ("a", "an"), ("an", "scores"), ("input", "b"), ("b", "bt"), ("bt", "bn"), ("bn", "scores"),
             ("scores", "readout"), ("readout", "output")]  # fmt: skip
    placed = place(verified(nodes, edges), chip())
    # the left sums differ, so that each is there twice: (2 x 4 + 4) x 3 words; the right ones do not
    assert used(placed, "scores")["synaptic_memory_bytes"] == (2 * 4 + 4) * 3 * 3


def test_a_convolution_shares_weights_and_takes_the_windows_of_its_positions():
    """3 x 3 windows over 6 x 6 without padding: 4 x 4 positions of 2 channels. 8 neurons a core: 4 cores. Of 4 x 2 (a row of
    positions), 8 x 1: the first. A row of 4 positions sees 3 x 6 places of 1 channel: 18 axons."""
    node = nir.Conv2d((6, 6), np.ones((2, 1, 3, 3)), (1, 1), (0, 0), (1, 1), 1, np.zeros(2))
    first = nir.Conv2d((6, 6), np.ones((1, 1, 1, 1)), (1, 1), (0, 0), (1, 1), 1, np.zeros(1))
    program = chain(("encode", first), ("neuron", neuron()), ("conv", node), shape=(1, 6, 6), out=(2, 4, 4))
    placed = place(program, chip(SHARING, neurons_per_core=8))
    assert tiles(placed)["conv"][1:] == (4, 4, 2)
    assert used(placed, "conv") == {
        "neurons": 8, "synaptic_memory_bytes": 18, "state_memory_bytes": 24, "input_axons": 18, "output_axons": 0, "fan_in": 9,
    }  # fmt: skip
    # rows of the image are seen by 1, 2, 3, 3, 2, 1 rows of positions: 12 / 6 packets a spike
    (route,) = placed.routes
    assert route.packets == 2


def test_channels_of_a_grouped_convolution_go_only_where_their_group_is():
    """Depthwise over 4 channels: a core of 2 channels takes the 2 channels it sees, and each spike goes to one core."""
    node = nir.Conv1d(5, np.ones((4, 1, 1)), 1, 0, 1, 4, np.zeros(4))
    first = nir.Conv1d(5, np.ones((4, 1, 1)), 1, 0, 1, 1, np.zeros(4))
    program = chain(("encode", first), ("neuron", neuron()), ("conv", node), shape=(1, 5), out=(4, 5))
    placed = place(program, chip(SHARING, synaptic_memory_bytes_per_core=2, neurons_per_core=20))
    assert tiles(placed)["conv"][1:] == (2, 5, 2)
    assert used(placed, "conv")["input_axons"] == 10
    assert [(route.source, route.packets) for route in placed.routes] == [("neuron", 1)]


def residual() -> Program:
    """stream = encode(x); stream + layer(neuron(stream)), then a head on neurons of that. 2 tokens of 2 channels."""
    nodes = {
        "input": nir.Input(input_type={"input": np.array([2, 2])}),
        "encode": linear(2, 2), "neuron": neuron(), "layer": linear(2, 2), "add": ops.Add(("encode", "layer")),
        "head.neuron": neuron(), "head": linear(2, 2), "readout": ops.Readout("differential"),
        "output": nir.Output(output_type={"output": np.array([2, 2])}),
    }  # fmt: skip
    edges = [("input", "encode"), ("encode", "neuron"), ("neuron", "layer"), ("encode", "add"), ("layer", "add"),
             ("add", "head.neuron"), ("head.neuron", "head"), ("head", "readout"), ("readout", "output")]  # fmt: skip
    return verified(nodes, edges)


def test_a_residual_stream_is_an_analog_route():
    """The sum is computed where the synapses are: in the layer's unit, to which the stream travels as analog values."""
    placed = place(residual(), chip(SHARING, neurons_per_core=2))
    assert [unit.nodes for unit in placed.units] == [
        ("encode", "neuron"), ("layer", "add", "head.neuron"), ("head", "readout"),
    ]  # fmt: skip
    # 2 cores each; with equal sums of rows and columns, more rows: tiles of 2 x 1, a channel of both tokens
    assert tiles(placed)["layer"] == (2, 2, 2, 1)
    # a spike goes to both columns of the layer, a value of the stream to the one core that adds it
    assert {(r.source, r.target): r.packets for r in placed.routes} == {
        ("neuron", "layer"): 2, ("encode", "add"): 1, ("head.neuron", "head"): 2,
    }  # fmt: skip
    assert used(placed, "layer")["input_axons"] == 4 + 2  # both tokens' 2 channels, and the stream's two values
    assert used(placed, "encode")["output_axons"] == 2 * (2 + 1)


def test_an_attention_product_by_hand():
    """2 heads x 4 queries x 4 keys, inner 3, at most 8 scores a core: 4 cores, each 2 queries of a head by its 4 keys
    (2 + 4; a head's 4 queries by 2 keys has the same sum and more rows, but would divide the rows of the softmax).

    A query goes to the one core of its rows, a key to both row tiles of its head.
    """
    placed = place(attention(), chip(neurons_per_core=8))
    assert placed.unit_of("softmax").name == "scores"
    assert tiles(placed)["scores"][1:] == (4, 2, 4)
    assert used(placed, "scores") == {
        "neurons": 8,
        # no memory for states is declared, so the running sums of (2 + 4) x 3 operands stand where weights do: 18 x 24 bits
        "synaptic_memory_bytes": 54,
        # of each score: the product's previous term; the softmax's sum and previous term; the readout's sum: 8 x 4 x 24 bits
        "state_memory_bytes": 96,
        "input_axons": 18,  # (2 queries + 4 keys) x 3
        "output_axons": 0,
        "fan_in": 6,  # 3 of the query, 3 of the key
    }
    packets = {(route.source, route.target): route.packets for route in placed.routes}
    assert packets == {("q.neuron", "scores"): 1, ("k.neuron", "scores"): 2}
    # without a softmax: 4 queries by 2 keys, so a query goes to both, a key to one
    plain = place(attention(softmax=False), chip(neurons_per_core=8))
    assert tiles(plain)["scores"][1:] == (4, 4, 2)
    assert {route.source: route.packets for route in plain.routes} == {"q.neuron": 2, "k.neuron": 1}
    # both heads on one core: the keys of each
    whole = place(attention(), chip(neurons_per_core=32))
    assert tiles(whole)["scores"][1:] == (1, 8, 4)
    assert used(whole, "scores")["input_axons"] == (8 + 2 * 4) * 3


def test_sums_of_operands_stand_with_states_where_there_is_a_memory_for_those():
    separate = place(attention(), chip(neurons_per_core=8, state_memory_bytes_per_core=1000))
    assert used(separate, "scores")["synaptic_memory_bytes"] == 0
    assert used(separate, "scores")["state_memory_bytes"] == 54 + 96
    common = place(attention(), chip(neurons_per_core=8, memory_bytes_per_core=1000))
    assert used(common, "scores")["memory_bytes"] == 54 + 96


def test_rows_that_no_core_holds_whole_begin_a_unit():
    """3 scores a core: keys must be divided, and a softmax of 4 has no room at all. 4: a row a core, together again."""
    divided = place(attention(), chip(neurons_per_core=3))
    assert divided.unit_of("softmax").name == "softmax"
    assert divided.unit_of("scores").columns_per_core < 4
    assert [(o.node, o.resource, o.need, o.limit) for o in divided.obstacles] == [("softmax", "neurons", 4, 3)]
    assert "larger cores" in divided.obstacles[0].mend
    assert divided.unit_of("softmax").cores == 0
    assert place(attention(), chip(neurons_per_core=4)).unit_of("softmax").name == "scores"
    # 4 axons, inner 1: at most 2 queries by 2 keys, so rows are divided; a row of 4 scores comes together on cores of its own
    rows = place(attention(inner=1), chip(input_axons_per_core=4))
    assert rows.unit_of("softmax").name == "softmax"
    assert tiles(rows)["softmax"][1:] == (8, 1, 4)
    assert rows.fits


@pytest.mark.parametrize("resource", ["neurons", "synaptic_memory_bytes", "state_memory_bytes", "memory_bytes", "input_axons"])
def test_the_limit_that_decides_is_named(resource):
    limit = {"neurons": 4, "synaptic_memory_bytes": 4, "state_memory_bytes": 12, "memory_bytes": 18, "input_axons": 3}[resource]
    generous = {name: 10**6 for name in RESOURCES.values() if name != "memory_bytes_per_core"}
    placed = place(two_layers(), chip(SHARING, **{**generous, RESOURCES[resource]: limit}))
    assert placed.fits
    assert {unit.binding for unit in placed.units if unit.cores > 1} == {resource}
    assert max(unit.cores for unit in placed.units) > 1


def test_output_axons_divide_the_unit_that_sends():
    """Weights of 4 bytes a core: second takes 2 cores, each 2 columns of 2 weights, so every neuron of first needs 2 output
    axons; and first holds one column of 3 weights. With 4 output axons a core, that is 2 neurons: 4 cores of 2 rows."""
    placed = place(two_layers(), chip(SHARING, output_axons_per_core=4, synaptic_memory_bytes_per_core=4))
    assert tiles(placed) == {"first": (0, 4, 2, 1), "second": (4, 2, 4, 2)}
    assert used(placed, "first")["output_axons"] == 4
    assert placed.unit_of("first").binding == "output_axons"
    assert placed.unit_of("second").binding == "synaptic_memory_bytes"


def test_levels_are_neurons_axons_and_synapses_where_spikes_are_binary():
    """6 levels of two signs: 12 neurons for each of the 8 outputs of first, and 12 axons and weights to second."""
    binary = place(two_layers(), chip(SHARING, graded_payload_bits=1))
    assert used(binary, "first")["neurons"] == 8 * 12
    assert used(binary, "first")["output_axons"] == 8 * 12
    assert used(binary, "first")["state_memory_bytes"] == 8 * 12 * 3
    assert used(binary, "first")["input_axons"] == 12
    assert used(binary, "second")["input_axons"] == 4 * 2 * 12
    assert used(binary, "second")["fan_in"] == 2 * 12
    assert used(binary, "second")["synaptic_memory_bytes"] == 4 * 2 * 12
    assert binary.routes[0].packets == 1, "a spike is one of its levels"
    graded = place(two_layers(), chip(SHARING, graded_payload_bits=8))
    assert used(graded, "first")["neurons"] == 8
    assert any("payload of a spike is unknown" in said for said in place(two_layers(), chip()).assumptions)


def test_neurons_leave_the_rows_that_leave_them_no_room():
    """A row of 4 channels and the 12 levels of its 4 neurons are 48 neurons: too many for a core of 20, each alone is not."""
    norm = ops.ECM(("encode",), "layer_norm", "differential", {"eps": np.asarray(1e-6), "normalized_axes": np.asarray(1)})
    program = chain(
        ("encode", linear(4, 4)), ("norm", norm), ("neuron", neuron()), ("head", linear(4, 4)), shape=(2, 4), out=(2, 4)
    )
    placed = place(program, chip(SHARING, neurons_per_core=20, graded_payload_bits=1))
    assert [unit.nodes for unit in placed.units] == [("encode",), ("norm",), ("neuron",), ("head", "readout")]
    assert all(unit.cores for unit in placed.units)


# --- obstacles --------------------------------------------------------------------------------------------------------


def obstacle(placement: Placement, resource: str) -> tuple:
    (found,) = [o for o in placement.obstacles if o.resource == resource]
    return found.node, found.need, found.limit, found.mend


def test_a_fan_in_that_no_tile_can_hold():
    placed = place(two_layers(), chip(SHARING, fan_in_per_neuron=2))
    assert obstacle(placed, "fan_in") == ("first", 3, 2, "split the fan-in into partial sums over 2 cores")
    assert not placed.fits
    assert placed.unit_of("first").cores == 0
    assert placed.unit_of("second").cores == placed.cores == 1, "what fits is placed all the same"
    assert placed.routes == (), "from nowhere"
    placed = place(two_layers(), chip(SHARING, synaptic_memory_bytes_per_core=2))
    assert obstacle(placed, "synaptic_memory_bytes")[:3] == ("first", 3, 2)
    assert "fewer weight bits" in obstacle(placed, "synaptic_memory_bytes")[3]


def test_alike_obstacles_are_told_once():
    layers = [(f"{i}.{kind}", linear(4, 4) if kind == "layer" else neuron()) for i in range(3) for kind in ("layer", "neuron")]
    placed = place(chain(*layers, shape=(2, 4), out=(2, 4)), chip(SHARING, input_axons_per_core=3))
    assert obstacle(placed, "input_axons") == (
        "0.layer", 4, 3, "split the fan-in into partial sums over 2 cores; 2 more like it",
    )  # fmt: skip


def test_abilities_are_told_once_for_each_kind():
    program = every_node("rate")
    placed = place(program, chip({"programmable_neurons": False, "dense_connections": False}))
    assert placed.cores > 1, "a price of what would be is possible"
    missing = [o for o in placed.obstacles if o.need is None]
    assert [o.resource for o in missing].count("dense_connections") == 2  # linear, product
    kinds = {o.mend.split(", for ")[1] for o in missing if o.resource == "programmable_neurons"}
    neurons = Counter(program.nodes[name].needs_code for name in program.neurons)
    assert len(neurons) == 2
    assert {f"{count} nodes of kind {kind}" for kind, count in neurons.items()} < kinds
    assert {"1 node of kind softmax", "3 nodes of kind product"} < kinds
    assert next(o.node for o in missing if "softmax" in o.mend) == "softmax"
    for able in ({"programmable_neurons": True, "dense_connections": True}, {}):
        assert place(program, chip(able)).fits


def test_more_cores_than_the_largest_system():
    placed = place(two_layers(), chip(SHARING, cores_per_chip=2, chips=2, neurons_per_core=4))
    assert obstacle(placed, "cores") == ("", 6, 4, "more chips: 3, where the largest system has 2")
    assert placed.obstacles[0].sentence == "cores 6 needed, limit 4; more chips: 3, where the largest system has 2"


def test_analog_values_on_a_chip_of_binary_spikes():
    placed = place(residual(), chip(SHARING, graded_payload_bits=1))
    assert obstacle(placed, "graded_payload_bits")[:3] == ("encode", 24, 1)


def test_an_integer_program_wider_than_the_chip(all_programs):
    program = quantize(all_programs["transformer, accurate"], "loihi2")
    placed = place(program, chip(SHARING, weight_bits=4, state_bits=16, graded_payload_bits=8))
    assert obstacle(placed, "weight_bits")[1:3] == (8, 4)
    assert obstacle(placed, "state_bits")[1:3] == (24, 16)
    assert obstacle(placed, "graded_payload_bits")[1:3] == (16, 8)
    assert place(program, chip(SHARING, graded_payload_bits=16)).fits
    graded = quantize(all_programs["transformer, graded"], "loihi2")
    widest = max(graded.nodes[name].payload_bits for name in graded.neurons)
    narrower = place(graded, chip(SHARING, graded_payload_bits=widest - 1))
    assert obstacle(narrower, "graded_payload_bits")[1:3] == (widest, widest - 1)
    assert place(graded, chip(SHARING, graded_payload_bits=widest)).fits
    # its own widths are used, not the chip's
    float_program = place(all_programs["transformer, accurate"], chip(SHARING, weight_bits=4))
    assert placed.unit_of("fc1").use["synaptic_memory_bytes"].used == 12 * 24
    assert float_program.unit_of("fc1").use["synaptic_memory_bytes"].used == 12 * 24 / 2


def test_remainders_of_rounding_are_words_of_state(all_programs):
    program = quantize(all_programs["transformer, accurate"], "loihi2")
    room = chip(SHARING, state_memory_bytes_per_core=10**6, graded_payload_bits=16)
    carried, alone = place(program, room), place(rounding_each(program), room)
    kept = {name: ceil(node.format.remainder_bits / 24) for name, node in program.nodes.items() if node.format is not None}
    for unit in carried.units:
        more = unit.use["state_memory_bytes"].used - alone.unit_of(unit.name).use["state_memory_bytes"].used
        assert unit.cores == 1
        assert more == sum(3 * kept.get(name, 0) * prod(program.shapes[name]) for name in unit.nodes)
    assert sum(kept.values()) > 10


def test_unknown_widths_are_assumed_and_said():
    bare = chip()
    bare = Hardware(name="bare", title="bare", description="-", sources=bare.sources, limits=Limits(), prices={})
    placed = place(two_layers(), bare)
    said = " ".join(placed.assumptions)
    assert "Weights are 8 bit wide: assumed" in said
    assert "States are 24 bit wide: assumed" in said
    assert "neurons_per_core" in said
    assert placed.fits
    assert placed.cores == 2


def test_a_mesh_smaller_than_its_chip_is_an_error():
    with pytest.raises(HardwareError, match=r"chip: cores_per_chip is 9, but 2 x 2 tiles of 2 cores hold 8"):
        place(two_layers(), chip(cores_per_chip=9, tile_columns=2, tile_rows=2, cores_per_tile=2))


# --- properties, and the kernels as oracle ----------------------------------------------------------------------------


def computing(program: Program) -> list[str]:
    idle = ("output", "constant", "movement")
    return [name for name, node in program.nodes.items() if node.role not in idle and name not in program.outside]


def check(program: Program, hardware: Hardware) -> Placement:
    """What holds of every placement."""
    placed = place(program, hardware)
    assert placed == place(program, hardware)
    assert sorted(name for unit in placed.units for name in unit.nodes) == sorted(computing(program))
    core = 0
    for unit in placed.units:
        assert unit.first_core == core
        core += unit.cores
        elements = prod(program.shapes[unit.name])
        assert elements <= unit.cores * unit.rows_per_core * unit.columns_per_core or not unit.cores
        for resource, use in unit.use.items():
            assert use.limit is None or use.used <= use.limit or not unit.cores, (unit.name, resource)
        assert (unit.binding is None) == (unit.cores <= 1)
    assert placed.cores == core
    assert all(route.packets > 0 for route in placed.routes)
    untiled = {unit.name for unit in placed.units if not unit.cores}
    assert untiled == set() or not placed.fits
    return placed


limits = st.fixed_dictionaries({}, optional={
    "neurons_per_core": st.integers(1, 60), "synaptic_memory_bytes_per_core": st.integers(8, 300),
    "state_memory_bytes_per_core": st.integers(12, 600), "memory_bytes_per_core": st.integers(30, 900),
    "input_axons_per_core": st.integers(4, 60), "output_axons_per_core": st.integers(4, 60),
    "fan_in_per_neuron": st.integers(8, 40), "graded_payload_bits": st.sampled_from([1, 16]),
})  # fmt: skip


@settings(max_examples=60)
@given(seed=st.integers(0, 40), sharing=st.booleans(), halving=st.booleans(), given_limits=limits)
def test_properties_of_random_integer_programs(seed, sharing, halving, given_limits):
    check(integer_program(seed)[0], chip({"weight_sharing": sharing, "halved_layers": halving}, **given_limits))


def dependencies(program: Program, name: str) -> list[np.ndarray]:
    """For each operand of a node, a matrix: whether element i of the operand moves element j of the result, found by trying."""
    r = np.random.default_rng(0)
    site = Site.of(program, name)
    values = [r.uniform(0.5, 1.5, shape) for shape in site.operand_shapes]

    def result(operands: list[np.ndarray]) -> np.ndarray:
        node = kernel(program.nodes[name], site, np.dtype(np.float64), identity_neurons=True)
        return node.advance(1, *(Stream(x, np.ones(x.shape, bool)) for x in operands)).value.ravel()

    before, found = result(values), []
    for k, value in enumerate(values):
        moved = np.zeros((value.size, before.size), bool)
        for i in range(value.size):
            changed = [x.copy() for x in values]
            changed[k].flat[i] += 0.25
            moved[i] = result(changed) != before
        found.append(moved)
    return found


@cache
def tried() -> tuple[Program, dict[str, list[np.ndarray]]]:
    program = every_node("rate")
    return program, {name: dependencies(program, name) for name in computing(program)}


@settings(max_examples=40)
@given(sharing=st.booleans(), halving=st.booleans(), given_limits=limits)
def test_messages_go_where_results_depend_on_them(sharing, halving, given_limits):
    """Packets, axons and cores against the kernels: a value goes to every core that has a result which it moves."""
    program, moves = tried()
    hardware = chip({"weight_sharing": sharing, "halved_layers": halving}, **given_limits)
    placed, terms = check(program, hardware), Terms.of(hardware)
    drafts = settle(program, operands(program), terms)
    where = {}
    for name in computing(program):
        tile_of = drafts.tile_of(name)
        where[name] = None if tile_of is None else tile_of + drafts.unit_of(name).first_core
    for name in computing(program):  # what joined a unit is computed where one of its operands is, whole
        if where[name] is not None and placed.unit_of(name).name != name:
            assert np.any([at_home(program, where, name, k, moved) for k, moved in enumerate(moves[name])], axis=0).all(), name
    packets: Counter[tuple[str, str]] = Counter()
    leaving: dict[str, Counter[int]] = defaultdict(Counter)
    arriving: dict[str, dict[int, set]] = defaultdict(lambda: defaultdict(set))
    for name in computing(program):
        if where[name] is None:
            continue
        unit = placed.unit_of(name).name
        for moved, operand in zip(moves[name], program.operands[name], strict=True):
            goes: dict[tuple[str, int], set[int]] = defaultdict(set)
            for i, source in enumerate(sources_of(program, operand)):
                if source is not None:
                    goes[source] |= set(where[name][moved[i]].tolist())
            for (emitter, element), targets in goes.items():
                levels = terms.levels_of(program.nodes[emitter])
                at = None if emitter in program.outside or where[emitter] is None else int(where[emitter][element])
                for target in targets - {at}:
                    arriving[unit][target].add((emitter, element, levels))
                if at is not None:
                    packets[emitter, name] += len(targets - {at})
                    leaving[placed.unit_of(emitter).name][at] += len(targets - {at}) * levels
    found: Counter[tuple[str, str]] = Counter()
    for route in placed.routes:
        found[route.source, route.target] += round(route.packets * prod(program.shapes[route.source]))
    assert found == +packets
    for unit in placed.units:
        if unit.cores:
            assert unit.use["output_axons"].used == max(leaving[unit.name].values(), default=0)
            most = max((sum(a[2] for a in axons) for axons in arriving[unit.name].values()), default=0)
            assert most <= unit.use["input_axons"].used


def at_home(program: Program, where: dict, name: str, k: int, moved: np.ndarray) -> np.ndarray:
    """For each element of a result, whether all of operand ``k`` that moves it is computed on its core, or constant."""
    sources = sources_of(program, program.operands[name][k])
    placed = {source: cores for source, cores in where.items() if cores is not None}
    cores = [None if s is None or s[0] in program.outside else placed[s[0]][s[1]] if s[0] in placed else -1 for s in sources]
    return np.array([
        all(cores[i] in (None, core) for i in np.flatnonzero(moved[:, j])) for j, core in enumerate(where[name])
    ])  # fmt: skip


def sources_of(program: Program, name: str) -> list[tuple[str, int] | None]:
    """Which element of which node stands at each place of a stream, by wiring arrays of labels."""
    return [label or None for label in _labels(program, name).ravel()]


def _labels(program: Program, name: str) -> np.ndarray:
    node, shape = program.nodes[name], program.shapes[name]
    labels = np.zeros(shape, object)
    if node.role == "movement":
        return node.rewire(*(_labels(program, operand) for operand in program.operands[name]))
    if node.role != "constant":
        labels.ravel()[:] = [(name, i) for i in range(prod(shape))]
    return labels
