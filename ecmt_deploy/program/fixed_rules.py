"""The rules of integer programs: widths that hold their numbers, formats that fit, nothing that could overflow unseen."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import nir
import numpy as np

from ecmt_deploy.errors import ProgramError
from ecmt_deploy.program import fixed as f
from ecmt_deploy.program import nodes as n

Require = Callable[[bool, str, object, str], None]

#: parameters of every function as a :class:`~ecmt_deploy.program.fixed.FixedECM` holds them: the largest magnitude of
#: each; a pair
#: is an array of that many entries (``None``: at least two)
_WORD, _SHIFT, _SMALL, _WIDE = 2**15, 62, 2**10, 2**48
_MANTISSA = (2**17, 257)
_POWER = {"mantissa": _MANTISSA, "multiplier": (_WORD, 32), "shift": (_SHIFT, 32), "at_zero": 2**31, "sign": 1}
_TABLE = {
    "values": (2**31, None), "start": 2**31, "segment_bits": 31, "left_multiplier": _WORD, "left_shift": _SHIFT,
    "right_multiplier": _WORD, "right_shift": _SHIFT,
}  # fmt: skip
_Asymptotes = tuple[float, float, float]
#: elementwise functions that are a table in integers: from their parameters in the float program, the magnitude beyond which
#: they are straight lines, and the slopes of these, left and right
TABLES: dict[str, Callable[[Mapping[str, Any]], _Asymptotes]] = {
    "gelu": lambda p: (6.0, 0, 1),
    "gelu_tanh": lambda p: (6.0, 0, 1),
    "silu": lambda p: (16.0, 0, 1),
    "sigmoid": lambda p: (16.0, 0, 0),
    "tanh": lambda p: (8.0, 0, 0),
    "hard_swish": lambda p: (3.0, 0, 1),
    "hard_sigmoid": lambda p: (3.0, 0, 0),
}
#: functions that have no integer form, with the reason: programs that hold them are refused where they are quantised
WITHOUT_INTEGER: dict[str, str] = {}
_ROW = {"epsilon": _WIDE, "mantissa": (2**17, 385), "fraction_bits": 30, "weight": _WORD, "weight_shift": _SHIFT, "bias": 2**31}
PARAMETERS: dict[str, dict[str, Any]] = {
    "softmax": {"axis": _SMALL, "multiplier": _WORD, "shift": _SHIFT, "mantissa": (2**21, 257), "result_shift": _SHIFT},
    "layer_norm": {"normalized_axes": _SMALL, **_ROW},
    "rms_norm": {"normalized_axes": _SMALL, **_ROW},
    "group_norm": {"groups": 2**20, **_ROW},
    "l2_norm": {"axis": _SMALL, "mantissa": (2**17, 385), "result_shift": 127},
    **dict.fromkeys(TABLES, _TABLE),
    **dict.fromkeys(("sqrt", "rsqrt", "reciprocal", "power"), _POWER),
    "exp": {"multiplier": _WORD, "shift": _SHIFT, "mantissa": _MANTISSA, "result_shift": 127},
    "divide": {"mantissa": _MANTISSA, "result_shift": 127},
    "relu": {},
    "abs": {},
    "clamp": {"low": 2**31, "high": 2**31},
    "leaky_relu": {"multiplier": _WORD, "shift": _SHIFT},
}
#: functions whose result has the format of their operand
SAME_FORMAT = ("relu", "abs", "clamp", "leaky_relu")
#: parameters that may be one per channel
_PER_CHANNEL = ("weight", "weight_shift", "bias")


def is_fixed(nodes: Mapping[str, nir.NIRNode]) -> bool:
    """Whether these are the nodes of an integer program."""
    return any(isinstance(node, f.Fixed) for node in nodes.values())


def _integers(array: object, lowest: int, highest: int) -> bool:
    values = np.asarray(array)
    return values.dtype.kind == "i" and (values.size == 0 or (lowest <= int(values.min()) and int(values.max()) <= highest))


def check_fields(node: Any, require: Require) -> None:
    """The fields of one integer node."""
    require(2 <= node.state_bits <= 32, "state_bits", node.state_bits, "2 to 32")
    require(-64 <= node.exponent <= 64, "exponent", node.exponent, "-64 to 64")
    if isinstance(node, f.Requantised):
        require(_integers(node.multiplier, -f.limit(f.MULTIPLIER_BITS), f.limit(f.MULTIPLIER_BITS)),
                "multiplier", "no integers of 16 bits", "integers of 16 bits")  # fmt: skip
        sound = _integers(node.shift, -16, _SHIFT) and np.shape(node.shift) == np.shape(node.multiplier)
        require(sound, "shift", "out of range or of another shape", f"integers of -16 to {_SHIFT}, one per multiplier")
    check = _CHECKS.get(type(node))
    if check:
        check(node, require)


def _constant(node: f.FixedConstant, require: Require) -> None:
    bits = node.state_bits
    require(_integers(node.value, f.minus_infinity(bits), f.limit(bits)), "value", "out of range", f"integers of {bits} bits")
    require(node.schedule in n.SCHEDULES, "schedule", repr(node.schedule), f"one of {n.SCHEDULES}")


def _weights(node: Any, require: Require) -> None:
    require(2 <= node.weight_bits <= 16, "weight_bits", node.weight_bits, "2 to 16")
    bits, ndim = node.weight_bits, np.ndim(node.weight)
    sound = _integers(node.weight, f.minus_infinity(bits), f.limit(bits))
    require(sound, "weight", f"of dtype {node.weight.dtype} or out of range", f"integers of {bits} bits")
    require(ndim in ((3, 4) if isinstance(node, f.FixedConv) else (2,)), "weight", f"of {ndim} axes", "a matrix or kernels")
    out = node.weight.shape[:1]
    require(np.shape(node.multiplier) == out, "multiplier", f"of shape {np.shape(node.multiplier)}", f"{out}, one per output")
    if isinstance(node, f.FixedConv):
        for field, least in (("stride", 1), ("padding", 0), ("dilation", 1)):
            value = getattr(node, field)
            sound = _integers(value, least, 2**20) and np.shape(value) == (ndim - 2,)
            require(sound, field, np.asarray(value).tolist(), f"{ndim - 2} integers of at least {least}")
        require(node.groups >= 1, "groups", node.groups, "at least 1")


def _mean(node: f.FixedMean, require: Require) -> None:
    require(np.ndim(node.multiplier) == 0, "multiplier", f"of {np.ndim(node.multiplier)} axes", "a single number")


def _neuron(node: f.FixedMultiThreshold, require: Require) -> None:
    require(2 <= node.payload_bits <= 24, "payload_bits", node.payload_bits, "2 to 24")
    require(1 <= node.levels < node.payload_bits, "levels", node.levels, f"1 to {node.payload_bits - 1}, as payloads can tell")
    require(node.rule in n.RULES, "rule", repr(node.rule), f"one of {n.RULES}")
    numerator = node.fraction * f.FRACTION_STEPS
    require(
        0.5 <= node.fraction < 1 and numerator == int(numerator), "fraction", node.fraction, "a multiple of 1/256 in [0.5, 1)"
    )
    largest = f.limit(node.state_bits)
    require(_integers(node.unit, 1, largest), "unit", "out of range", f"positive integers of {node.state_bits} bits")
    for field in ("positive_base", "negative_base"):
        base = getattr(node, field)
        require(_integers(base, 1, largest), field, "out of range", f"positive integers of {node.state_bits} bits")
        ratio, rest = np.divmod(np.asarray(base, np.int64), np.asarray(node.unit, np.int64))
        sound = not rest.any() and int(ratio.max()) << (node.levels - 1) <= f.limit(node.payload_bits)
        require(
            sound, field, "no multiple of unit, or too large a one", f"multiples whose payloads have {node.payload_bits} bits"
        )
    require(_integers(node.lowest_level, 0, node.levels), "lowest_level", "out of range", f"integers of 0 to {node.levels}")
    require(_integers(node.initial_membrane, -largest, largest), "initial_membrane", "out of range",
            f"integers of {node.state_bits} bits")  # fmt: skip


def _exponents(node: Any, require: Require) -> None:
    found = np.asarray(node.operand_exponents)
    sound = _integers(found, -64, 64) and found.shape == (len(node.operands),)
    require(sound, "operand_exponents", found.tolist(), "one exponent per operand, -64 to 64")
    if isinstance(node, f.FixedAdd):
        left = int((found - node.exponent).max()) if found.size else 0
        require(
            left <= f.MOST_LEFT_SHIFT - 8, "operand_exponents", found.tolist(), f"at most 24 above the sum's, {node.exponent}"
        )


def _ecm(node: f.FixedECM, require: Require) -> None:
    require(node.coding in n.CODINGS, "coding", repr(node.coding), f"one of {n.CODINGS}")
    require(node.function in PARAMETERS, "function", repr(node.function), f"one of {', '.join(PARAMETERS)}")
    operands = 2 if node.function == "divide" else 1
    require(len(node.operands) == operands, "operands", len(node.operands), f"{operands} of them")
    _exponents(node, require)
    declared = PARAMETERS[node.function]
    require(set(node.parameters) == set(declared), "parameters", sorted(node.parameters), str(sorted(declared)))
    for key, bound in declared.items():
        value = np.asarray(node.parameters[key])
        most, entries = bound if isinstance(bound, tuple) else (bound, 0)
        require(_integers(value, -most, most), f"parameter {key}", "out of range", f"integers within +-{most}")
        if isinstance(bound, tuple):
            sound = value.ndim == 1 and (len(value) == entries if entries else 2 <= len(value) <= 2**16 + 1)
            require(sound, f"parameter {key}", f"of shape {value.shape}", f"{entries or 'at least 2'} entries")
        elif key not in _PER_CHANNEL:
            require(value.ndim == 0, f"parameter {key}", f"of shape {value.shape}", "a single integer")
    p = node.parameters
    for key in ("shift", "weight_shift", "left_shift", "right_shift"):
        if key in p:  # so that no product shifted to the left leaves 63 bits
            least = -30 if "at_zero" in p else -4 if key == "weight_shift" else -12
            require(int(np.min(p[key])) >= least, f"parameter {key}", int(np.min(p[key])), f"at least {least}")
    for key in ("segment_bits", "fraction_bits", "epsilon"):
        if key in p:
            require(int(p[key]) >= 0, f"parameter {key}", int(p[key]), "not negative")
    if node.function == "softmax":
        require(int(p["multiplier"]) >= 0 and int(p["result_shift"]) >= 0, "parameters", "negative", "a rising exponential")
    if "values" in p:
        end = int(p["start"]) + ((len(p["values"]) - 1) << int(p["segment_bits"]))
        require(end < 2**40, "parameter values", f"up to {end}", "a table within the operand")


def _product(node: f.FixedECMProduct, require: Require) -> None:
    require(node.coding in n.CODINGS, "coding", repr(node.coding), f"one of {n.CODINGS}")
    require(node.product in n.PRODUCTS, "product", repr(node.product), f"one of {n.PRODUCTS}")
    require(len(node.operands) == 2, "operands", len(node.operands), "2 of them")
    require(2 <= node.operand_bits <= 24, "operand_bits", node.operand_bits, "2 to 24")
    require(-16 <= node.shift <= _SHIFT, "shift", node.shift, f"-16 to {_SHIFT}")
    largest = f.limit(node.state_bits)
    for side in ("left", "right"):
        initial, unit, shift = (getattr(node, f"{side}_{field}") for field in ("initial", "unit", "shift"))
        require(_integers(unit, 1, largest), f"{side}_unit", "out of range", f"positive integers of {node.state_bits} bits")
        require(_integers(initial, -largest, largest), f"{side}_initial", "out of range", f"integers of {node.state_bits} bits")
        require(node.coding == "differential" or not np.any(initial), f"{side}_initial", "not zero", "zero in rate coding")
        require(0 <= shift <= node.state_bits, f"{side}_shift", shift, f"0 to {node.state_bits}")


def _readout(node: f.FixedReadout, require: Require) -> None:
    require(node.coding in n.CODINGS, "coding", repr(node.coding), f"one of {n.CODINGS}")


_CHECKS: dict[type, Callable[..., None]] = {
    f.FixedConstant: _constant,
    f.FixedLinear: _weights,
    f.FixedConv: _weights,
    f.FixedMean: _mean,
    f.FixedMultiThreshold: _neuron,
    f.FixedAdd: _exponents,
    f.FixedECM: _ecm,
    f.FixedECMProduct: _product,
    f.FixedReadout: _readout,
}


def stream_exponents(
    nodes: Mapping[str, nir.NIRNode],
    operands: Mapping[str, tuple[str, ...]],
    shapes: Mapping[str, tuple[int, ...]],
    order: list[str],
    spiking: frozenset[str],
) -> dict[str, int]:
    """The exponent of every analog stream of an integer program, after checking that formats and widths fit.

    Raises
    ------
    ProgramError
        naming node, field, what was found and what was expected.
    """
    found: dict[str, int] = {}
    widths = {node.state_bits for node in nodes.values() if isinstance(node, f.Fixed) and not isinstance(node, f.FixedInput)}
    if len(widths) != 1:
        raise ProgramError(f"state_bits are {sorted(widths)}; an integer program has one width of state")
    (bits,) = widths
    for name in order:
        node: Any = nodes[name]

        def require(condition: bool, what: str, name: str = name, node: Any = node) -> None:
            if not condition:
                raise ProgramError(f"node {name} ({type(node).__name__}): {what}")

        sources = operands[name]
        analog = [found[source] for source in sources if source in found]
        require(isinstance(node, (f.Fixed, nir.Output, *n.WIRING)), "is not of an integer program, but other nodes are")
        spikes = [source for source in sources if source in spiking]
        takes_spikes = isinstance(node, (*n.WIRING, f.FixedLinear, f.FixedConv, f.FixedECMProduct))
        require(not spikes or takes_spikes, f"takes the spikes of {spikes[:1]}, expected an analog stream")
        if name in spiking and not isinstance(node, n.MultiThreshold):
            continue
        require(not (isinstance(node, n.WIRING) and spikes), "joins spikes and integers; their units differ")
        if isinstance(node, (*n.WIRING, nir.Output)):
            require(len(set(analog)) == 1, f"joins streams of exponents {analog}, expected one format")
            found[name] = analog[0]
            continue
        if isinstance(node, f.FixedAdd | f.FixedECM):
            declared = node.operand_exponents.tolist()
            require(declared == analog, f"operand_exponents is {declared}, but its operands have {analog}")
        same = isinstance(node, f.FixedHold | f.FixedReadout | f.FixedMultiThreshold) or (
            isinstance(node, f.FixedECM) and node.function in SAME_FORMAT
        )
        require(not same or analog == [node.exponent], f"exponent is {node.exponent}, but its operand has {analog}")
        if isinstance(node, f.FixedInput):
            require(node.state_bits <= bits, f"state_bits is {node.state_bits}, expected at most {bits}, as the others have")
        elif isinstance(node, f.FixedScale):
            fits = np.broadcast_shapes(np.shape(node.multiplier), shapes[name]) == shapes[name]
            require(fits, f"multiplier of shape {np.shape(node.multiplier)} on {shapes[name]}")
        if isinstance(node, f.FixedLinear | f.FixedConv):
            widest = 24 if spikes else bits
            width = f.exact_sum_bits(node, widest)
            left = max(0, -int(node.shift.min())) if node.shift.size else 0
            kept = bits if spikes else width
            require(width <= f.EXACT_BITS and kept + f.MULTIPLIER_BITS + left <= 63,
                    f"its sums take {width} bits, more than the {f.EXACT_BITS} that are exact")  # fmt: skip
        if isinstance(node, f.FixedECMProduct):
            inner = shapes[sources[0]][-1] if node.product == "matmul" and shapes[sources[0]] else 1
            width = 2 * int(node.operand_bits) + int(inner).bit_length()
            require(width + max(0, -int(node.shift)) <= f.EXACT_BITS + 8 and width <= f.EXACT_BITS,
                    f"its products take {width} bits, more than the {f.EXACT_BITS} that are exact")  # fmt: skip
        if name not in spiking:
            found[name] = int(node.exponent)
    return found


def has_minus_infinity(node: nir.NIRNode) -> bool:
    """Whether a constant holds the number that stands for minus infinity."""
    return isinstance(node, f.FixedConstant) and bool((node.value == f.minus_infinity(node.state_bits)).any())
