"""Programs that are made once for the whole suite."""

import pytest
import torch

from ecmt_deploy.graph import Program
from tests import programs

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def all_programs() -> dict[str, Program]:
    made = {f"every node, {coding}": programs.every_node(coding) for coding in ("rate", "differential")}
    return made | {f"transformer, {preset}": programs.converted(preset) for preset in ("paper", "accurate")}


PROGRAMS = ("every node, rate", "every node, differential", "transformer, paper", "transformer, accurate")


@pytest.fixture(params=PROGRAMS)
def program(request: pytest.FixtureRequest, all_programs: dict[str, Program]) -> Program:
    return all_programs[request.param]
