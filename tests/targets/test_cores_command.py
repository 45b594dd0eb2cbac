"""``python -m ecmt_deploy.targets.cores`` writes the files of a placed program, or says in one line why not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ecmt_deploy.program import write
from ecmt_deploy.simulation.run import integers, simulate
from ecmt_deploy.targets.cores import CoresTarget, execute, read
from ecmt_deploy.targets.cores.__main__ import main
from ecmt_deploy.testing import float_program, integer_program


def test_what_it_writes_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program, x, timesteps = integer_program(0)
    write(program, tmp_path / "p.nir")
    line = [str(tmp_path / "p.nir"), "--hardware", "loihi2", "--out", str(tmp_path / "cores")]
    assert main(line) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'cores'}\n"
    run = execute(read(tmp_path / "cores"), integers(program, x), timesteps)
    same = simulate(program, x, CoresTarget(), timesteps, "fixed", hardware="loihi2", allow_misfit=True)
    assert np.array_equal(np.ldexp(run.outputs.astype(np.float64), program.exponents[program.output_name]), same.outputs)
    assert main(line) == 2
    assert capsys.readouterr().err.startswith("error: ")
    assert main([*line, "--overwrite"]) == 0


def test_a_float_program_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(float_program(0).program, tmp_path / "p.nir")
    assert main([str(tmp_path / "p.nir"), "--hardware", "loihi2", "--out", str(tmp_path / "cores")]) == 2
    said = capsys.readouterr().err
    assert "is a float program" in said
    assert said.count("\n") == 1
