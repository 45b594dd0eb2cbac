"""What the terminal shows of a check: whether the model converts, what stands in the way, and which chips would take it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ecmt_deploy.errors import Refused, listed, plural
from ecmt_deploy.report import units
from ecmt_deploy.report.tables.plain import PlainTable

if TYPE_CHECKING:
    from ecmt_deploy.conversion.checking import Checked
    from ecmt_deploy.conversion.suiting import Suits
    from ecmt_deploy.data import DataLook

#: operations, and files, that are shown; JSON has all
MOST = 10


def checked(model: Checked, weights: str, chips: Sequence[Suits], named: bool) -> list[str | PlainTable | None]:
    """The answer, what stands in the way, what presets take, and which chips take it; ``named`` where chips were asked for."""
    return [
        verdict(model, weights), refusals(model.refused), presets(model), suitable(chips), unsuitable(chips, named)
    ]  # fmt: skip


def verdict(model: Checked, weights: str) -> str:
    """Whether the model converts, and what it amounts to, in a few lines."""
    if not model.converts:
        count = len(model.refused)
        what = f"{plural(count, 'operation')} cannot be converted" if count else model.reason
        return f"{model.model} does not convert: {what}"
    assert model.macs is not None
    assert model.encoding_macs is not None
    assert model.neurons is not None
    share = units.percent(model.encoding_macs / model.macs) if model.macs else "none"
    random = " (random weights: nothing was fetched, and what converts does not depend on them)"
    sizes = [
        f"input {model.inputs}",
        f"{units.large(model.parameters)} parameters",
        f"{units.large(model.macs)} MACs a sample ({share} of them in encoding layers)",
        plural(model.nodes or 0, "node"),
        f"{units.large(model.neurons)} neurons in {plural(model.neuron_layers or 0, 'layer')}",
    ]
    return (
        f"{model.model} converts{random if weights == 'random' else ''}.\n{', '.join(sizes)}\n"
        f"operations: {', '.join(f'{name} {count}' for name, count in model.operations.items())}"
    )


def refusals(refused: Sequence[Refused]) -> str:
    """Operations that cannot be converted, and beneath each the line of code; one line of code of several modules is told
    once."""
    alike: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for one in refused:
        alike[one.operation, one.reason, one.place].append(one.module or "the model itself")
    lines = []
    for (operation, reason, place), modules in list(alike.items())[:MOST]:
        times = f" ({len(modules)} times)" if len(modules) > 1 else ""
        lines += [f"{operation} in {modules[0]}{times}: {reason}", f"    {place or 'in code that nobody knows'}"]
    if len(alike) > MOST:
        lines.append(f"and {len(alike) - MOST} others, which --json lists")
    return "\n".join(lines)


def presets(model: Checked) -> PlainTable | None:
    """What a program of each preset takes."""
    if not model.presets:
        return None
    table = PlainTable("", "preset", "coding", "T", "spikes per element", "bits per spike", "state, KiB", wide=(0, 1))
    for needs in model.presets:
        state = "none: see --json" if needs.state_bytes is None else units.size(needs.state_bytes)
        bits, spikes = f"at most {needs.spike_bits}", f"at most {needs.spikes_per_element}"
        table.add_row(needs.preset, needs.coding, f"{needs.timesteps}", spikes, bits, state)
    return table


def suitable(chips: Sequence[Suits]) -> PlainTable | None:
    """The chips that take the model."""
    takers = [chip for chip in chips if chip.takes]
    if not takers:
        return None
    table = PlainTable("", "chip that takes it", "preset", "bits per spike", "cores", "chips", wide=(0, 1))
    for chip in takers:
        bits = f"at most {chip.spike_bits}"
        table.add_row(chip.hardware, chip.preset, bits, units.whole(chip.cores), units.whole(chip.chips))
    return table


def unsuitable(chips: Sequence[Suits], named: bool) -> str:
    """Why the other chips do not take it, a line for each reason, and what the answer rests on.

    Parameters
    ----------
    named : whether these chips were asked for by name: each then has all its reasons, and what nobody has shown there
    """
    lines: dict[str, list[str]] = defaultdict(list)
    for chip in chips:
        if chip.takes is None:
            lines["states no limits, so that nobody knows"].append(chip.hardware)
        for sentence in chip.why if named else chip.why[:1]:
            lines[f"not: {sentence}"].append(chip.hardware)
    assumed = [chip.hardware for chip in chips if chip.takes and chip.unshown]
    for chip in chips if named else ():
        for sentence in chip.unshown:
            lines[sentence].append(chip.hardware)
    said = [f"{', '.join(names)}: {reason}" for reason, names in lines.items()]
    if assumed and not named:
        said.append(f"{', '.join(assumed)}: if they do what nobody has shown there; name them with --hardware to see what")
    if any(chip.takes for chip in chips):
        said.append("Cores are of the widest neurons of a preset, as nothing is measured yet; `inspect` places a program.")
    return "\n".join(said)


def looked(data: DataLook) -> str:
    """What is in a dataset, and what is wrong with it, one line each."""
    lines = []
    for split in data.splits:
        counts = sorted(split.classes.values())
        spread = " to ".join(dict.fromkeys(f"{count:,}" for count in (*counts[:1], *counts[-1:])))
        state = f"{len(split.damaged):,} cannot be read" if split.damaged else "all can be read"
        samples = f"{plural(split.samples, 'sample')} of {plural(len(counts), 'class')}, {spread or 0} each"
        lines.append(f"{data.name}, {split.split}: {samples}; {state}")
        if split.sizes:
            small, middle, large = (f"{width} x {height}" for width, height in split.sizes)
            lines.append(f"pictures of {small} to {large} pixels, median {middle}")
        if split.empty:
            lines.append(f"classes without a sample: {listed(split.empty)}")
        lines += _some([f"damaged: {one.where}: {one.why}" for one in split.damaged], "damaged")
        lines += _some([f"odd: {one.where}: {one.why}" for one in split.odd], "of an odd size")
    if data.matched is not None:
        lines.append(f"classes matched to outputs of the model by name: {data.matched}")
    if data.unmatched:
        mend = "--labels position takes label i as output i"
        lines.append(f"no single output of the model is called {listed(data.unmatched)}; {mend}")
    return "\n".join(lines)


def _some(lines: list[str], what: str) -> list[str]:
    """The first lines, and how many more there are."""
    more = len(lines) - MOST
    return [*lines[:MOST], f"and {more:,} more {what}, which --json lists"] if more > 0 else lines
