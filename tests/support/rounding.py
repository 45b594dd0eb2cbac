"""Integer programs with other ways of rounding."""

from dataclasses import replace

from ecmt_deploy.program import Program, verify
from ecmt_deploy.program.graph import edges


def rounding_each(program: Program) -> Program:
    """The program with every increment rounded by itself, nothing carried."""
    nodes = {
        name: replace(node, format=replace(node.format, carries=False)) if hasattr(node.format, "carries") else node
        for name, node in program.nodes.items()
    }
    return verify(nodes, edges(program.operands), program.provenance)
