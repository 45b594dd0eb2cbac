"""The bracketed search: it meets every goal that can be met, of functions that grow only on the whole, in few measurements."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecmt_deploy.conversion.calibration.tools.search import Search

LOW, HIGH = -40.0, 40.0


class Measured:
    """A function of position, and where it was asked for."""

    def __init__(self, function):
        self.function, self.at = function, []

    def __call__(self, at):
        self.at.append(at)
        return self.function(at)


def exponential(rate, shift, floor):
    """Silent at the low end, growing as events do, up to a floor in the answer."""
    return lambda at: 0.0 if at <= LOW + 1 else min(math.exp(rate * (at - shift)), floor)


def steps(width):
    return lambda at: math.exp(0.3 * width * math.floor(at / width))


def noisy(size, seed):
    return lambda at: math.exp(0.3 * at + size * math.sin(1e4 * (at + seed)))


FUNCTIONS = st.one_of(
    st.builds(exponential, st.floats(0.02, 3), st.floats(-20, 20), st.sampled_from([3.0, math.inf])),
    st.builds(steps, st.floats(0.1, 8)),
    st.builds(noisy, st.floats(0, 0.3), st.integers(0, 100)),
)


def search(goal, most=10, tolerance=0.02, resolution=0.03):
    return Search(goal, LOW, HIGH, 0.25, tolerance, resolution, most)


@given(function=FUNCTIONS, goal=st.floats(1e-3, 1e3), start=st.floats(-30, 30))
def test_whatever_can_be_met_is_met(function, goal, start):
    measure = Measured(function)
    under, over = search(goal).run(measure, start)
    if function(LOW) > goal:
        assert under is None
        return
    assert under is not None
    assert under.value == function(under.at) <= goal
    if over is not None:
        assert under.at < over.at
        assert over.value == function(over.at) > goal
    else:  # near enough, or the whole range is under the goal
        assert under.value >= 0.98 * goal or under.at == HIGH
    assert len(measure.at) <= 20
    assert all(LOW <= at <= HIGH for at in measure.at)


@given(rate=st.floats(0.1, 1), shift=st.floats(-10, 10), goal=st.floats(0.01, 100), start=st.floats(-20, 20))
def test_a_smooth_function_is_met_closely(rate, shift, goal, start):
    measure = Measured(lambda at: math.exp(rate * (at - shift)) * (1 + 0.3 * math.tanh(at)))
    under, _ = search(goal, most=20).run(measure, start)
    reached = measure(HIGH) <= goal or measure(LOW) > goal
    assert reached or under.value >= 0.95 * goal


@given(function=st.builds(noisy, st.floats(0, 0.3), st.integers(0, 100)), goal=st.floats(0.01, 100))
def test_a_function_with_noise_is_bracketed_where_it_crosses(function, goal):
    under, over = search(goal, most=30, tolerance=0).run(Measured(function), 0.0)
    assert under.value == function(under.at) <= goal
    assert under.value == goal or (over.at - under.at <= 0.03 and over.value == function(over.at) > goal)


def test_a_plateau_over_the_goal_is_left_behind():
    """Events that hardly fall with the price: steps that follow them would give up before the goal."""
    measure = Measured(lambda at: 0.741 * math.exp(0.001 * at) if at > -20 else 0.6)
    under, over = search(0.735).run(measure, 0.0)
    assert under.value <= 0.735 < over.value
    assert len(measure.at) <= 20


@pytest.mark.parametrize("wrong", [math.inf, math.nan])
def test_what_is_no_number_is_over_every_goal(wrong):
    under, over = search(1.0).run(Measured(lambda at: wrong if at > 3 else math.exp(at / 4 - 2)), 10.0)
    assert under.value <= 1.0
    assert over.at > 3


def test_looking_for_the_other_side_ends_when_told():
    measure = Measured(lambda at: 0.1)
    under, over = search(1.0).run(measure, 0.0, enough=lambda: len(measure.at) == 3)
    assert (under.value, over, len(measure.at)) == (0.1, None, 3)
