"""What each node type holds in a file: the declared table that writer, reader and format document share."""

import nir

from ecmt_deploy.program import fixed as f
from ecmt_deploy.program import nodes as n
from ecmt_deploy.program.shapes import convolution

#: kinds of field: ``ints`` int64 array, ``integers`` array of any signed integers, ``int``, ``float`` and ``bool`` scalars,
#: ``floats`` floating point array, ``string``,
#: ``names`` string vector, ``parameters`` group of numeric arrays by name
FIELDS: dict[type, dict[str, str]] = {
    nir.Input: {"shape": "ints"},
    nir.Output: {"shape": "ints"},
    nir.Linear: {"weight": "floats"},
    nir.Conv1d: {
        "input_shape": "int", "weight": "floats", "stride": "ints", "padding": "ints", "dilation": "ints", "groups": "int",
        "bias": "floats",
    },
    nir.Conv2d: {
        "input_shape": "ints", "weight": "floats", "stride": "ints", "padding": "ints", "dilation": "ints", "groups": "int",
        "bias": "floats",
    },
    nir.Scale: {"scale": "floats"},
    n.Reshape: {"shape": "ints"},
    n.Permute: {"axes": "ints"},
    n.Slice: {"axis": "int", "start": "int", "stop": "int", "step": "int"},
    n.Take: {"axis": "int", "indices": "ints"},
    n.Expand: {"shape": "ints"},
    n.Pad: {"widths": "ints"},
    n.Concat: {"operands": "names", "axis": "int"},
    n.LastAxisLinear: {"weight": "floats"},
    n.BroadcastScale: {"scale": "floats"},
    n.Add: {"operands": "names"},
    n.Mean: {"axes": "ints", "keepdims": "bool"},
    n.Constant: {"value": "floats", "schedule": "string"},
    n.Hold: {},
    n.MultiThreshold: {
        "positive_base": "floats", "negative_base": "floats", "levels": "int", "rule": "string", "fraction": "float",
        "lowest_level": "integers", "initial_membrane": "floats",
    },
    n.ECM: {"operands": "names", "function": "string", "coding": "string", "parameters": "parameters"},
    n.ECMProduct: {
        "operands": "names", "product": "string", "coding": "string", "left_initial": "floats", "right_initial": "floats",
    },
    n.Readout: {"coding": "string"},
}  # fmt: skip
_FORMAT = {"exponent": "int", "state_bits": "int"}
_REQUANTISED = {"multiplier": "integers", "shift": "integers", **_FORMAT}
FIELDS |= {
    f.FixedInput: {"shape": "ints", **_FORMAT},
    f.FixedConstant: {"value": "integers", "schedule": "string", **_FORMAT},
    f.FixedLinear: {"weight": "integers", "weight_bits": "int", **_REQUANTISED},
    f.FixedConv: {
        "weight": "integers", "weight_bits": "int", "stride": "ints", "padding": "ints", "dilation": "ints", "groups": "int",
        **_REQUANTISED,
    },
    f.FixedScale: _REQUANTISED,
    f.FixedAdd: {"operands": "names", "operand_exponents": "ints", **_FORMAT},
    f.FixedMean: {"axes": "ints", "keepdims": "bool", **_REQUANTISED},
    f.FixedHold: _FORMAT,
    f.FixedMultiThreshold: {
        "positive_base": "integers", "negative_base": "integers", "unit": "integers", "levels": "int", "rule": "string",
        "fraction": "float", "lowest_level": "integers", "initial_membrane": "integers", "payload_bits": "int", **_FORMAT,
    },
    f.FixedECM: {
        "operands": "names", "function": "string", "coding": "string", "parameters": "parameters", "operand_exponents": "ints",
        **_FORMAT,
    },
    f.FixedECMProduct: {
        "operands": "names", "product": "string", "coding": "string", "left_initial": "integers", "right_initial": "integers",
        "left_unit": "integers", "right_unit": "integers", "left_shift": "int", "right_shift": "int", "operand_bits": "int",
        "shift": "int", **_FORMAT,
    },
    f.FixedReadout: {"coding": "string", **_FORMAT},
}  # fmt: skip

#: key of the graph's metadata under which the provenance stands, as JSON
PROVENANCE_KEY = "ecmt_deploy"


def field_value(node: nir.NIRNode, field: str) -> object:
    """Value of a field; NIR keeps the shape of its ends in a type dictionary."""
    if isinstance(node, nir.Input) and field == "shape":
        return n.input_shape(node)
    if isinstance(node, nir.Output) and field == "shape":
        return n.output_shape(node)
    if isinstance(node, nir.Conv1d | nir.Conv2d) and field in ("stride", "padding", "dilation"):
        return convolution(node)[field]  # one number per spatial axis, however the node says it
    return getattr(node, field)
