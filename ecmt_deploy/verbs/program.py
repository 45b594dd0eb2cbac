"""Verbs about a program: ``trace``, ``quantize``, ``draw``, ``classify``."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import msgspec

from ecmt_deploy import data as datasets
from ecmt_deploy import quantization
from ecmt_deploy.door import ChipLike, ProgramLike, as_program, as_steps, program_file
from ecmt_deploy.errors import DataError
from ecmt_deploy.files import require_out, sha256, write_atomically
from ecmt_deploy.program import Program, write
from ecmt_deploy.simulation.traces import Trace
from ecmt_deploy.verbs.arguments import require_none, unless

#: samples read at once for a trace
TRACE_BATCH = 16


def trace(
    model: ProgramLike,
    x: Any,
    timesteps: int | None = None,
    progress: Callable[[int], None] | None = None,
    *,
    limit: int | None = None,
    labels: datasets.Labels = "name",
    precision: str = "float",
    hardware: ChipLike | None = None,
    network: ProgramLike | None = None,
    out: str | PathLike[str] | None = None,
    skip_damaged: bool = False,
) -> Trace:
    """Compare every node's value so far with its analog value, after every step, to find the layer that breaks.

    Parameters
    ----------
    model : the program: a ``SpikingModel``, a ``Program``, the path of a file, or a ``Run``
    x : samples (N, *input_shape), or an iterable of such batches, or whatever :func:`ecmt_deploy.door.batches` takes; or the
        name of a dataset, such as ``folder:DIR`` (docs/data.md)
    timesteps : steps T; by default those the program was converted for
    progress : called with the number of samples finished
    limit, labels : of a dataset by name: at most this many samples; how labels find their output, by ``name`` or ``position``
    precision, hardware : ``float``, or ``fixed``: the integer program of ``model`` for that chip (``loihi2`` by default) is
        traced, with the error that every node adds by itself; an integer program is traced as it is, with ``network``
    network : of an integer program the float program that it was made of
    out : file for the trace, ``.json``, or for its table, ``.csv``
    skip_damaged : of a dataset by name: damaged images are left out, and counted

    Raises
    ------
    ConfigError
        if ``timesteps`` is below 1, or ``out`` has another suffix.
    DataError
        if there are no samples, or they do not have the program's input shape.
    """
    from ecmt_deploy.evaluation.evaluate import Engines  # torch takes seconds to load, and quantize does not need it
    from ecmt_deploy.evaluation.samples import evaluation_data
    from ecmt_deploy.progress import progress as progress_line
    from ecmt_deploy.simulation import tracing

    path = None if out is None else Path(out)
    if path is not None:
        require_out(path, ".json", ".csv")
    steps = as_steps(timesteps, as_program(model))
    running, beside = Engines.of(model, precision, hardware, steps, network)
    if isinstance(x, str):
        dataset = evaluation_data(running.program, x, limit, labels, skip_damaged)
        with progress_line(f"trace on {x}", len(dataset)) as bar:
            batches = (images for images, _ in bar.reading(dataset.batches(TRACE_BATCH)))
            measured = tracing.trace(running, batches, steps, progress or bar, beside)
        measured = msgspec.structs.replace(measured, data=x, skipped=dataset.skipped)
    else:
        require_none("a dataset by name", limit=limit, labels=unless(labels, "name"), skip_damaged=skip_damaged)
        measured = tracing.trace(running, x, steps, progress, beside)
    if path is not None or isinstance(model, str | PathLike):
        with program_file(model) as file:  # a report takes the traces of its program alone
            measured = msgspec.structs.replace(measured, program_sha256=sha256(file))
    if path is not None:
        from ecmt_deploy.report.data import trace as as_table
        from ecmt_deploy.report.write import write as write_result

        write_result(path, measured, as_table(measured))
    return measured


def quantize(
    program: ProgramLike,
    hardware: ChipLike | None = None,
    timesteps: int | None = None,
    *,
    weight_bits: int | None = None,
    out: str | PathLike[str] | None = None,
) -> Program:
    """Make the integer program of a float program; the float program is left as it is.

    Parameters
    ----------
    program : a float program with recorded ranges, as :func:`ecmt_deploy.convert` makes it, a model that carries one, or the
        path of its file
    hardware : chip, its name or file, whose weight, state and payload bits are kept; ``loihi2`` by default
    timesteps : steps the accumulators have room for in rate coding, where they grow; at least those of the program
    weight_bits : width of the weights, each output with a scale of its own; those of the chip unless fewer are asked for
    out : program file to write (.nir)

    Raises
    ------
    ConfigError, ConversionError, HardwareError, ProgramError
        if the program is an integer program or has no ranges, a function of it has no integer form, the chip does not state
        its widths, or its weights are narrower than asked for.
    """
    if out is not None:
        require_out(Path(out), ".nir", reads=[Path(program)] if isinstance(program, str | PathLike) else [])
    made = quantization.quantize(program, hardware, timesteps, weight_bits)
    if out is not None:
        write(made, out)
    return made


def draw(program: ProgramLike, out: str | PathLike[str], nodes: bool = False) -> None:
    """Draw the graph of a program: its modules from top to bottom, and what flows between them, spikes or analog values.

    Parameters
    ----------
    program : the program: the path of a file, a ``SpikingModel``, a ``Program`` or a ``Run``
    out : file for the drawing, ``.svg``, or ``.dot`` for Graphviz
    nodes : whether every node has a box of its own

    Raises
    ------
    ConfigError
        if ``out`` has another suffix.
    ProgramError, RunError
        if the program cannot be read, or the drawing cannot be written.
    """
    from ecmt_deploy.report import graph

    path = Path(out)
    suffix = require_out(path, ".svg", ".dot")
    drawn = graph.drawing(as_program(program), nodes)
    write_atomically(path, graph.svg(drawn) if suffix == ".svg" else graph.dot(drawn))


def classify(
    program: ProgramLike,
    items: str | PathLike[str] | Sequence[str | PathLike[str]],
    timesteps: int | None = None,
    top: int = 5,
) -> list[list[list[tuple[str, float]]]]:
    """Find the most probable classes of image files, or of sentences.

    Parameters
    ----------
    program : the program: the path of a file, a ``SpikingModel``, a ``Program`` or a ``Run``
    items : paths of image files, or of one; of a program that reads text: sentences, or one, and paths of files with a sentence
        a line
    timesteps : steps T; by default those the program was converted for
    top : how many classes

    Returns
    -------
    for every image or sentence, for every step, the ``top`` classes as (name, probability), most probable first

    Raises
    ------
    DataError
        if an image cannot be read, or the program does not know the preprocessing of its images or sentences.
    """
    return [steps for _, steps in classified(program, items, timesteps, top)[1]]


def classified(
    program: ProgramLike,
    items: str | PathLike[str] | Sequence[str | PathLike[str]],
    timesteps: int | None = None,
    top: int = 5,
) -> tuple[str, list[tuple[str, list[list[tuple[str, float]]]]]]:
    """The same with what was asked about: ``"image"`` or ``"text"``, and every image or sentence with its classes."""
    import torch

    from ecmt_deploy.engine import load

    model = load(program)
    source = model.program.provenance
    kind, given = asked_about(model, [items] if isinstance(items, str | PathLike) else items)
    if source.text is not None:
        samples = datasets.packed(given, source.text)
    elif source.preprocessing is not None:
        samples = datasets.load_images([Path(image) for image in given], source.preprocessing)
    else:
        raise DataError(datasets.WITHOUT_PREPROCESSING)
    readouts = model(torch.from_numpy(samples), timesteps)
    probabilities = torch.softmax(readouts, dim=-1)
    best = probabilities.topk(min(top, probabilities.shape[-1]), dim=-1)
    names = source.class_names
    found = [
        [
            [(names[k] if names else str(k), p) for p, k in zip(values, classes, strict=True)]
            for values, classes in zip(best.values[:, i].tolist(), best.indices[:, i].tolist(), strict=True)
        ]
        for i in range(len(given))
    ]
    return kind, list(zip(given, found, strict=True))


def asked_about(program: ProgramLike, items: Sequence[str | PathLike[str]]) -> tuple[str, list[str]]:
    """What ``classify`` is asked about, and of what kind: of a program that reads text ``items`` with the lines of files among
    them in place of these, ``"text"``; else ``items``, ``"image"``.

    Raises
    ------
    DataError
        if such a file cannot be read as text, or holds pairs of sentences.
    """
    if as_program(program).provenance.text is None:
        return "image", [str(item) for item in items]
    found: list[str] = []
    for item in map(str, items):
        if not os.path.isfile(item):  # pathlib raises where a sentence is no name of a file
            found.append(item)
            continue
        texts = datasets.read_texts(item, Path(item))
        if texts.pairs:
            raise DataError(f"{item}: holds pairs of sentences; classify takes single ones, evaluate takes pairs")
        found += [str(sentence) for sentence in texts.sentences]
    return "text", found
