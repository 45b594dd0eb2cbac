"""Pages without their drawings: for tests of all else that makes one, as drawing is most of the time it takes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from markupsafe import Markup


@contextmanager
def undrawn() -> Iterator[None]:
    """Charts are made, with their numbers, but an empty drawing stands on the page; tests/report is about drawings."""
    with pytest.MonkeyPatch.context() as patch:
        empty = Markup('<svg role="img" aria-label="{}"></svg>')
        patch.setattr("ecmt_deploy.report.charts.svg.svg", lambda made, label: empty.format(label))
        yield
