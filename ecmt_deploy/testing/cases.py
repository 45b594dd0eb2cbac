"""The cases of the conformance suite, by name. Each is made when it is asked for, and then kept."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from functools import cache, partial

from ecmt_deploy.errors import ConfigError
from ecmt_deploy.quantization import quantize
from ecmt_deploy.testing.float_programs import float_program
from ecmt_deploy.testing.handmade import Case, every_node, images
from ecmt_deploy.testing.integer_programs import integer_program

#: fixed seeds, so that a failure can be run again; the last reaches a function that the others draw no stage for
FLOAT_SEEDS, INTEGER_SEEDS = (*range(60), 83), range(12)
TIMESTEPS = 4


def _every_node(coding: str) -> Case:
    return Case(every_node(coding), images(5), TIMESTEPS)


def _transformer(preset: str, timesteps: int) -> Case:
    from ecmt_deploy.testing.transformer import converted  # needs torch

    return Case(converted(preset, timesteps=timesteps), images(5), timesteps)


def _integer_transformer(name: str) -> Case:
    source = case(f"transformer, {name}")
    return Case(quantize(source.program, None, source.timesteps), images(3), source.timesteps)


#: preset and steps; graded neurons say it all in one, and correct it in more
_TRANSFORMERS = {
    "paper": ("paper", TIMESTEPS),
    "accurate": ("accurate", TIMESTEPS),
    "graded": ("graded", 1),
    "graded, 4 steps": ("graded", TIMESTEPS),
}
_MAKERS: dict[str, Callable[[], Case]] = {
    **{f"every node, {coding}": partial(_every_node, coding) for coding in ("rate", "differential")},
    **{f"transformer, {name}": partial(_transformer, *made) for name, made in _TRANSFORMERS.items()},
    **{f"integer transformer, {name}": partial(_integer_transformer, name) for name in _TRANSFORMERS},
    **{f"random {seed}": partial(float_program, seed) for seed in FLOAT_SEEDS},
    **{f"random integer {seed}": partial(integer_program, seed) for seed in INTEGER_SEEDS},
}
#: names of all cases, in the order in which they are run
CASES = tuple(_MAKERS)


@cache
def case(name: str) -> Case:
    """A case of the suite.

    Raises
    ------
    ConfigError
        if there is none of that name; names close matches.
    """
    if name not in _MAKERS:
        close = difflib.get_close_matches(name, CASES, 3, 0.3) or CASES[:3]
        raise ConfigError(f"there is no case {name!r}; choose one of ecmt_deploy.testing.CASES, for example {', '.join(close)}")
    return _MAKERS[name]()
