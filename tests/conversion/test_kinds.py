"""Every kind of operation that can be converted occurs in a representative, and computes what torch computes."""

from __future__ import annotations

import pytest
import torch

from ecmt_deploy.conversion.calling import called
from ecmt_deploy.conversion.capture import capture
from ecmt_deploy.conversion.decomposition import decomposed
from ecmt_deploy.conversion.lowering import lower
from ecmt_deploy.conversion.lowering.table import HANDLERS
from ecmt_deploy.conversion.operations import operation
from ecmt_deploy.conversion.preparing import prepare
from ecmt_deploy.conversion.self_check import self_check
from ecmt_deploy.program import Provenance
from ecmt_deploy.program.functions import FUNCTIONS
from tests.support.kinds import FUNCTIONS_ON_TOKENS, GROUPS, ON_TOKENS, SPELLINGS, Together


@pytest.fixture(scope="module")
def lowered():
    found = {}
    for name, (shape, kinds) in GROUPS.items():
        x = torch.randn(2, *shape, generator=torch.Generator().manual_seed(3))
        calling = called(prepare(Together(kinds).eval()), x)
        captured = decomposed(capture(calling, x), x.dtype)
        found[name] = calling, captured, lower(captured, "differential", x.dtype, Provenance(tool_version="0"), False), x
    return found


@pytest.mark.parametrize("group", GROUPS)
def test_every_kind_computes_what_torch_computes(group, lowered):
    self_check(*lowered[group])


def test_every_operation_with_a_handler_occurs(lowered):
    occurs = {operation(node) for _, captured, _, _ in lowered.values() for node in captured.graph.nodes}
    assert set(HANDLERS) - occurs - SPELLINGS - ON_TOKENS == set(), "add a line for each to tests/support/kinds.py"
    assert set(HANDLERS) >= SPELLINGS | ON_TOKENS


def test_every_function_occurs(lowered):
    programs = [made.program for _, _, made, _ in lowered.values()]
    occurs = {node.function for program in programs for node in program.nodes.values() if node.role == "function"}
    assert set(FUNCTIONS) - occurs - FUNCTIONS_ON_TOKENS == set(), "add a line for each to tests/support/kinds.py"
