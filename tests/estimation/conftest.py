"""What was counted of the program that is priced by hand."""

import pytest

from ecmt_deploy.program.activity import Activity
from ecmt_deploy.simulation.run import simulate
from tests.support import two_layers


@pytest.fixture(scope="module")
def counts() -> Activity:
    return simulate(two_layers.PROGRAM, two_layers.X, "reference", two_layers.TIMESTEPS).activity
