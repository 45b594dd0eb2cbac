"""Verbs about a program: trace, quantize, classify, inspect."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from ecmt_deploy.cli.options import BARE, DEFAULT, Data, Labels, Lines, Output, Program, SkipDamaged, Steps, described, flag


def trace(
    program: Program,
    /,
    *,
    data: Data,
    timesteps: Steps = None,
    limit: Annotated[int, described("Largest number of samples to use.")] = 16,
    out: Annotated[
        Path | None, described("File for the trace: .json, which report --trace takes; for its table .csv, .tex or .md.")
    ] = None,
    labels: Labels = "name",
    skip_damaged: SkipDamaged = False,
    precision: Annotated[
        Literal["float", "fixed"], described("Arithmetic; fixed traces the integer program against the network.")
    ] = "float",
    hardware: Annotated[
        str | None, described("With --precision fixed: chip whose bit widths the integer program keeps.", "loihi2")
    ] = None,
    network: Annotated[Path | None, described("Float program that an integer program was made of.")] = None,
    details: Annotated[bool, flag("Show every node, not only the worst of the worst layers.")] = False,
    output: Output = DEFAULT,
) -> None:
    """``ecmt-deploy trace``."""
    import ecmt_deploy as ecmt
    from ecmt_deploy.report import tables

    out, output = output.divided(out)
    measured = ecmt.trace(
        program,
        data,
        timesteps,
        limit=limit,
        labels=labels,
        precision=precision,
        hardware=hardware,
        network=network,
        out=out,
        skip_damaged=skip_damaged,
    )
    output.show(measured, *tables.traced(measured, details), tables.skipped(measured.skipped))


def quantize(
    program: Program,
    /,
    *,
    out: Annotated[Path, described("Program file to write (.nir).")],
    hardware: Annotated[str | None, described("Chip whose bit widths the integer program keeps.", "loihi2")] = None,
    timesteps: Annotated[
        int | None, described("Rate coding: number of time steps that accumulators have room for.", "the program's own")
    ] = None,
    weight_bits: Annotated[
        int | None, described("Width of the weights, with a scale for every output channel.", "that of the chip")
    ] = None,
    output: Lines = BARE,
) -> None:
    """``ecmt-deploy quantize``."""
    import ecmt_deploy as ecmt

    record = ecmt.quantize(program, hardware, timesteps, weight_bits=weight_bits, out=out).provenance.quantization
    assert record is not None
    widths = f"weights {record.weight_bits}, state {record.state_bits}, payloads {record.payload_bits} bits"
    output.show({"out": out, "quantization": record}, f"wrote {out}: {widths}, for {record.hardware}")


def classify(
    program: Program,
    images: Annotated[tuple[str, ...], described("Image files; of a program that reads text, sentences or files of lines.")],
    /,
    *,
    timesteps: Steps = None,
    output: Output = DEFAULT,
) -> None:
    """``ecmt-deploy classify``."""
    from ecmt_deploy.report import tables
    from ecmt_deploy.verbs.program import classified

    kind, answers = classified(program, images, timesteps)
    named = [
        {kind: item, "steps": [[{"class": name, "probability": p} for name, p in best] for best in steps]}
        for item, steps in answers
    ]
    output.show(named, *(tables.classification(item, steps) for item, steps in answers))


def inspect(
    program: Annotated[Path, described("Program file (.nir), or a run directory, for its events too.")],
    /,
    *,
    hardware: Annotated[str | None, described("Chip to place the program on.", "none")] = None,
    graph: Annotated[
        Path | None, described("File for a drawing of the graph, grouped by module: .svg, or .dot for Graphviz.")
    ] = None,
    details: Annotated[bool, flag("Show the whole provenance; with --hardware, all that does not fit or is assumed.")] = False,
    nodes: Annotated[bool, flag("Show every node, with --hardware its cores; with --graph, draw every node.")] = False,
    output: Output = DEFAULT,
) -> None:
    """``ecmt-deploy inspect``."""
    import ecmt_deploy as ecmt
    from ecmt_deploy.placement import place_band
    from ecmt_deploy.report import tables
    from ecmt_deploy.report.summary import summarised
    from ecmt_deploy.verbs.summary import opened

    loaded, activity = opened(program)
    chip = ecmt.hardware(hardware) if hardware else None
    if graph is not None:
        ecmt.draw(loaded, graph, nodes)
    placed = place_band(loaded, chip).value if chip else None
    found = summarised(loaded, activity, placed=placed)
    listed = [
        {"name": name, "type": type(node).__name__, "shape": loaded.shapes[name], "spiking": name in loaded.spiking}
        for name, node in loaded.nodes.items()
    ]
    verdict, *rests_on = tables.placement_lines(placed, loaded, details) if placed else [""]
    shown: list[Any] = [tables.program(loaded, placed)] if nodes else [lambda width: tables.summarised(found, width)]
    shown += [lambda width: tables.cores(placed, width)] if nodes and placed else []
    output.show(
        {"summary": found, "nodes": listed, "placement": placed, "provenance": loaded.provenance.brief},
        verdict, *shown, *rests_on, tables.provenance(loaded) if details else tables.origin(loaded),
    )  # fmt: skip
