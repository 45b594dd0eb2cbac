"""Loads: what of them can be, and sums over samples."""

from __future__ import annotations

import numpy as np
import pytest

from ecmt_deploy.errors import RunError
from ecmt_deploy.placement.loads import Loads

LINK = (0, 0, 0, 1, 0)


def loads(samples: int = 1, packets: int = 3, **actions: list[list[int]]) -> Loads:
    """Loads of two steps and two cores by hand."""
    arrays = {name.replace("__", "."): np.array(rows, np.int64) for name, rows in actions.items()}
    return Loads(arrays, np.full((2, 1), packets, np.int64), (LINK,), samples)


def test_events_are_what_a_core_works_through() -> None:
    one = loads(
        synops=[[1, 2], [3, 4]], synops__product=[[10, 0], [0, 0]], ecm_ops__gelu=[[0, 0], [0, 5]], spikes=[[9, 9], [9, 9]]
    )
    assert one.events.tolist() == [[11, 2], [3, 9]]
    assert one.total("synops").tolist() == [[11, 2], [3, 4]]
    assert one.total_of("synops").tolist() == [[1, 2], [3, 4]]


def test_samples_add_action_by_action() -> None:
    both = loads(synops=[[1, 2], [3, 4]]) + loads(samples=2, packets=1, macs=[[1, 0], [0, 0]])
    assert both.samples == 3
    assert both.link_packets.tolist() == [[4], [4]]
    assert both.total_of("synops").tolist() == [[1, 2], [3, 4]]
    assert both.total_of("macs").tolist() == [[1, 0], [0, 0]]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"samples": 0}, "samples is 0"),
        ({"links": (LINK, LINK)}, "link_packets has 1 links, links names 1"),
        ({"link_packets": np.full((2, 1), -1, np.int64)}, "link_packets holds -1"),
        ({"core_actions": {"macs": np.zeros((3, 2), np.int64)}}, "link_packets has 2 chip steps"),
        ({"core_actions": {"joy": np.zeros((2, 2), np.int64)}}, "'joy'"),
        ({"core_actions": {"macs": np.zeros((2, 2))}}, "core_actions.macs is float64"),
        ({"core_actions": {"macs": np.zeros((2, 2), np.int64), "synops": np.zeros((2, 3), np.int64)}}, "differ in shape"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(changed: dict[str, object], said: str) -> None:
    fields = {"core_actions": {}, "link_packets": np.zeros((2, 1), np.int64), "links": (LINK,), "samples": 1}
    with pytest.raises(RunError, match=said):
        Loads(**{**fields, **changed})  # type: ignore[arg-type]


def test_loads_of_other_cores_do_not_add() -> None:
    with pytest.raises(RunError, match="do not add"):
        _ = loads(macs=[[1, 2], [3, 4]]) + loads(macs=[[1], [3]])
