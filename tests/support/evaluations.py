"""A program and data small enough to evaluate in many ways."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from ecmt_deploy.config import ConvertConfig
from ecmt_deploy.conversion.converter import convert
from ecmt_deploy.evaluation.jobs import EvaluateJob, evaluate_file, evaluate_shard
from ecmt_deploy.evaluation.shards import Shard
from ecmt_deploy.program import Provenance
from ecmt_deploy.program.preprocessing import Preprocessing
from ecmt_deploy.testing.handmade import images
from ecmt_deploy.testing.transformer import TinyTransformer

#: odd, and no multiple of the batch size: 5 batches, 1 sample in the last
SAMPLES, BATCH, STEPS = 17, 4, 3


def prepare(folder: Path, samples: int = SAMPLES) -> None:
    """Write ``p.nir`` and ``data.npz``, whose labels are mostly what the model says."""
    module, x = TinyTransformer(), images(samples, seed=5)
    provenance = Provenance(
        tool_version="0", model="tiny", preprocessing=Preprocessing(input_size=(2, 4, 4), mean=(0.0, 0.0), std=(1.0, 1.0))
    )
    convert(module, torch.from_numpy(images(16, seed=1)), ConvertConfig(), provenance).save(folder / "p.nir")
    with torch.no_grad():
        y = module(torch.from_numpy(x)).argmax(dim=-1).numpy()
    y[::4] = (y[::4] + 1) % 5
    np.savez(folder / "data.npz", x=x, y=y)


def job(folder: Path, **options) -> EvaluateJob:
    """The evaluation of what :func:`prepare` wrote."""
    usual = {"program": folder / "p.nir", "timesteps": STEPS, "batch_size": BATCH}
    return EvaluateJob(data=f"npz:{folder / 'data.npz'}", **{**usual, **options})


def undivided(folder: Path, out: Path, say=lambda line: None, **options) -> bytes:
    """The JSON of the evaluation made at once."""
    evaluate_file(job(folder, out=out, **options), say)
    return out.read_bytes()


def shard(folder: Path, which: str, checkpoint: Path, **options):
    """Shard ``i/n`` of it."""
    return evaluate_shard(job(folder, shard=Shard.parse(which), checkpoint=checkpoint, **options))
