"""Reports made by hand, for tests of the pages: no program, no run, every number chosen."""

from __future__ import annotations

import random
from collections.abc import Sequence

from ecmt_deploy.chips import Source
from ecmt_deploy.estimation.result import Band, Energy, MemoryRow, MemoryView, PaperView, Row, Timing
from ecmt_deploy.placement import Obstacle, Placement, Unit, Use
from ecmt_deploy.program import Provenance
from ecmt_deploy.report.comparison import Comparison, Entry
from ecmt_deploy.report.model import AccuracyCurve, LayerEvents, Report
from ecmt_deploy.runs.record import RunRecord

NODES = ("patch", "blocks.0.attn.qkv", "blocks.0.attn.qkv.neuron", "blocks.0.mlp.fc1", "blocks.1.mlp.fc1", "head")
OBSTACLE = "head: neurons 1,200 needed, limit 1,000; use more cores"
HOSTILE = '"><script>alert(1)</script>&$\\alpha$ {{ 7*7 }}\x01'
OFF_CHIP = dict.fromkeys(("spiking_weights", "spiking_states", "ann_weights", "ann_activations"), 0.0)
SOURCE = Source(type="article", title="A chip", author="A. Author and B. Author", year=2018, doi="10.1/x")


def band(r: random.Random, scale: float) -> Band:
    value = r.uniform(0.1, 1.0) * scale
    return Band(value * 0.7, value, value * 1.6)


def energy(
    nodes: Sequence[str] = NODES, hardware: str = "chip", seed: int = 0, priced: bool = True, cores: int = 12, steps: int = 4
) -> Energy:
    r = random.Random(seed)
    rows = tuple(
        Row(name, "Linear", {c: band(r, 1e6) for c in ("synapse", "neuron", "ecm", "routing")} if priced else {},
            {} if priced else {"synops": r.uniform(1, 1e6)}, ("exact", "upper") if priced else ())
        for name in nodes
    )  # fmt: skip
    components: dict[str, Band] = {}
    for row in rows:
        for name, amount in row.components_pj.items():
            components[name] = components.get(name, Band(0, 0, 0)) + amount
    if priced:
        components["static"] = band(r, 1e6)
    memory_rows = {
        name: MemoryRow({"arithmetic": 3e5, "weight_memory": 4e5}, {"arithmetic": 2e5, "weight_memory": 6e5}, r.uniform(0, 2),
                        None if i == 1 else r.uniform(0.1, 1), 0.0, 1e6, 3, {"weights": 32768, "states": 32768})
        for i, name in enumerate(nodes)
    }  # fmt: skip
    n = len(nodes)
    total = sum(components.values(), Band(0, 0, 0))
    return Energy(
        hardware=hardware,
        title=f"{hardware}, made by hand",
        timesteps=steps,
        n_samples=4,
        rows=rows,
        components_pj=components,
        total_pj=total,
        unpriced={"ecm_ops.softmax": 123.0} if priced else {"synops": sum(row.unpriced["synops"] for row in rows)},
        left_out=("something: no figure",),
        bounds=("exact", "upper") if priced else (),
        paper=PaperView(9e5, 2e6, 0.45, {"encoding": 1e5, "neuron": 2e5}, 1.2e6, {"ecm_ops.gelu": 5.0}),
        memory=MemoryView("horowitz45", 3, "steps", 32768, OFF_CHIP, True, memory_rows,
                          {"arithmetic": 3e5 * n, "weight_memory": 4e5 * n}, {"arithmetic": 2e5 * n, "weight_memory": 6e5 * n}),
        timing=Timing(9, steps, Band(2.0, 3.0, 4.0), nodes[0], Band(24.0, 36.0, 48.0), Band(62500.0, 83333.0, 125000.0),
                      {"hops": 3.0}, ("No traffic jams.",)) if priced else None,
        energy_delay_nj_ms=total * 0.036e-3 if priced else None,
        cores=cores,
        chips=1,
        obstacles=(OBSTACLE,),
        events_per_mac=0.6 + 0.2 * steps + seed / 10,
        payload_bits=4.5,
        encoding=(nodes[0],),
        synop_pj=6.8 if priced else None,
    )  # fmt: skip


def placement(
    nodes: Sequence[str] = NODES, hardware: str = "chip", cores: int = 12, mesh: tuple[int, int, int] | None = (4, 2, 4)
) -> Placement:
    each, first, units = [cores // len(nodes)] * len(nodes), 0, []
    each[-1] += cores - sum(each)
    shares = (0.0, 0.3, 0.5, 0.9, None, 1.2)
    for i, (name, count) in enumerate(zip(nodes, each, strict=True)):
        share = shares[i % 6]
        use = Use(7, None) if share is None else Use(int(share * 1000), 1000)
        units.append(Unit(name, (name,), first, count, 4, 16, {"neurons": use, "fan_in": Use(64, None)}, "neurons"))
        first += count
    obstacle = Obstacle(nodes[-1], "neurons", 1200, 1000, "use more cores")
    per_chip = mesh[0] * mesh[1] * mesh[2] if mesh else 128
    return Placement(hardware, f"{hardware}, made by hand", tuple(units), (), cores, -(-cores // per_chip), mesh, (obstacle,),
                     ("Every message is a packet.",))  # fmt: skip


def report(
    nodes: Sequence[str] = NODES,
    chips: Sequence[str] = ("one", "two"),
    cores: int = 12,
    steps: int = 4,
    seed: int = 0,
    mesh: tuple[int, int, int] | None = (4, 2, 4),
    model: str = "vit",
    preset: str = "accurate",
    **changes: object,
) -> Report:
    accuracy = [round(1 - 0.5**t - 0.01 * seed, 4) for t in range(1, steps + 1)]
    record = RunRecord(
        tool_version="0", target="torch", precision="float", dtype="float64", timesteps=steps, n_samples=4, data="digits",
        program_sha256="0" * 64, provenance=Provenance(tool_version="0", model=model, config={"preset": preset}),
        accuracy=accuracy, analog_accuracy=0.99, agreement=accuracy,
    )  # fmt: skip
    values: dict = {
        "record": record,
        "curve": AccuracyCurve("torch", 4, accuracy, 0.99),
        "energies": [energy(nodes, name, seed + i, name != "unpriced", cores, steps) for i, name in enumerate(chips)],
        "placements": [placement(nodes, name, cores, mesh) for name in chips],
        "cores_per_chip": [mesh[0] * mesh[1] * mesh[2] if mesh else None for _ in chips],
        "sources": [{"author2018chip": SOURCE} for _ in chips],
        "spike_rates": {name: 0.1 * (i % 7) for i, name in enumerate(nodes)},
        "events": {name: LayerEvents(1e5 * i, 1e4 if i == 0 else 0.0, 2e5) for i, name in enumerate(nodes)},
        "spikes": 1234.0,
        "synops": 1e6,
        "dense_macs": 1e6,
        "nodes": len(nodes),
        "saturations": {},
    }
    return Report(**{**values, **changes})


def comparison(runs: int = 4, chips: Sequence[str] = ("one", "unpriced", "two")) -> Comparison:
    entries = []
    for i in range(runs):
        preset = ("accurate", "paper")[i % 2]
        made = report(chips=chips, steps=1 + i // 2, seed=i, preset=preset)
        entries.append(Entry(f"{preset} T={1 + i // 2}", f"vit, {preset}", made))
    return Comparison(entries)
