"""Programs written anew for fewer events: the same answers, and everything else that a program must have."""

import torch

from ecmt_deploy.conversion.calling import called
from ecmt_deploy.conversion.capture import capture
from ecmt_deploy.conversion.decomposition import decomposed
from ecmt_deploy.conversion.lowering import lower
from ecmt_deploy.engine import SpikingModel
from ecmt_deploy.program import Provenance, read, write


def lowered(model, x):
    captured = decomposed(capture(called(model, x), x), x.dtype)
    return lower(captured, "differential", x.dtype, Provenance(tool_version="test"), False)


def require_the_same(before, after, x, tmp_path, tolerance=1e-12):
    """The same answers, by a program that is valid with all that goes with it, from a file too."""
    expected, found = (SpikingModel(each.program).analog(x) for each in (before, after))
    assert float((found - expected).abs().max()) <= tolerance * float(expected.abs().max())
    assert set(after.channel_axes) == set(after.program.neurons)
    for name, axis in after.channel_axes.items():
        assert axis is None or 0 <= axis < len(after.program.shapes[name])
    write(after.program, tmp_path / "program.nir")
    loaded = read(tmp_path / "program.nir")
    assert list(loaded.nodes) == list(after.program.nodes)
    assert torch.equal(SpikingModel(loaded).analog(x), found)
