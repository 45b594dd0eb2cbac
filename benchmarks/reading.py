"""Reading a folder of photographs: images per second, and how long a computation waits for them.

Run ``python -m benchmarks.reading [IMAGES]``; it writes the table of ``docs/data.md``. JPEG files of 256 px are generated and
read as a model of 224 px sees them. *At once* reads a batch when it is asked for, as a plain loop would; every other row is
``Dataset.batches``. The computation takes as long per batch as reading it at once does: *elsewhere* it leaves the cores alone,
as a GPU's does, *on a core* it keeps one busy. Every figure is the median of the rounds, with the least and the most.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from docs.generate.documents import put
from ecmt_deploy import data
from ecmt_deploy.program.preprocessing import Preprocessing

DOCUMENT = Path(__file__).parent.parent / "docs" / "data.md"
ROUNDS = 5
BATCH = 32
PREPROCESSING = Preprocessing((3, 224, 224), (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), crop_pct=0.875)
READERS = {"at once": None, "thread (--workers 0)": 0, "--workers 1": 1, "--workers 2": 2}


def photographs(root: Path, number: int) -> Path:
    """JPEG files of about 20 kB: smooth colours with some noise, as photographs have."""
    rng = np.random.default_rng(0)
    for i in range(number):
        coarse = Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)).resize((256, 256), Image.Resampling.BICUBIC)
        noisy = np.clip(np.asarray(coarse) + rng.normal(0, 8, (256, 256, 3)), 0, 255).astype(np.uint8)
        directory = root / f"class{i % 4}"
        directory.mkdir(exist_ok=True)
        Image.fromarray(noisy).save(directory / f"{i:04}.jpg", quality=85)
    return root


def batches(dataset: data.Dataset, workers: int | None) -> Iterator[np.ndarray]:
    """All batches, read by ``workers``; None: at once."""
    if workers is None:
        for start in range(0, len(dataset), BATCH):
            yield dataset.source.read(dataset.indices[start : start + BATCH])
    else:
        yield from (x for x, _ in dataset.batches(BATCH, workers=workers))


def timed(read: Iterator[np.ndarray], compute: Callable[[], None]) -> tuple[float, float]:
    """(seconds from the first batch to the end, seconds of those spent waiting): starting processes is not reading."""
    next(read)
    begun, waited = time.perf_counter(), 0.0
    while True:
        compute()
        asked = time.perf_counter()
        batch = next(read, None)
        waited += time.perf_counter() - asked
        if batch is None:
            return time.perf_counter() - begun, waited


def busy(seconds: float) -> None:
    """Keep one core busy as an engine does, mostly outside of Python."""
    a, end = torch.rand(192, 192), time.perf_counter() + seconds
    while time.perf_counter() < end:
        a @ a


def main(images: int) -> None:
    """Measure every way of reading in turn, round after round, and write the table."""
    torch.set_num_threads(1)
    rates: dict[str, list[float]] = {name: [] for name in READERS}
    waits: dict[tuple[str, str], list[float]] = {(name, place): [] for name in READERS for place in ("elsewhere", "core")}
    with tempfile.TemporaryDirectory() as directory:
        dataset = data.open(f"folder:{photographs(Path(directory), images)}", preprocessing=PREPROCESSING)
        for repeat in range(ROUNDS + 1):
            alone, _ = timed(batches(dataset, None), lambda: None)
            per_batch = alone / (images / BATCH - 1)
            for name, workers in READERS.items():
                taken, _ = timed(batches(dataset, workers), lambda: None)
                elsewhere = timed(batches(dataset, workers), lambda each=per_batch: time.sleep(each))
                core = timed(batches(dataset, workers), lambda each=per_batch: busy(each))
                if repeat:  # the first warms caches
                    rates[name].append((images - BATCH) / taken)
                    waits[name, "elsewhere"].append(elsewhere[1] / elsewhere[0])
                    waits[name, "core"].append(core[1] / core[0])
    plain = statistics.median(rates["at once"])
    lines = [
        "| read | images/s | ratio | waiting, computed elsewhere | waiting, computed on a core |",
        "|---|---|---|---|---|",
    ]
    for name in READERS:
        rate = rates[name]
        spread = f"{statistics.median(rate):.0f} ({min(rate):.0f} to {max(rate):.0f})"
        shares = " | ".join(_percent(waits[name, place]) for place in ("elsewhere", "core"))
        lines.append(f"| {name} | {spread} | {statistics.median(rate) / plain:.2f} | {shares} |")
    print("\n".join(lines))
    put(DOCUMENT, "reading", lines)


def _percent(shares: list[float]) -> str:
    return f"{100 * statistics.median(shares):.0f} % ({100 * min(shares):.0f} to {100 * max(shares):.0f})"


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 512)
