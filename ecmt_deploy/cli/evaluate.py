"""``ecmt-deploy evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from ecmt_deploy.cli.options import DEFAULT, Data, Labels, Limit, Output, Program, SkipDamaged, Steps, Workers, described, flag
from ecmt_deploy.errors import plural
from ecmt_deploy.evaluation.torchrun import this_process


def evaluate(
    program: Program,
    /,
    *,
    data: Data,
    timesteps: Steps = None,
    batch_size: Annotated[int, described("Number of samples computed at once.")] = 32,
    limit: Limit = None,
    out: Annotated[Path | None, described("File for the result (.json), or for its tables (.tex, .md).")] = None,
    workers: Workers = None,
    device: Annotated[Literal["cpu", "cuda"] | None, described("Device to compute on.", "cuda where there is a GPU")] = None,
    dtype: Annotated[
        Literal["float32", "float64", "bfloat16"] | None, described("Data type to compute in.", "the program's own")
    ] = None,
    memory: Annotated[
        float, described("Memory for intermediate streams, in GiB; a batch that needs more is computed in pieces.")
    ] = 1.0,
    compile: Annotated[
        bool, flag("Compile neurons to fused kernels; takes a minute, pays off from thousands of images on.")
    ] = False,
    checkpoint: Annotated[Path | None, described("Checkpoint directory; a restarted run resumes from it.")] = None,
    quantized_baseline: Annotated[
        bool, flag("Measure the fewest bits at which plain quantisation of the same network is as accurate.")
    ] = False,
    network: Annotated[
        Path | None,
        described(
            "Float program of the same model: its network is what --quantized-baseline quantises, and an integer program's "
            "answers are compared with."
        ),
    ] = None,
    precision: Annotated[
        Literal["float", "fixed"], described("Arithmetic; fixed evaluates the integer program against the network.")
    ] = "float",
    hardware: Annotated[
        str | None, described("With --precision fixed: chip whose bit widths the integer program keeps.", "loihi2")
    ] = None,
    shard: Annotated[
        str | None, described("i/n: compute every n-th batch only, from the i-th; merge adds the checkpoints of all n.")
    ] = None,
    labels: Labels = "name",
    skip_damaged: SkipDamaged = False,
    output: Output = DEFAULT,
) -> None:
    """``ecmt-deploy evaluate``."""
    import ecmt_deploy as ecmt
    from ecmt_deploy.report import tables

    out, output = output.divided(out)
    options: dict[str, Any] = {
        "limit": limit, "labels": labels, "workers": workers, "checkpoint": checkpoint, "out": out, "say": output.say,
        "quantized_baseline": quantized_baseline, "network": network, "precision": precision, "hardware": hardware,
        "skip_damaged": skip_damaged, "execution": ecmt.Execution(device, dtype, round(memory * 2**30), compile),
    }  # fmt: skip
    if shard is None:
        result = ecmt.evaluate(program, data, timesteps, batch_size, **options)
        if this_process().rank == 0:
            parts = tables.answer(result), tables.accuracy(result, result.cosine), tables.saturations(result.activity)
            output.show(result, tables.skipped(result.skipped), *parts, tables.quantized(result), soft_wrap=True)
        return
    output.without_table(f"shard {shard}, which is a part of the result,")
    done = ecmt.evaluate(program, data, timesteps, batch_size, shard=shard, **options)
    output.show(
        done,
        f"shard {shard} is done: {plural(done.n_samples, 'sample')} in {plural(len(done.batches), 'batch')},"
        f" kept in {checkpoint}",
        tables.skipped(done.origin.skipped),
        f"when all {done.count} are done: ecmt-deploy merge {checkpoint} --out FILE",
    )
