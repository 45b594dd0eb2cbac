"""The test vector of docs/fixed_point.md: a small program quantised, and every integer it computes. Run it to write it anew."""

from __future__ import annotations

import msgspec
import numpy as np

from docs.generate.fixed_functions import DOCUMENT, table
from docs.generate.format_vector import GRADED, GRADED_BITS, SAMPLE, STEPS, describe, graded, small
from ecmt_deploy.kernels import Site, Stream, kernel, kernels
from ecmt_deploy.program import Program, ops, verify
from ecmt_deploy.quantization import quantize
from ecmt_deploy.simulation.run import integers

#: of a membrane, in one
UNITS = 64
RANGES = {"input": 1.0, "encode": 1.5, "hold": 1.5, "add": 1.5, "gelu": 1.5, "head": 1.5, "readout": 1.5}


def quantised(coding: str, neuron: ops.Op | None = None) -> Program:
    """The program of docs/format.md with GELU for ReLU, in integers."""
    source = small(coding, neuron)
    nodes = {("gelu" if name == "relu" else name): node for name, node in source.nodes.items()}
    nodes["gelu"] = ops.ECM(("add",), "gelu", coding, {})
    names = {"relu": "gelu"}
    edges = [(names.get(s, s), names.get(name, name)) for name, sources in source.operands.items() for s in sources]
    return quantize(verify(nodes, edges, msgspec.structs.replace(source.provenance, ranges=RANGES)))


def vector() -> str:
    """Fields and streams of every node, both codings."""
    parts = [f"Sample {SAMPLE.tolist()}, {STEPS} steps; the entries of the tables of `gelu` are left out here."]
    for coding in ops.CODINGS:
        made = quantised(coding)
        running = kernels(made, made.dtype)
        running["input"].present(integers(made, SAMPLE))
        columns: dict[str, list[str]] = {name: [] for name in made.nodes}
        for t in range(1, STEPS + 1):
            streams: dict[str, Stream] = {}
            for name, one in running.items():
                streams[name] = one.step(t, *(streams[source] for source in made.operands[name]))
                columns[name].append(str(streams[name].value.tolist()))
        lines = [
            f"| node | type, fields | {' | '.join(f't = {t}' for t in range(1, STEPS + 1))} |",
            "|---|---|" + "---|" * STEPS,
        ]
        lines += [f"| `{name}` | {describe(made, name)} | {' | '.join(values)} |" for name, values in columns.items()]
        parts.append(f"**{coding} coding**\n\n" + "\n".join(lines))
    return "\n\n".join(parts)


def graded_integers() -> str:
    """The graded neurons of docs/format.md, those of base 0.25, whose numbers are whole in units of the membrane."""
    chosen = [row for row in GRADED if row[0] == 0.25]
    base, least, initial, inputs = (np.array(column) for column in zip(*chosen, strict=True))
    units = [np.rint(each * UNITS).astype(np.int64) for each in (base, initial, inputs)]
    node = ops.Graded(units[0], GRADED_BITS, least, units[1], format=ops.NumberFormat(exponent=-6, state_bits=24))
    shown = graded(node, units[2].T.copy())
    return f"`Graded` neurons by themselves, payload_bits = {GRADED_BITS}, state_bits = 24; y are payloads.\n\n{shown}"


def remainders() -> str:
    """Nodes that round, by themselves: increments in, what is sent, what is left."""
    wide = {"exponent": 0, "state_bits": 24}
    by_eighths = ops.Shifted(shift=np.array(3, np.int8), carries=True, **wide)
    halves_and_quarters = ops.Summed(operand_exponents=np.array([-1, -2]), carries=True, **wide)
    rows = [
        (
            "`BroadcastScale` scale = 3, shift = 3",
            ops.BroadcastScale(np.array(3, np.int16), format=by_eighths),
            [(4, -4, 4, 1)],
        ),
        (
            "`BroadcastScale` scale = -3, shift = 3",
            ops.BroadcastScale(np.array(-3, np.int16), format=by_eighths),
            [(4, -4, 4, 1)],
        ),
        ("`Add` operand_exponents = [-1, -2]", ops.Add(("x", "y"), format=halves_and_quarters), [(1, 1, -1, 0), (1, 1, 1, -5)]),
    ]
    lines = ["| node | x_1, .. | y_1, .. | k after each step |", "|---|---|---|---|"]
    for said, node, operands in rows:
        running = kernel(node, Site(((),) * len(operands), (), (False,) * len(operands), False), np.dtype(np.int64))
        sent, kept = [], []
        for t, x in enumerate(zip(*operands, strict=True), 1):
            value = running.step(t, *(Stream(np.array(each), np.array(True)) for each in x)).value
            sent.append(int(value))
            kept.append(int(running.state().item()))
        shown = ("; ".join(", ".join(map(str, each)) for each in column) for column in (operands, [sent], [kept]))
        lines.append(f"| {said} | {' | '.join(shown)} |")
    return "Nodes that carry, by themselves: `carries` = true, exponent = 0, state_bits = 24.\n\n" + "\n".join(lines)


def renewed(text: str) -> str:
    """The document with its generated parts made anew, the benchmark's left alone."""
    for key, content in {
        "functions": table(),
        "vector": vector(),
        "graded": graded_integers(),
        "remainders": remainders(),
    }.items():
        begin, end = f"<!-- generated: {key} -->", f"<!-- end: {key} -->"
        text = text[: text.index(begin)] + f"{begin}\n\n{content}\n\n{end}" + text[text.index(end) + len(end) :]
    return text


if __name__ == "__main__":
    DOCUMENT.write_text(renewed(DOCUMENT.read_text()))
