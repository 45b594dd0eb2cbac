"""Files that price everything, a table of a chip and 45 nm with its memories: no program has an unpriced row there."""

import pytest

from ecmt_deploy import chips
from ecmt_deploy import estimation as pricing
from ecmt_deploy.chips.actions import ACTIONS, KINDS
from ecmt_deploy.estimation.bill import Bill
from ecmt_deploy.estimation.chip import tariff
from ecmt_deploy.program import ops
from ecmt_deploy.program.functions import FUNCTIONS
from ecmt_deploy.quantization import quantize
from ecmt_deploy.simulation.run import simulate
from ecmt_deploy.testing.float_programs import float_program
from ecmt_deploy.testing.handmade import every_node, images

#: what no price is for: messages of units without cores, and the time that power is drawn
NO_WORK = ("stranded", "chip_time")


def test_every_action_has_a_price_on_seneca():
    bill = Bill(tariff(chips.hardware("seneca"), static=False))
    actions = [*(action for action in ACTIONS if action not in (*NO_WORK, "ecm_ops")), *(f"ecm_ops.{kind}" for kind in KINDS)]
    for action in actions:
        bill.charge(action, 1.0)
    assert bill.unpriced == {}


@pytest.mark.parametrize("name", ["seneca", "horowitz45"])
@pytest.mark.parametrize("coding", ops.CODINGS)
def test_no_node_type_is_unpriced(coding, name):
    program = every_node(coding)
    assert {node.kind for node in program.nodes.values()} <= set(ops.OPS)
    result = pricing.energy(simulate(program, images(2), "reference", 2).activity, program, name)
    assert result.unpriced == {}
    assert result.complete
    assert result.total_pj.low > 0
    assert {"synapse", "product", "mac", "neuron", "ecm", "routing"} <= set(result.components_pj)


@pytest.mark.parametrize("name", ["transformer, accurate", "transformer, paper"])
@pytest.mark.parametrize("precision", ["float", "fixed"])
def test_no_row_of_a_transformer_is_unpriced_on_seneca(all_programs, name, precision):
    program = all_programs[name] if precision == "float" else quantize(all_programs[name], chips.hardware("seneca"))
    activity = simulate(program, images(2), "reference", 2, precision=precision).activity
    assert pricing.energy(activity, program, "seneca").unpriced == {}


def test_no_function_is_unpriced_on_seneca():
    """Random programs until every function has had a turn."""
    seen: set[str] = set()
    for seed in range(200):
        case = float_program(seed)
        kinds = {case.program.work(node).kind for node in case.program.nodes}
        if not (kinds & set(FUNCTIONS)) - seen:
            continue
        seen |= kinds & set(FUNCTIONS)
        activity = simulate(case.program, case.inputs, "reference", 2).activity
        assert pricing.energy(activity, case.program, "seneca").unpriced == {}, seed
        if seen == set(FUNCTIONS):
            break
    assert seen == set(FUNCTIONS)
