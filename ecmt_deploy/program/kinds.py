"""What kind of values every stream of a program holds: spikes, infinities, what is exact; and which nodes encode the sample."""

from __future__ import annotations

from collections.abc import Mapping

from ecmt_deploy.errors import ProgramError
from ecmt_deploy.program.ops import Op

Nodes = Mapping[str, Op]
Operands = Mapping[str, tuple[str, ...]]


def masked_streams(nodes: Nodes, operands: Operands, order: list[str]) -> frozenset[str]:
    """Streams that hold infinities (masks): they travel through wiring and sums, and enter nothing but the accumulator of a
    function."""
    infinite: set[str] = set()
    for name in order:
        node = nodes[name]
        carried = [source for source in operands[name] if source in infinite]
        if (node.role == "constant" and node.masks) or (carried and node.carries_masks):
            infinite.add(name)
        elif carried and not node.takes_masks:
            raise ProgramError(
                f"node {name} ({node.kind}): an infinity reaches it through {carried[0]}; masks may enter only an ECM"
            )
    return frozenset(infinite)


def spiking_streams(nodes: Nodes, operands: Operands, order: list[str]) -> frozenset[str]:
    spiking: set[str] = set()
    for name in order:
        emits, sources = nodes[name].emits, operands[name]
        if emits == "spikes" or (emits == "operands" and sources and all(source in spiking for source in sources)):
            spiking.add(name)
    return frozenset(spiking)


def exact_streams(nodes: Nodes, operands: Operands, order: list[str]) -> frozenset[str]:
    """Streams that follow from tokens, masks and constants that enter once, after checking what such streams may enter.

    They enter at t = 1 alone, in both codings: what is computed of them is computed once, in differential coding. ``Hold``
    repeats one for what takes it at every step.
    """
    exact: set[str] = set()
    once: set[str] = set()
    lasting: set[str] = set()  # exact or constant, whether it enters once or is there at every step
    for name in order:
        node, sources = nodes[name], operands[name]
        if node.enters_exact:
            exact.add(name)
            lasting.add(name)
            continue
        if sources and all(source in once for source in sources):
            alone = False
            once.update([name] if node.role == "movement" else [])
        else:
            alone = any(source in exact for source in sources) and all(source in exact or source in once for source in sources)
            once.update([name] if node.role == "constant" and node.sends == "once" else [])
        moved = node.role == "movement" or (node.role == "arithmetic" and node.every_step)
        if node.role == "constant" or (moved and all(source in lasting for source in sources)):
            lasting.add(name)
        _require_masks(name, node, [sources[k] for k in node.exact_operands if sources[k] not in lasting])
        _require_exact(name, node, alone, [source for source in sources if source not in exact], sources)
        if alone and node.role in ("movement", "arithmetic", "function", "product") and not node.every_step:
            exact.add(name)
            lasting.add(name)
    return frozenset(exact)


def _require_masks(name: str, node: Op, wrong: list[str]) -> None:
    """Refuse operands of a node that must be exact, or constant, and are not."""
    if wrong:
        raise ProgramError(
            f"node {name} ({node.kind}): {node.detail} takes {wrong[0]} as a mask, expected what follows from tokens, masks and"
            " constants alone"
        )


def _require_exact(name: str, node: Op, alone: bool, others: list[str], sources: tuple[str, ...]) -> None:
    """Refuse a node whose operands must be exact and are not, or must not be and are.

    Parameters
    ----------
    alone : whether it takes nothing but exact streams and constants that enter once
    others : those of its operands that are not exact
    """
    needs = node.needs_exact or node.takes_tokens
    wrong = None
    if needs and not alone:
        what = f"{node.detail} " if node.detail else ""
        wrong = f"{what}takes {others[0]}, expected an input that holds tokens or a mask, or what follows from such alone"
    elif needs and node.every_step:
        wrong = "coding is 'rate', expected 'differential': tokens and masks enter once"
    elif len(others) < len(sources) and not node.takes_tokens:
        held = next(source for source in sources if source not in others)
        if node.role == "synapse":
            wrong = f"takes {held}, which holds tokens or a mask; of nodes with weights only an Embedding may"
        elif node.role in ("neuron", "readout"):
            wrong = f"takes {held}, which holds tokens or a mask and needs no {node.kind}"
    if wrong:
        raise ProgramError(f"node {name} ({node.kind}): {wrong}")


def encoding_layers(nodes: Nodes, operands: Operands, order: list[str], exact: frozenset[str]) -> frozenset[str]:
    """Synapses reached from the input through wiring, scales and added constants alone, or from what is exact."""
    raw: set[str] = set()
    constant: set[str] = set()
    encoding = set()
    for name in order:
        node, sources = nodes[name], operands[name]
        if node.role == "input" or name in exact:
            raw.add(name)
        elif node.role == "constant" or (node.passes_image and all(source in constant for source in sources)):
            constant.add(name)
        elif all(source in raw or source in constant for source in sources):
            if node.role == "synapse":
                encoding.add(name)
            elif node.passes_image:
                raw.add(name)
    return frozenset(encoding)
