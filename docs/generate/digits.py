"""The bundled digits transformer, trained: its energy on every chip, and one layer's bill line by line; writes docs/energy.md.

    python -m docs.generate.digits

Preset ``accurate``, T = 4, the first 64 test samples on the torch engine: what the commands of docs/energy.md run. On one
thread, as several round in another order.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from docs.generate.documents import put, table
from ecmt_deploy import convert
from ecmt_deploy.chips import Figure, available, hardware
from ecmt_deploy.estimation import Energy, energy
from ecmt_deploy.estimation.pricing import ARITHMETIC
from ecmt_deploy.estimation.routing import packets_per_message, traffic
from ecmt_deploy.placement import place
from ecmt_deploy.report import units
from ecmt_deploy.runs.directory import StoredRun
from ecmt_deploy.runs.simulate import SimulateJob, simulate_file

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "energy.md"
SAMPLES, STEPS = 64, 4
CHIP, LAYER = "loihi1_sanafe", "blocks.0.attn.qkv"


def run() -> StoredRun:
    """The run that both tables are about."""
    with TemporaryDirectory() as directory:
        program = Path(directory) / "p.nir"
        convert("zoo:vit_digits", "digits", out=program)
        job = SimulateJob(
            program=program, target="torch", data="digits", out=Path(directory) / "run", limit=SAMPLES, timesteps=STEPS
        )
        return simulate_file(job)


def on_chips(done: StoredRun) -> list[str]:
    """Energy of the run on every chip, and what the other two views say."""
    energies = [energy(done.activity, done.program, chip) for chip in available()]
    heads = ["chip", "cores", "chips", "energy", "without a price", "latency", "fits"]
    first, right = next(e for e in energies if e.hardware == ARITHMETIC), done.record.accuracy[-1]
    memory = [sum(side.values()) for side in (first.memory.snn_pj, first.memory.ann_pj)]
    return [
        *table(heads, [_on_chip(each) for each in energies]),
        "",
        f"Top-1 {units.hundredths(right)} % ({_plain(units.measured(right, first.n_samples))}) at"
        f" {units.per_mac(first.events_per_mac)} events per MAC. At 45 nm, as the papers count it takes"
        f" {_plain(first.paper.snn_pj)} against the ANN's {_plain(first.paper.ann_pj)}; with what that leaves out,"
        f" {_plain(first.paper.total_pj)}. With memory it is {_plain(memory[0])} against {_plain(memory[1])} of the ANN"
        f" quantised to {first.memory.ann_bits} bits.",
    ]


def _on_chip(e: Energy) -> list[str]:
    total = f"{units.bound_mark(e.bounds)}{_plain(units.energy(e.total_pj.value))}" if e.components_pj else "unknown"
    unpriced = sorted({name.partition(".")[0] for name in e.unpriced})
    more = [", ".join(unpriced), _plain(units.latency(e.timing))]
    cores, chips = units.whole(e.cores), units.whole(e.chips)
    if e.obstacles:
        more.append(f"no: {len(e.obstacles)} obstacles{'; priced as if it did' if e.components_pj else ''}")
    else:
        more.append(e.fits)
    return [e.hardware, cores, chips, total, *more]


def _plain(value: float | str) -> str:
    return (units.energy(value) if isinstance(value, float) else value).replace(units.SPACE, " ")


def bill(done: StoredRun) -> list[str]:
    """What one layer and its neuron cost, count by count."""
    chip, neuron = hardware(CHIP), f"{LAYER}.neuron"
    placement = place(done.program, chip)
    counts, fired = done.activity[LAYER], done.activity[neuron]
    sent = [each for each in traffic(done.activity, done.program, chip, placement) if each.source == neuron]
    packets, east_west, north_south = (
        sum(getattr(each, name) for each in sent) * SAMPLES for name in ("packets", "hops_ew", "hops_ns")
    )
    copies = sum(route.packets for route in placement.routes if route.source == neuron)
    a_message = packets_per_message(done.program.nodes[neuron], chip) * copies
    prices = chip.prices
    lines = [
        ("`qkv`: synaptic events", counts.synops, prices["synop_pj"]),
        ("`qkv.neuron`: active updates", fired.neuron_updates_active, prices["neuron_update_active_pj"]),
        ("idle updates", fired.neuron_updates_idle, prices["neuron_update_idle_pj"]),
        ("spikes", fired.spikes, prices["spike_pj"]),
        (f"messages, x {a_message:g} packets", packets, prices["message_pj"]),
        (f"x {east_west / packets:.3g} hops east-west", east_west, prices["hop_ew_pj"]),
        (f"x {north_south / packets:.3g} hops north-south", north_south, prices["hop_ns_pj"]),
    ]
    e = energy(done.activity, done.program, CHIP)
    rows = [row for row in e.rows if row.node in (LAYER, neuron)]
    total = sum(amount / SAMPLES * _price(figure) for _, amount, figure in lines)
    charged = sum(row.priced_pj.value for row in rows)
    if abs(total - charged) > 1e-9 * charged:
        raise ValueError(f"the lines add up to {total} pJ, and {charged} are charged: a line is missing")
    unit = next(unit for unit in placement.units if LAYER in unit.nodes)
    columns = -(-done.program.shapes[LAYER][-1] // unit.columns_per_core)
    view = e.memory.rows[LAYER]
    even = "never breaks even" if view.break_even_events_per_mac is None else (
        f"breaks even at {units.per_mac(view.break_even_events_per_mac)}"
    )  # fmt: skip
    return [
        *table(
            ["count", f"over {SAMPLES} samples", f"x price (`{CHIP}`)", "pJ per inference"],
            [
                [name, f"{amount:,.0f}", f"{_price(figure):g}", f"{amount / SAMPLES * _price(figure):,.0f}"]
                for name, amount, figure in lines
            ]
            + [["together", "", "", f"{charged:,.0f}"]],
        ),
        "",
        f"A message takes {a_message:g} packets, as `qkv` takes {unit.cores} cores, a tile of {unit.rows_per_core} x"
        f" {unit.columns_per_core} outputs on each, {columns} side by side (`ecmt-deploy inspect p.nir --hardware {CHIP}`)."
        f" In view (c) the layer has {units.per_mac(view.events_per_mac)} events per MAC and {even}: its states lie in a"
        " memory and are read and written at every event, while the ANN adds up in a register. That, and not arithmetic, is"
        f" what spiking pays for; the papers' ratio of this run is {units.ratio(e.paper.snn_pj, e.paper.ann_pj)}, and"
        f" with all that it leaves out {units.ratio(e.paper.total_pj, e.paper.ann_pj)}.",
    ]


def _price(figure: Figure | None) -> float:
    if figure is None:
        raise ValueError(f"{CHIP} has no price of this count")
    return figure.value


def main() -> None:
    """Run, print, and write both."""
    torch.set_num_threads(1)
    done = run()
    for name, lines in (("energy", on_chips(done)), ("bill", bill(done))):
        print("\n".join(lines))
        put(DOCUMENT, name, lines)


if __name__ == "__main__":
    main()
