"""The declared spec of a program, checked between every two stages and on everything that comes from a file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from graphlib import CycleError, TopologicalSorter

import nir
import numpy as np

from ecmt_deploy.errors import ProgramError, shown
from ecmt_deploy.program.canonical import canonical, require_for
from ecmt_deploy.program.graph import Program, parameters
from ecmt_deploy.program.kinds import encoding_layers, exact_streams, masked_streams, spiking_streams
from ecmt_deploy.program.ops import Op, ShapeError
from ecmt_deploy.program.provenance import Provenance
from ecmt_deploy.shown import Named
from ecmt_deploy.untrusted.text import require_names, require_plain

MAX_ELEMENTS = 2**31  # of one stream: larger cannot be a layer, and would only exhaust memory


def verify(nodes: Mapping[str, nir.NIRNode], edges: Iterable[tuple[str, str]], provenance: Provenance) -> Program:
    """Check every rule of the dialect and return the program in topological order.

    Parameters
    ----------
    nodes : node by name
    edges : (source, destination) names, in any order
    provenance : kept with the program

    Raises
    ------
    ProgramError
        naming node, field, what was found and what was expected, at the first rule that is broken.
    """
    require_names(nodes, ProgramError)
    require_plain(provenance, "provenance", ProgramError)
    ours = {name: canonical(name, node) for name, node in nodes.items()}
    operands = _operands(ours, edges)
    order = _topological_order(operands)
    for name in order:
        check_fields(name, ours[name])
    shapes: dict[str, tuple[int, ...]] = {}
    for name in order:
        found = [shapes[source] for source in operands[name]]
        ours[name].fit(found[0] if found else ())
        shapes[name] = _shape(name, ours[name], found)
        _set_types(ours[name], operands[name], shapes, shapes[name])
    _check_ends(ours, operands)
    exact = exact_streams(ours, operands, order)
    masked = masked_streams(ours, operands, order)
    spiking = spiking_streams(ours, operands, order)
    integer = any(node.format is not None for node in ours.values())
    program = Program(
        nodes=Named((name, ours[name]) for name in order),
        operands=Named((name, operands[name]) for name in order),
        shapes=Named(shapes),
        spiking=spiking,
        masked=masked,
        encoding=encoding_layers(ours, operands, order, exact),
        exact=exact,
        provenance=provenance,
        exponents=_exponents(ours, operands, shapes, order, spiking) if integer else {},
    )
    provenance.check(program.input_shape, program.output_shape)
    for name, macs in (provenance.network_macs or {}).items():
        most = program.work(name).dense_macs if name in program.nodes else 0
        if not 0 < macs <= most:
            raise ProgramError(f"provenance: network_macs of {name!r} is {macs}, expected 1 to the node's own {most}")
    return program


def _operands(nodes: Mapping[str, Op], edges: Iterable[tuple[str, str]]) -> dict[str, tuple[str, ...]]:
    incoming: dict[str, list[str]] = {name: [] for name in nodes}
    for source, destination in edges:
        for end in (source, destination):
            if end not in nodes:
                raise ProgramError(f"edge {source} -> {destination}: there is no node named {end!r}; dangling operand")
        incoming[destination].append(source)
    operands = {}
    for name, node in nodes.items():
        found = incoming[name]
        if len(set(found)) != len(found):
            raise ProgramError(f"node {name}: an edge into it is given twice; each edge must be unique")
        declared = getattr(node, "operands", None)
        if declared is None:
            if len(found) != node.arity:
                raise ProgramError(
                    f"node {name} ({node.kind}): {len(found)} incoming edges {sorted(found)}, expected {node.arity}"
                )
            operands[name] = tuple(found)
            continue
        missing = [source for source in declared if source not in nodes]
        if missing:
            raise ProgramError(f"node {name}: field operands names {missing[0]!r}, which is not a node; dangling operand")
        if not declared or set(declared) != set(found):
            raise ProgramError(f"node {name}: field operands is {list(declared)}, but its edges come from {sorted(found)}")
        operands[name] = declared
    return operands


def _topological_order(operands: Mapping[str, tuple[str, ...]]) -> list[str]:
    """Node names, operands close before what takes them; found from the ends back, so it depends on the graph alone."""
    try:
        TopologicalSorter(operands).prepare()
    except CycleError as error:
        raise ProgramError(
            f"the graph has a cycle through {', '.join(sorted(set(error.args[1]))[:5])}; a program has none"
        ) from None
    used = {source for sources in operands.values() for source in sources}
    order: dict[str, None] = {}
    stack = [(name, False) for name in sorted(set(operands) - used, reverse=True)]
    while stack:
        name, operands_done = stack.pop()
        if operands_done:
            order[name] = None
        elif name not in order:
            stack.append((name, True))
            stack.extend((source, False) for source in reversed(operands[name]) if source not in order)
    return list(order)


def _shape(name: str, node: Op, operand_shapes: list[tuple[int, ...]]) -> tuple[int, ...]:
    try:
        shape = infer(node, operand_shapes)
    except ShapeError as error:
        raise ProgramError(f"node {name} ({node.kind}): {error}") from None
    if any(size < 1 for size in shape):
        raise ProgramError(f"node {name} ({node.kind}): its stream has shape {shape}, expected at least one element")
    if np.prod([float(size) for size in shape]) > MAX_ELEMENTS:
        raise ProgramError(f"node {name}: its stream has shape {shape}, more than {MAX_ELEMENTS} elements")
    return shape


def _set_types(node: Op, sources: tuple[str, ...], shapes: Mapping[str, tuple[int, ...]], shape: tuple[int, ...]) -> None:
    """Fill in the NIR types of our nodes, so that NIR's own tools see shapes."""
    if node.role not in ("input", "output"):  # these have them already
        node.input_type = {source: np.array(shapes[source]) for source in sources}
        if len(sources) == 1:
            node.input_type = {"input": np.array(shapes[sources[0]])}
        node.output_type = {"output": np.array(shape)}


def _check_ends(nodes: Mapping[str, Op], operands: Mapping[str, tuple[str, ...]]) -> None:
    for role in ("input", "output"):
        found = sorted(name for name, node in nodes.items() if node.role == role)
        if not found or (role == "output" and len(found) > 1):
            expected = "one" if role == "output" else "one or more"
            raise ProgramError(f"the graph has {len(found)} {role.title()} nodes {found}, expected {expected}")
    used = {source for sources in operands.values() for source in sources}
    for name, node in nodes.items():
        if node.role == "output":
            (source,) = operands[name]
            if nodes[source].role != "readout":
                raise ProgramError(f"node {name}: comes from {source}, expected a Readout node before the Output")
        elif name not in used:
            raise ProgramError(f"node {name} ({node.kind}): nothing takes its stream; remove it")
        if name in used and node.role in ("output", "readout"):
            takers = [other for other, sources in operands.items() if name in sources]
            if node.role == "output" or any(nodes[t].role != "output" for t in takers):
                raise ProgramError(f"node {name} ({node.kind}): {takers[0]} takes its stream; it ends the program")


def check_fields(name: str, node: Op) -> None:
    """Values of the fields of one node: finite, positive, known words."""
    require = require_for(name, node)
    for array in parameters(node):
        require(array.dtype.kind in "fi", "a parameter", f"of dtype {array.dtype}", "floating point or integer")
    for field, kind in node.fields.items():
        if kind in ("floats", "integers"):
            require(np.size(getattr(node, field)) > 0, field, "empty", "at least one element")
    if node.format is None:
        node.check(require)
    else:
        node.format.check(require)
        node.check_format(require)


def infer(node: Op, operands: list[tuple[int, ...]]) -> tuple[int, ...]:
    """Shape (per sample) of the stream of ``node`` for operands of these shapes.

    Raises
    ------
    ShapeError
        if the node cannot take operands of these shapes.
    """
    try:
        return tuple(int(size) for size in node.infer(*operands))
    except ShapeError:
        raise
    except (ValueError, IndexError, TypeError, ArithmeticError) as error:
        raise ShapeError(f"cannot take operands of shape {operands}: {error}") from None


def _exponents(
    nodes: Mapping[str, Op], operands: Mapping[str, tuple[str, ...]], shapes: Mapping[str, tuple[int, ...]], order: list[str],
    spiking: frozenset[str],
) -> dict[str, int]:  # fmt: skip
    """The exponent of every analog stream of an integer program, after checking that formats and widths fit."""
    found: dict[str, int] = {}
    formats = {name: node.format for name, node in nodes.items() if node.format is not None}
    widths = {format.state_bits for name, format in formats.items() if nodes[name].role != "input"}
    if len(widths) != 1:
        raise ProgramError(f"state_bits are {sorted(widths)}; an integer program has one width of state")
    (bits,) = widths
    for name in order:
        node, sources = nodes[name], operands[name]

        def require(condition: bool, what: str, name: str = name, node: Op = node) -> None:
            if not condition:
                raise ProgramError(f"node {name} ({node.kind}): {what}")

        analog = [found[source] for source in sources if source in found]
        spikes = [source for source in sources if source in spiking]
        require(name in formats or node.emits == "operands", "is not of an integer program, but other nodes are")
        require(not spikes or node.takes_spikes, f"takes the spikes of {spikes[:1]}, expected an analog stream")
        if node.emits == "operands":
            if name in spiking:
                continue
            require(not spikes, "joins spikes and integers; their units differ")
            require(len(set(analog)) == 1, f"joins streams of exponents {analog}, expected one format")
            found[name] = analog[0]
            continue
        format = formats[name]
        declared = getattr(format, "operand_exponents", None)
        if declared is not None:
            require(
                declared.tolist() == analog, f"operand_exponents is {shown(declared.tolist())}, but its operands have {analog}"
            )
        if node.keeps_format:
            require(analog == [format.exponent], f"exponent is {format.exponent}, but its operand has {analog}")
        if node.role == "input":
            require(
                format.state_bits <= bits, f"state_bits is {format.state_bits}, expected at most {bits}, as the others have"
            )
        node.check_integer([shapes[source] for source in sources], bool(spikes), bits, require)
        if name not in spiking:
            found[name] = int(format.exponent)
    return found
