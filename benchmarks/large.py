"""Conversion and files at the size of ViT-Large, and conversions that take long: peak memory and time of every stage.

    python -m benchmarks.large                   both
    python -m benchmarks.large large [MODEL]     ViT-L/16 at 224 px unless another is named
    python -m benchmarks.large budgets           a ViT-S/14 and a text recogniser, with a budget and without one

(Linux; random weights.) Each conversion has a process of its own, of which every stage's largest resident memory is told by the
kernel: Python, torch and timm with all their code, the module, the program, activations. Then, by the clock, the large program
of the first preset is written and read in turn with safetensors holding the same arrays: to the same disk, both to a temporary
file that is synced and renamed, each read in a new process.
"""

from __future__ import annotations

import gc
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any

from docs.generate.documents import put, table

DOCUMENT = Path(__file__).parent.parent / "docs" / "performance.md"
MODEL, PRESETS = "vit_large_patch16_224", ("paper", "accurate")
SAMPLES, ROUNDS = 8, 5
RECOGNISER, SMALL = "text recogniser", "vit_small_patch14_dinov2"
#: models that are converted with these budgets (``None``: without one), and calibration samples
BUDGETS = {SMALL: ((None, 0.3), 64), RECOGNISER: ((None, 0.3), 32)}
#: what the stages of a conversion are called in the table
WORDS = {"capture": "capture and lower", "check": "self-check", "calibrate": "calibrate", "tune": "tune"}


class Stages:
    """Peak resident memory (bytes) and CPU time (s, all threads) of one stage after another of this process."""

    def __init__(self) -> None:
        self.found: dict[str, tuple[int, float]] = {}
        self.begun = time.process_time()

    def close(self, name: str) -> None:
        """End a stage; the next begins."""
        fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
        peak, taken = int(fields["VmHWM"].split()[0]) * 1024, time.process_time() - self.begun
        before = self.found.get(name, (0, 0.0))
        self.found[name] = max(peak, before[0]), taken + before[1]
        self.begin()

    def begin(self) -> None:
        """Begin a stage; what has happened since the last one was closed belongs to none."""
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew at what is resident now
        self.begun = time.process_time()


def build(name: str, samples: int) -> tuple[Any, Any]:
    """A module of random weights, and samples for it."""
    import timm
    import torch

    from benchmarks.text_recogniser import WIDTH, TextRecogniser

    torch.manual_seed(0)
    if name == RECOGNISER:
        return TextRecogniser().eval(), torch.randn(samples, 1, 32, WIDTH)
    smaller = {"img_size": 98, "num_classes": 0} if name == SMALL else {}
    model = timm.create_model(name, **smaller).eval()
    side = smaller.get("img_size", model.pretrained_cfg["input_size"][-1])
    return model, torch.randn(samples, 3, side, side)


def convert_in_stages(
    name: str, samples: int, config: dict[str, Any], path: Path
) -> tuple[int, dict[str, tuple[int, float]], float]:
    """Bytes of the model's weights, what each stage of converting, saving and loading it took, and its events per MAC."""
    stages = Stages()
    import timm  # noqa: F401 - what it takes is measured

    from ecmt_deploy import ConvertConfig, convert, load

    stages.close("import torch and timm")
    model, x = build(name, samples)
    weights = sum(tensor.nbytes for tensor in model.state_dict().values())
    stages.close("build the module")
    current = "capture"

    def progress(stage: str, seen: int) -> None:
        nonlocal current
        if stage != current:
            stages.close(WORDS[current])
            current = stage

    spiking = convert(model, x, ConvertConfig(**config), progress=progress)
    stages.close(WORDS[current])
    tuning = spiking.program.provenance.tuning
    spiking.save(path)
    stages.close("save")
    del spiking, model
    gc.collect()
    stages.begin()
    load(path)
    stages.close("load, alone")
    return weights, stages.found, tuning.events_per_mac if tuning else 0.0


def save_in_turn(path: Path, other: Path) -> tuple[int, dict[str, list[float]]]:
    """Bytes of a program's arrays, and seconds to write it to ``path``, and the arrays to ``other`` as safetensors."""
    from safetensors.numpy import save_file

    from ecmt_deploy.files import replacing
    from ecmt_deploy.program import read, write
    from ecmt_deploy.program.graph import parameters

    program = read(path)
    arrays = {f"{name}.{i}": array for name, node in program.nodes.items() for i, array in enumerate(parameters(node))}

    def save_arrays() -> None:
        with replacing(other) as temporary:
            save_file(arrays, temporary)

    seconds: dict[str, list[float]] = {"program": [], "safetensors": []}
    for _ in range(ROUNDS):
        for kind, file, save in (("program", path, lambda: write(program, path)), ("safetensors", other, save_arrays)):
            file.unlink(missing_ok=True)
            begun = time.perf_counter()
            save()
            seconds[kind].append(time.perf_counter() - begun)
    return sum(array.nbytes for array in arrays.values()), seconds


def read_once(path: Path) -> float:
    """Seconds to read a program, or a file of safetensors."""
    if path.suffix == ".safetensors":
        from safetensors.numpy import load_file as read
    else:
        from ecmt_deploy.program import read  # type: ignore[assignment]
    begun = time.perf_counter()
    content: Any = read(path)
    taken = time.perf_counter() - begun
    assert content
    return taken


def alone(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def large(name: str = MODEL, presets: tuple[str, ...] = PRESETS) -> None:
    """Measure a large model and write its table."""
    with tempfile.TemporaryDirectory() as directory:
        path, other = Path(directory) / "p.nir", Path(directory) / "p.safetensors"
        found = {preset: alone(convert_in_stages, name, SAMPLES, {"preset": preset}, path) for preset in reversed(presets)}
        weights = found[presets[0]][0]
        bytes_held, saved = alone(save_in_turn, path, other)
        read = {"program": [], "safetensors": []}  # type: dict[str, list[float]]
        for _ in range(ROUNDS):
            read["program"].append(alone(read_once, path))
            read["safetensors"].append(alone(read_once, other))
    lines = [
        f"`{name}`, random weights, {weights / 1e9:.2f} GB; {SAMPLES} calibration samples.",
        "",
        f"| stage | {' | '.join(f'`{preset}`, peak in weights | CPU s' for preset in presets)} |",
        "|---" * (1 + 2 * len(presets)) + "|",
    ]
    for stage in max((stages for _, stages, _ in found.values()), key=len):
        cells = [_memory(found[preset][1].get(stage), weights) for preset in presets]
        lines.append(f"| {stage} | {' | '.join(cells)} |")
    peaks = [max(peak for peak, _ in found[preset][1].values()) / weights for preset in presets]
    lines += [
        f"| largest | {' | '.join(f'**{peak:.2f}** | ' for peak in peaks)}|",
        "",
        f"The program of preset `{presets[0]}` holds {bytes_held / 1e9:.2f} GB:",
        "",
        "| | program, s | safetensors, s | ratio |",
        "|---|---|---|---|",
    ]
    for word, seconds in (("save", saved), ("load", read)):
        ratio = median(seconds["program"]) / median(seconds["safetensors"])
        lines.append(f"| {word} | {_seconds(seconds['program'])} | {_seconds(seconds['safetensors'])} | **{ratio:.2f}** |")
    lines += ["", f"Medians of {ROUNDS} (smallest to largest)."]
    print("\n".join(lines))
    put(DOCUMENT, "large", lines)


def budgets() -> None:
    """Measure conversions with a budget and without one, and write their table."""
    heads = [
        "model",
        "weights, MB",
        "samples",
        "budget",
        "events per MAC",
        "until checked, CPU s",
        "calibrate",
        "tune",
        "largest, GB",
    ]
    lines = table(heads, [])
    with tempfile.TemporaryDirectory() as directory:
        for name, (limits, samples) in BUDGETS.items():
            for limit in limits:
                path = Path(directory) / "p.nir"
                weights, stages, events = alone(convert_in_stages, name, samples, {"budget": limit}, path)
                before = sum(stages[WORDS[stage]][1] for stage in ("capture", "check"))
                cells = [name, f"{weights / 1e6:.0f}", str(samples), "none" if limit is None else f"{limit:g}", f"{events:.2f}"]
                cells += [f"{before:.0f}", *(f"{stages[WORDS[stage]][1]:.0f}" for stage in ("calibrate", "tune"))]
                lines.append(f"| {' | '.join(cells)} | {max(peak for peak, _ in stages.values()) / 1e9:.1f} |")
                print(lines[-1], flush=True)
    put(DOCUMENT, "budgets", lines)


def _memory(stage: tuple[int, float] | None, weights: int) -> str:
    return "| " if stage is None else f"{stage[0] / weights:.2f} | {stage[1]:.0f}"


def _seconds(values: list[float]) -> str:
    return f"{median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def main(what: str = "both", *model: str) -> None:
    """Measure what is asked for."""
    if what not in ("both", "large", "budgets"):
        sys.exit(f"{what}: choose large or budgets")
    if what != "budgets":
        large(*model)
    if what != "large":
        budgets()


if __name__ == "__main__":
    main(*sys.argv[1:])
