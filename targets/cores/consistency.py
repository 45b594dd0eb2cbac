"""What cores must agree on: who computes what, whose messages go where, and in which order."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .layout import Group, Layout, Node

Require = Callable[[bool, str], None]


def require_consistent(layout: Layout, require: Require) -> None:
    """Refuse a layout whose cores contradict one another, through ``require``."""
    roles = [node.role for node in layout.nodes.values()]
    require(roles.count("readout") == 1, f"nodes: {roles.count('readout')} of role readout, expected one")
    for name, groups in layout.groups.items():
        _require_whole(name, groups, layout.nodes[name], require)
    for groups in layout.groups.values():
        for group in groups:
            _require_axons(group, layout, require)


def _require_whole(name: str, groups: tuple[Group, ...], node: Node, require: Require) -> None:
    """Every element of a stream is computed once, by groups of one kind."""
    require(bool(groups), f"nodes.{name}: no core computes it")
    made = [group.elements.ravel() for group in groups]
    total = sum(len(part) for part in made)
    require(total == node.size, f"nodes.{name}: cores compute {total} elements, expected {node.size}")
    once = np.sort(np.concatenate(made))
    require(np.array_equal(once, np.arange(node.size)), f"nodes.{name}: elements are computed twice, or by nobody")
    cores = [group.core for group in groups]
    require(cores == sorted(set(cores)), f"nodes.{name}: a core has two groups of it")
    alike = {
        (group.op.kind, group.op.detail, group.op.role, getattr(group.op, "coding", ""), group.together is None,
         tuple((inlet.spiking, inlet.together is None) for inlet in group.inlets))
        for group in groups
    }  # fmt: skip
    require(len(alike) == 1, f"nodes.{name}: its groups differ in op, coding or inlets")
    require(groups[0].op.role == node.role, f"nodes.{name}: role is {node.role}, but its op's is {groups[0].op.role}")


def _require_axons(group: Group, layout: Layout, require: Require) -> None:
    """Every axon comes from an element that is there, in time, and brings what the group expects."""
    order, core_of = list(layout.groups), layout.core_of
    mine, here = layout.nodes[group.node].place, f"core {group.core}, node {group.node}"
    for k, inlet in enumerate(group.inlets):
        for emitter, axon in inlet.axons.items():
            where = f"{here}: inlets[{k}].axons.{emitter}"
            node = layout.nodes.get(emitter)
            require(node is not None, f"{where}: there is no such node; dangling axon")
            assert node is not None
            require(emitter in core_of or node.role == "input", f"{where}: it sends nothing; dangling axon")
            most = int(axon.elements.max(initial=-1))
            require(most < node.size, f"{where}: element {most} of {node.size}; dangling axon")
            require(
                inlet.spiking == (node.role == "neuron"), f"{where}: spikes and analog values differ in what they are worth"
            )
            if emitter in core_of:
                local = bool((core_of[emitter][axon.elements] == group.core).all())
                follows = order.index(emitter) < order.index(group.node)
                sound = node.place < mine or (node.place == mine and local and follows)
                require(sound, f"{where}: comes from place {node.place} of the pipeline, too late for place {mine}")
