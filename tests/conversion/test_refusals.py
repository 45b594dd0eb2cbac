"""Operations that cannot be converted are all listed, each with its module, its line of code and the reason."""

from __future__ import annotations

import inspect

import pytest
import torch
from torch import nn

import ecmt_deploy as ecmt
from ecmt_deploy.errors import CaptureError, Refused
from ecmt_deploy.testing.handmade import images

X = torch.from_numpy(images(16, seed=1))


def refused(model: nn.Module) -> CaptureError:
    with pytest.raises(CaptureError) as caught:
        ecmt.convert(model.eval(), calibration=X)
    assert "\n" not in str(caught.value)
    return caught.value


def line_of(function, text: str) -> str:
    """Where in this file the line of a function stands that holds ``text``."""
    lines, first = inspect.getsourcelines(function)
    return f"{__file__}, line {next(first + i for i, line in enumerate(lines) if text in line)}"


class Chained(nn.Module):
    """What takes a refused operation may be refused too."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(4, 4)

    def forward(self, x):
        x = torch.erfinv(self.inner(x.flatten(2)[:, :, :4]))
        x = x.mean(1)
        return torch.lgamma(x)


def test_an_operation_behind_a_refused_one_is_tried_too():
    error = refused(Chained())
    assert error.refused == (
        Refused("erfinv", "", line_of(Chained.forward, "erfinv"), "is not in the table of operations"),
        Refused("lgamma", "", line_of(Chained.forward, "lgamma"), "is not in the table of operations"),
    )
    assert str(error).startswith("2 operations cannot be converted: erfinv in the model itself: is not in the table")


class Ranked(nn.Module):
    """Indices that depend on the input come of an operation that is refused; what they index is not blamed."""

    def forward(self, x):
        x = x.flatten(1)
        return x.gather(1, torch.argsort(x.erfinv(), dim=1))


def test_what_only_follows_is_not_listed():
    assert {one.operation for one in refused(Ranked()).refused} == {"erfinv", "argsort"}


class Strange(nn.Module):
    def forward(self, x):
        return torch.erfinv(x)


class Repeating(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Strange() for _ in range(4))

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return x.mean((2, 3))


def test_one_line_of_code_is_told_once_for_all_modules_that_have_it():
    error = refused(Repeating())
    assert [one.module for one in error.refused] == ["blocks.0", "blocks.1", "blocks.2", "blocks.3"]
    assert str(error).startswith(
        "4 operations cannot be converted: erfinv in blocks.0, blocks.1, blocks.2, .. (4 in all) (4 times): is not"
    )
    assert str(error).endswith(f"({line_of(Strange.forward, 'erfinv')})")
    assert str(error).count("erfinv") == 1


class Jumping(nn.Module):
    """A module of torch's own: the line that calls it is the one to change."""

    def __init__(self) -> None:
        super().__init__()
        self.jump = nn.Hardshrink()

    def forward(self, x):
        return self.jump(x).mean((2, 3))


def test_the_line_is_the_models_and_not_torchs():
    (one,) = refused(Jumping()).refused[:1]
    assert one.place == line_of(Jumping.forward, "self.jump")
    assert one.module == "jump"
