"""Programs of older dialects: their integer nodes had types of their own, which are read as today's nodes with a number format.

Version 2 is version 3 without ranges and integer nodes; version 3 has ``FixedLinear`` and the like, whose fields stand side by
side with those of the format; version 4 has no graded neurons and says nothing else otherwise; version 5 says of no format that
it carries, and none does.
"""

from __future__ import annotations

import numpy as np

from ecmt_deploy.program.ops import OPS, NumberFormat
from ecmt_deploy.untrusted.hdf5 import Tree

#: today's type of each, where it does not depend on the weight
_TYPES = {
    "FixedInput": "Input", "FixedConstant": "Constant", "FixedLinear": "LastAxisLinear", "FixedScale": "BroadcastScale",
    "FixedAdd": "Add", "FixedMean": "Mean", "FixedHold": "Hold", "FixedMultiThreshold": "MultiThreshold", "FixedECM": "ECM",
    "FixedECMProduct": "ECMProduct", "FixedReadout": "Readout",
}  # fmt: skip
KINDS = (*_TYPES, "FixedConv")


def modernised(kind: str, group: Tree) -> tuple[str, Tree]:
    """Type and members of a node of an older dialect, as they are written today; any other node as it is."""
    if kind not in KINDS:
        return kind, group
    group = dict(group)
    weight = group.get("weight")
    if kind == "FixedConv":
        line = isinstance(weight, np.ndarray) and weight.ndim == 3
        new = "Conv1d" if line else "Conv2d"
        if isinstance(weight, np.ndarray) and weight.ndim:
            group["bias"] = np.zeros(weight.shape[0], np.int8)
    else:
        new = _TYPES[kind]
    if new == "BroadcastScale" and "multiplier" in group:
        group["scale"] = group.pop("multiplier")
    form = OPS[new].format_type
    assert form is not None
    group["format"] = {field: group.pop(field) for field in form.fields if field in group}
    return new, group


def format_fields(form: type[NumberFormat], version: int) -> dict[str, str]:
    """The fields of a number format in files of a version, with their kinds; what others have is then as it is by default."""
    return {field: kind for field, kind in form.fields.items() if version >= 6 or field != "carries"}
