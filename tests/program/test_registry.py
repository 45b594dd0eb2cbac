"""Every registered op and function has all that its readers ask, or is refused with a reason."""

import numpy as np
import pytest

from ecmt_deploy import chips
from ecmt_deploy.conversion.lowering import nonlinear
from ecmt_deploy.engine.base import torch_op
from ecmt_deploy.engine.functions import IN_PLACE, TORCH
from ecmt_deploy.estimation.chip import tariff
from ecmt_deploy.kernels import Kernel
from ecmt_deploy.program import Program, ops
from ecmt_deploy.program.functions import FUNCTIONS
from ecmt_deploy.program.functions.integer import IntegerForm
from ecmt_deploy.testing.handmade import every_node
from ecmt_deploy.testing.tokens import named_inputs

MADE = [make(coding) for make in (named_inputs, every_node) for coding in ops.CODINGS]
SHOWN = {node.kind: (made, name) for made in MADE for name, node in made.nodes.items()}


def test_the_programs_of_the_tests_hold_every_op():
    assert set(SHOWN) == set(ops.OPS)


@pytest.mark.parametrize("kind", ops.OPS)
def test_an_op_has_all_that_readers_ask(kind):
    made, name = SHOWN[kind]
    node, op = made.nodes[name], ops.OPS[kind]
    assert node.role in ops.ROLES
    assert node.emits in ("spikes", "analog", "operands")
    assert issubclass(node.kernel, Kernel)
    assert torch_op(made, name).shape == made.shapes[name]
    assert isinstance(made.work(name), ops.Work)
    assert isinstance(node.words(made.shapes[name], *(made.shapes[source] for source in made.operands[name])), int)
    assert node.needs_code is None or isinstance(node.needs_code, str)
    assert op.__doc__
    if op.format_type is None:
        assert op.without_integer != ops.Op.without_integer, "say why it has no integer form"
    else:
        assert issubclass(op.integer_kernel, Kernel)
    remembered = node.kernel(node, _site(made, name), np.dtype(float)).remembered()
    assert [array.shape for array in remembered] == list(made.state(name).values()), "state is what the kernel remembers"


def _site(made: Program, name: str):
    from ecmt_deploy.kernels import Site

    return Site.of(made, name)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_has_all_that_readers_ask(name):
    function = FUNCTIONS[name]
    assert name in TORCH, "the torch engine lacks it: ecmt_deploy/engine/functions.py"
    assert isinstance(function.integer, IntegerForm) or function.integer, "an integer form, or why there is none"
    required = {parameter.name for parameter in function.parameters if parameter.required}
    assert required <= set(function.example)
    assert f"ecm_op_pj.{name}" in tariff(chips.hardware("horowitz45")).table, "a price at 45 nm, or primitives"
    for operation in function.aten:
        assert nonlinear.plain(operation) is not None


def test_the_torch_engine_knows_no_other_functions():
    assert set(IN_PLACE) <= set(TORCH) == set(FUNCTIONS)
