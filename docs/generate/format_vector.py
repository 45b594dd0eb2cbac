"""The generated parts of docs/format.md: the table of functions, the reader and the test vectors. Run it to write them anew."""

from collections.abc import Callable
from pathlib import Path

import nir
import numpy as np

from ecmt_deploy.kernels import Site, Stream, kernel, kernels, present
from ecmt_deploy.program import Program, Provenance, ops, verify
from ecmt_deploy.program.functions import FUNCTIONS

ROOT = Path(__file__).parents[2]
DOCUMENT, READER = ROOT / "docs" / "format.md", ROOT / "examples" / "reader.py"
SAMPLE = np.array([1.0, -0.6, 0.3])
STEPS = 3
BEGIN, END = "<!-- generated: {} -->", "<!-- end: {} -->"


def small(coding: str, neuron: ops.Op | None = None) -> Program:
    """Input, weights, bias, ReLU, neurons, weights: one of each."""
    rate = coding == "rate"
    neuron = neuron or ops.MultiThreshold(np.array(0.11), np.array(0.13), 4, "nearest", 0.74)
    nodes = {
        "input": nir.Input(input_type={"input": np.array([3])}),
        "encode": nir.Linear(np.array([[0.5, -1.0, 0.2], [1.5, 0.4, -0.3]])),
        "bias": ops.Constant(np.array([0.1, -0.2]), "every" if rate else "first"),
        "add": ops.Add(("hold" if rate else "encode", "bias")),
        "relu": ops.ECM(("add",), "relu", coding, {}),
        "neuron": neuron,
        "head": nir.Linear(np.array([[1.0, -0.7], [0.3, 0.8]])),
        "readout": ops.Readout(coding),
        "output": nir.Output(output_type={"output": np.array([2])}),
    }
    edges = [("input", "encode"), ("bias", "add"), ("add", "relu"), ("relu", "neuron"), ("neuron", "head")]
    edges += [("head", "readout"), ("readout", "output")]
    if rate:
        nodes["hold"] = ops.Hold()
        edges += [("encode", "hold"), ("hold", "add")]
    else:
        edges += [("encode", "add")]
    return verify(nodes, edges, Provenance(tool_version="test"))


def tokens(coding: str) -> Program:
    """Rows of a table by ids, neurons, and what a mask leaves of their spikes, averaged."""
    rate = coding == "rate"
    nodes = {
        "ids": ops.Input({"input": np.array([3])}, holds="tokens", limit=4),
        "mask": ops.Input({"input": np.array([3])}, holds="mask"),
        "rows": ops.Embedding(np.array([[0.5, -0.25], [1.0, 0.75], [-0.5, 0.125], [0.0, 2.0]])),
        "cells": ops.MultiThreshold(np.array(0.11), np.array(0.13), 4, "nearest", 0.74),
        "column": ops.Reshape(np.array([3, 1])),
        "left": ops.ECMProduct(("cells", "held" if rate else "column"), "multiply", coding),
        "mean": ops.Mean(np.array([0]), False),
        "readout": ops.Readout(coding),
        "output": nir.Output(output_type={"output": np.array([2])}),
    }
    edges = [
        ("ids", "rows"),
        ("mask", "column"),
        ("cells", "left"),
        ("left", "mean"),
        ("mean", "readout"),
        ("readout", "output"),
    ]
    if rate:
        nodes |= {"again": ops.Hold(), "held": ops.Hold()}
        edges += [("rows", "again"), ("again", "cells"), ("column", "held"), ("held", "left")]
    else:
        edges += [("rows", "cells"), ("column", "left")]
    return verify(nodes, edges, Provenance(tool_version="test"))


#: packed: the ids, then the mask, in the order of their names
TOKENS = np.array([2.0, 0.0, 1.0, 1.0, 0.0, 1.0])


def vector(make: Callable[[str], Program] = small, sample: np.ndarray = SAMPLE) -> str:
    """Every node's output at every step, both codings, sample, and the fields that are not in the text."""
    parts = [f"Sample {sample.tolist()}, float64, {STEPS} steps."]
    for coding in ops.CODINGS:
        made = make(coding)
        running = kernels(made, np.dtype(np.float64))
        present(made, running, sample)
        columns: dict[str, list[str]] = {name: [] for name in made.nodes}
        for t in range(1, STEPS + 1):
            streams: dict = {}
            for name, one in running.items():
                streams[name] = one.step(t, *(streams[source] for source in made.operands[name]))
                columns[name].append("[" + ", ".join(f"{v:.6g}" for v in np.round(streams[name].value.ravel(), 12) + 0.0) + "]")
        parts.append(f"**{coding} coding**\n\n| node | type, fields | {' | '.join(f't = {t}' for t in range(1, STEPS + 1))} |")
        parts[-1] += "\n|---|---|" + "---|" * STEPS
        for name, values in columns.items():
            parts[-1] += f"\n| `{name}` | {describe(made, name)} | {' | '.join(values)} |"
    return "\n\n".join(parts)


def describe(made: Program, name: str) -> str:
    """Type and fields of a node, those of its number format last."""
    node = made.nodes[name]
    shown = {field: getattr(node, field) for field in node.fields if field not in ("shape", "operands", "parameters")}
    shown = {field: value for field, value in shown.items() if field not in node.defaults or value != node.defaults[field]}
    shown |= {key: value for key, value in getattr(node, "parameters", {}).items() if np.ndim(value) == 0}
    if node.format is not None:
        shown |= {field: getattr(node.format, field) for field in type(node.format).fields}
    fields = ", ".join(f"{k} = {v.tolist() if isinstance(v, np.ndarray) else v}" for k, v in shown.items())
    return f"{node.kind} {fields} of {', '.join(made.operands[name]) or 'nothing'}"


#: base, smallest payload, initial membrane, inputs
GRADED = [
    (0.25, 1, 0.0, (0.375, 0.25, 0.0)),  # ties go to 2 and to 0
    (0.25, 1, 0.0, (-0.375, -0.25, 0.0)),
    (0.11, 1, 0.0, (0.275, 0.0, 0.0)),  # a tie of v / p, but none of v (1 / p)
    (0.25, 1, 0.0, (1.5, 0.0, 0.0)),  # clipped: the rest follows
    (0.25, 1, 0.0, (-1.5, 0.0, 0.0)),
    (0.25, 3, 0.0, (0.5, 0.25, 0.0)),  # waits in the dead zone
    (0.25, 4, 0.0, (9.0, 0.0, 0.0)),  # silent
    (0.25, 1, -0.5, (0.5, 0.5, -0.25)),  # what was expected says nothing
]
GRADED_BITS = 3


def graded(node: ops.Graded, inputs: np.ndarray) -> str:
    """Spikes and membrane of graded neurons (N) by themselves, a row each; ``inputs`` are (steps, N)."""
    site = Site((inputs.shape[1:],), inputs.shape[1:], (False,), False)
    running = kernel(node, site, inputs.dtype)
    sent = [running.step(t, Stream(x, np.ones(x.shape, bool))).value for t, x in enumerate(inputs, 1)]
    columns = [node.base, node.least, node.initial_membrane, inputs.T, np.array(sent).T, running.v]
    rows = [
        "| `base` | `least` | `initial_membrane` | x_1, x_2, x_3 | y_1, y_2, y_3 | v at last |",
        "|---|---|---|---|---|---|",
    ]
    for row in zip(*columns, strict=True):
        cells = (", ".join(f"{v:.10g}" for v in np.atleast_1d(np.round(cell, 12) + 0.0)) for cell in row)
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def graded_floats() -> str:
    """The table of docs/format.md."""
    base, least, initial, inputs = (np.array(column) for column in zip(*GRADED, strict=True))
    node = ops.Graded(base, GRADED_BITS, least, initial)
    return f"`Graded` neurons by themselves, payload_bits = {GRADED_BITS}, float64.\n\n{graded(node, inputs.T.copy())}"


def functions() -> str:
    rows = ["| function | definition | parameters |", "|---|---|---|"]
    for name, f in FUNCTIONS.items():
        described = [f"{p.name if p.required else f'[{p.name}]'}: {p.expected}" for p in f.parameters]
        formula = f.formula.replace("|", "\\|")
        rows.append(f"| `{name}` | {formula} | {'; '.join(described)} |")
    return "\n".join(rows)


def reader() -> str:
    """The example that reads a program, as it is."""
    return f"```python\n{READER.read_text()}```"


def generated() -> dict[str, str]:
    made = {"functions": functions(), "reader": reader(), "vector": vector(), "graded": graded_floats()}
    return {**made, "tokens": vector(tokens, TOKENS)}


def renewed(text: str) -> str:
    """The document with its generated parts made anew."""
    for key, content in generated().items():
        begin, end = BEGIN.format(key), END.format(key)
        block = f"{begin}\n\n{content}\n\n{end}"
        if "{" + key + "}" in text:
            text = text.replace("{" + key + "}", block)
        else:
            text = text[: text.index(begin)] + block + text[text.index(end) + len(end) :]
    return text


if __name__ == "__main__":
    DOCUMENT.write_text(renewed(DOCUMENT.read_text()))
