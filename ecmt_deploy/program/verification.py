"""The declared spec of a program, checked between every two stages and on everything that comes from a file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from heapq import heapify, heappop, heappush

import nir
import numpy as np

from ecmt_deploy.errors import ProgramError
from ecmt_deploy.program import fixed as f
from ecmt_deploy.program import fixed_rules
from ecmt_deploy.program import nodes as n
from ecmt_deploy.program.canonical import canonical, fit_to_operand
from ecmt_deploy.program.fields import FIELDS
from ecmt_deploy.program.functions import FUNCTIONS
from ecmt_deploy.program.graph import Program, parameters
from ecmt_deploy.program.provenance import Provenance
from ecmt_deploy.program.shapes import ShapeError, infer
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
    for name, node in nodes.items():
        _check_type(name, node)
    nodes = {name: canonical(name, node) for name, node in nodes.items()}
    operands = _operands(nodes, edges)
    order = _topological_order(operands)
    for name in order:
        _check_fields(name, nodes[name])
    shapes: dict[str, tuple[int, ...]] = {}
    for name in order:
        found = [shapes[source] for source in operands[name]]
        fit_to_operand(nodes[name], found[0] if found else ())
        shapes[name] = _shape(name, nodes[name], found)
        _set_types(name, nodes[name], operands[name], shapes)
    _check_ends(nodes, operands)
    masked = _masked(nodes, operands, order)
    spiking = _spiking(nodes, operands, order)
    fixed = fixed_rules.is_fixed(nodes)
    exponents = fixed_rules.stream_exponents(nodes, operands, shapes, order, spiking) if fixed else {}
    program = Program(
        nodes={name: nodes[name] for name in order},
        operands={name: operands[name] for name in order},
        shapes=shapes,
        spiking=spiking,
        masked=masked,
        encoding=_encoding(nodes, operands, order),
        provenance=provenance,
        exponents=exponents,
    )
    provenance.check(program.input_shape, program.output_shape)
    return program


def _operands(nodes: Mapping[str, nir.NIRNode], edges: Iterable[tuple[str, str]]) -> dict[str, tuple[str, ...]]:
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
        declared = n.operand_names(node)
        if declared is None:
            arity = 0 if isinstance(node, nir.Input) else getattr(node, "arity", 1)
            if len(found) != arity:
                raise ProgramError(
                    f"node {name} ({type(node).__name__}): {len(found)} incoming edges {sorted(found)}, expected {arity}"
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
    """Node names, operands first; found from the ends back, so it depends on the graph alone."""
    waiting = {name: len(set(sources)) for name, sources in operands.items()}
    consumers: dict[str, list[str]] = {name: [] for name in operands}
    for name, sources in operands.items():
        for source in set(sources):
            consumers[source].append(name)
    ready = [name for name, count in waiting.items() if count == 0]
    heapify(ready)
    order = []
    while ready:
        name = heappop(ready)
        order.append(name)
        for consumer in consumers[name]:
            waiting[consumer] -= 1
            if waiting[consumer] == 0:
                heappush(ready, consumer)
    if len(order) != len(operands):
        stuck = sorted(set(operands) - set(order))
        raise ProgramError(f"the graph has a cycle through {', '.join(stuck[:5])}; a program has none")
    return _reading_order(operands, [name for name, used in sorted(consumers.items()) if not used])


def _reading_order(operands: Mapping[str, tuple[str, ...]], ends: list[str]) -> list[str]:
    """A topological order of an acyclic graph in which operands stand close before what takes them."""
    order: dict[str, None] = {}
    stack = [(name, False) for name in reversed(ends)]
    while stack:
        name, operands_done = stack.pop()
        if operands_done:
            order[name] = None
        elif name not in order:
            stack.append((name, True))
            stack.extend((source, False) for source in reversed(operands[name]) if source not in order)
    return list(order)


def _shape(name: str, node: nir.NIRNode, operand_shapes: list[tuple[int, ...]]) -> tuple[int, ...]:
    try:
        shape = infer(node, operand_shapes)
    except ShapeError as error:
        raise ProgramError(f"node {name} ({type(node).__name__}): {error}") from None
    if any(size < 1 for size in shape):
        raise ProgramError(f"node {name} ({type(node).__name__}): its stream has shape {shape}, expected at least one element")
    if np.prod([float(size) for size in shape]) > MAX_ELEMENTS:
        raise ProgramError(f"node {name}: its stream has shape {shape}, more than {MAX_ELEMENTS} elements")
    return shape


def _set_types(name: str, node: nir.NIRNode, sources: tuple[str, ...], shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Fill in the NIR types of our nodes, so that NIR's own tools see shapes."""
    if isinstance(node, n.DialectNode):  # FixedInput has them already
        node.input_type = {source: np.array(shapes[source]) for source in sources}
        if len(sources) == 1:
            node.input_type = {"input": np.array(shapes[sources[0]])}
        node.output_type = {"output": np.array(shapes[name])}


def _check_ends(nodes: Mapping[str, nir.NIRNode], operands: Mapping[str, tuple[str, ...]]) -> None:
    for kind in (nir.Input, nir.Output):
        found = sorted(name for name, node in nodes.items() if isinstance(node, kind))
        if len(found) != 1:
            raise ProgramError(f"the graph has {len(found)} {kind.__name__} nodes {found}, expected one")
    used = {source for sources in operands.values() for source in sources}
    for name, node in nodes.items():
        if isinstance(node, nir.Output):
            (source,) = operands[name]
            if not isinstance(nodes[source], n.Readout):
                raise ProgramError(f"node {name}: comes from {source}, expected a Readout node before the Output")
        elif name not in used:
            raise ProgramError(f"node {name} ({type(node).__name__}): nothing takes its stream; remove it")
        if name in used and isinstance(node, nir.Output | n.Readout):
            takers = [other for other, sources in operands.items() if name in sources]
            if isinstance(node, nir.Output) or any(not isinstance(nodes[t], nir.Output) for t in takers):
                raise ProgramError(f"node {name} ({type(node).__name__}): {takers[0]} takes its stream; it ends the program")


def _check_type(name: str, node: nir.NIRNode) -> None:
    """The type of one node."""
    if type(node) not in {*n.DIALECT.values(), *n.STANDARD.values(), *f.FIXED.values()}:
        raise ProgramError(f"node {name}: unknown type {type(node).__name__}, expected one of {_known_types()}")


def _check_fields(name: str, node: nir.NIRNode) -> None:
    """Values of the fields of one node: finite, positive, known words."""

    def require(condition: bool, field: str, found: object, expected: str) -> None:
        if not condition:
            raise ProgramError(f"node {name} ({type(node).__name__}): {field} is {found}, expected {expected}")

    for array in parameters(node):
        require(array.dtype.kind in "fi", "a parameter", f"of dtype {array.dtype}", "floating point or integer")
    for field, kind in FIELDS[type(node)].items():
        if kind in ("floats", "integers"):
            require(np.size(getattr(node, field)) > 0, field, "empty", "at least one element")
    check = fixed_rules.check_fields if isinstance(node, f.Fixed) else _FIELD_CHECKS.get(type(node))
    if check:
        check(node, require)


def _known_types() -> str:
    return ", ".join(sorted({*n.DIALECT, *n.STANDARD, *f.FIXED}))


Require = Callable[[bool, str, object, str], None]


def _check_finite(field: str) -> Callable[[nir.NIRNode, Require], None]:
    def check(node: nir.NIRNode, require: Require) -> None:
        array = getattr(node, field)
        require(array.dtype.kind == "f", field, f"of dtype {array.dtype}", "floating point")
        require(bool(np.isfinite(array).all()), field, "not finite everywhere", "finite numbers")

    return check


def _check_conv(node: nir.NIRNode, require: Require) -> None:
    _check_finite("weight")(node, require)
    axes = 1 if isinstance(node, nir.Conv1d) else 2
    require(node.weight.ndim == axes + 2, "weight", f"of shape {node.weight.shape}", f"{axes + 2} axes")
    require(not np.any(node.bias), "bias", "not zero", "zeros (a bias is an added Constant)")
    require(node.bias.shape == node.weight.shape[:1], "bias", f"of shape {node.bias.shape}", "one per output channel")


def _check_constant(node: nir.NIRNode, require: Require) -> None:
    require(node.value.dtype.kind == "f", "value", f"of dtype {node.value.dtype}", "floating point")
    require(not np.isnan(node.value).any(), "value", "NaN somewhere", "numbers (infinities are masks)")
    require(node.schedule in n.SCHEDULES, "schedule", repr(node.schedule), f"one of {n.SCHEDULES}")


def _check_neuron(node: nir.NIRNode, require: Require) -> None:
    require(1 <= node.levels <= 32, "levels", node.levels, "1 to 32")
    for field in ("positive_base", "negative_base"):
        base = getattr(node, field)
        require(base.dtype.kind == "f", field, f"of dtype {base.dtype}", "floating point")
        limits = np.finfo(np.result_type(base.dtype, np.float32))
        # half a base is a threshold: it must be a normal number, and the highest level a finite one
        sound = bool((base >= 2 * limits.tiny).all() and (base <= limits.max / 2.0**node.levels).all())
        require(sound, field, "NaN, not positive, too small or too large somewhere", f"normal numbers of {limits.dtype}")
    require(node.rule in n.RULES, "rule", repr(node.rule), f"one of {n.RULES}")
    require(0.5 <= node.fraction < 1, "fraction", node.fraction, "at least 0.5 and below 1")
    lowest = node.lowest_level
    require(lowest.dtype.kind == "i", "lowest_level", f"of dtype {lowest.dtype}", "integers")
    sound = bool(((lowest >= 0) & (lowest <= node.levels)).all())
    require(sound, "lowest_level", f"{lowest.min()} to {lowest.max()}", f"0 to {node.levels}, the number of levels")
    _check_finite("initial_membrane")(node, require)


def _check_ecm(node: nir.NIRNode, require: Require) -> None:
    require(node.coding in n.CODINGS, "coding", repr(node.coding), f"one of {n.CODINGS}")
    require(node.function in FUNCTIONS, "function", repr(node.function), f"one of {', '.join(FUNCTIONS)}")
    expected = FUNCTIONS[node.function].operands  # its parameters have rules of their own, which know the operand's shape
    require(len(node.operands) == expected, "operands", len(node.operands), f"{expected} of them")


def _check_product(node: nir.NIRNode, require: Require) -> None:
    require(node.coding in n.CODINGS, "coding", repr(node.coding), f"one of {n.CODINGS}")
    require(node.product in n.PRODUCTS, "product", repr(node.product), f"one of {n.PRODUCTS}")
    require(len(node.operands) == 2, "operands", len(node.operands), "2 of them")
    for field in ("left_initial", "right_initial"):
        _check_finite(field)(node, require)
        allowed = node.coding == "differential" or not np.any(getattr(node, field))
        require(allowed, field, "not zero", "zero in rate coding")


def _check_readout(node: nir.NIRNode, require: Require) -> None:
    require(node.coding in n.CODINGS, "coding", repr(node.coding), f"one of {n.CODINGS}")


_FIELD_CHECKS: dict[type, Callable[[nir.NIRNode, Require], None]] = {
    nir.Linear: _check_finite("weight"),
    n.LastAxisLinear: _check_finite("weight"),
    nir.Conv1d: _check_conv,
    nir.Conv2d: _check_conv,
    nir.Scale: _check_finite("scale"),
    n.BroadcastScale: _check_finite("scale"),
    n.Constant: _check_constant,
    n.MultiThreshold: _check_neuron,
    n.ECM: _check_ecm,
    n.ECMProduct: _check_product,
    n.Readout: _check_readout,
}


def _masked(nodes: Mapping[str, nir.NIRNode], operands: Mapping[str, tuple[str, ...]], order: list[str]) -> frozenset[str]:
    """Streams that hold infinities (masks): they travel through wiring and sums, and enter nothing but the accumulator of an
    ECM."""
    infinite: set[str] = set()
    for name in order:
        node = nodes[name]
        carried = [source for source in operands[name] if source in infinite]
        begins = isinstance(node, n.Constant) and (np.isinf(node.value).any() or fixed_rules.has_minus_infinity(node))
        if begins or (carried and isinstance(node, (*n.WIRING, n.Add))):
            infinite.add(name)
        elif carried and not isinstance(node, n.ECM):
            raise ProgramError(
                f"node {name} ({type(node).__name__}): an infinity reaches it through {carried[0]}; masks may enter only an ECM"
            )
    return frozenset(infinite)


def _spiking(nodes: Mapping[str, nir.NIRNode], operands: Mapping[str, tuple[str, ...]], order: list[str]) -> frozenset[str]:
    spiking: set[str] = set()
    for name in order:
        wired = isinstance(nodes[name], n.WIRING) and all(source in spiking for source in operands[name])
        if isinstance(nodes[name], n.MultiThreshold) or wired:
            spiking.add(name)
    return frozenset(spiking)


def _encoding(nodes: Mapping[str, nir.NIRNode], operands: Mapping[str, tuple[str, ...]], order: list[str]) -> frozenset[str]:
    """Linear nodes reached from the input through wiring, scales and added constants alone."""
    raw: set[str] = set()
    constant: set[str] = set()
    encoding = set()
    transparent = (*n.WIRING, *n.SCALING, f.FixedScale, n.Add)
    for name in order:
        node, sources = nodes[name], operands[name]
        if isinstance(node, nir.Input):
            raw.add(name)
        elif isinstance(node, n.Constant) or (isinstance(node, transparent) and all(source in constant for source in sources)):
            constant.add(name)
        elif all(source in raw or source in constant for source in sources):
            if isinstance(node, (*n.LINEAR, f.FixedConv)):
                encoding.add(name)
            elif isinstance(node, transparent):
                raw.add(name)
    return frozenset(encoding)
