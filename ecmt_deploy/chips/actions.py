"""What a chip can price: actions that are counted, the component each is charged to, its usual price and its usual time.

A chip's file lists prices and times by name. The usual names are those here, and one that is missing is reported. Any other
entry is a component of the chip's own and says which action it is ``per``.
"""

from __future__ import annotations

from typing import NamedTuple

from ecmt_deploy.program.functions import FUNCTIONS

#: kinds of elementwise work that are counted and can be priced: the functions, and what other nodes do
KINDS = (*FUNCTIONS, "add", "hold", "mean", "product_readout", "readout", "scale")


class Action(NamedTuple):
    """Component that an action is charged to; names of its usual price and its usual time.

    An empty name: no chip publishes one. The time is ``None`` where the action takes none of a core.
    """

    component: str
    price: str
    time: str | None = None


#: by name; ``synops.product``, and ``synops.reduction`` of sums over rows, are of ``synops``: what is per ``synops`` is charged
#: for them as well
ACTIONS = {
    "synops": Action("synapse", "synop_pj", "synop_ns"),
    "synops.convolution": Action("synapse", "synop_conv_pj", "synop_ns"),
    "synops.product": Action("product", "synop_pj", "synop_ns"),
    "synops.reduction": Action("synapse", "synop_pj", "synop_ns"),
    "macs": Action("mac", "mac_pj", ""),
    "neuron_updates_active": Action("neuron", "neuron_update_active_pj", "neuron_update_active_ns"),
    "neuron_updates_idle": Action("neuron", "neuron_update_idle_pj", "neuron_update_idle_ns"),
    "spikes": Action("neuron", "spike_pj", "spike_ns"),
    "ecm_ops": Action("ecm", "ecm_op_pj", ""),  # of gelu: ecm_ops.gelu, ecm_op_pj.gelu
    "packets": Action("routing", "message_pj", "message_ns"),
    "packets_in": Action("routing", "message_in_pj", "message_in_ns"),
    "packets.analog": Action("routing", "analog_message_pj", "message_ns"),
    "packets_within_tile": Action("routing", "tile_pj"),
    "hops_ew": Action("routing", "hop_ew_pj"),
    "hops_ns": Action("routing", "hop_ns_pj"),
    "chip_crossings": Action("chip_crossing", "chip_crossing_pj"),
    "stranded": Action("routing", ""),  # messages from or to units that no core holds: nothing prices them
    "chip_time": Action("static", "static_mw"),
}
#: components of the energy in their usual order
COMPONENTS = tuple(dict.fromkeys(action.component for action in ACTIONS.values()))
#: usual names of prices (``ecm_op_pj`` is a table of functions), and of times: those of a clock tick and a hop are no action's
PRICES = tuple(dict.fromkeys(action.price for action in ACTIONS.values() if action.price))
FUNCTION_PRICES = tuple(f"ecm_op_pj.{kind}" for kind in KINDS)
TIMES = ("step_ns", *dict.fromkeys(action.time for action in ACTIONS.values() if action.time), "hop_ns")


def entry_of(action: str) -> Action:
    """The entry of an action; of ``ecm_ops.gelu`` that of ``ecm_ops`` with the price ``ecm_op_pj.gelu``."""
    if action in ACTIONS:
        return ACTIONS[action]
    family, _, kind = action.partition(".")
    return ACTIONS[family]._replace(price=f"{ACTIONS[family].price}.{kind}")


def belongs(name: str, family: str) -> bool:
    """Whether a name is a family's, or one of its members' (``ecm_ops.gelu`` of ``ecm_ops``)."""
    return name == family or name.startswith(f"{family}.")
