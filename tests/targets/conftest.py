"""What tests of the Lava target look at after a run."""

import pytest

from ecmt_deploy.targets.lava.session import Session


@pytest.fixture
def sessions(monkeypatch) -> list[Session]:
    """The sessions that a test starts."""
    started: list[Session] = []
    original = Session.__init__

    def remember(self, *args, **kwargs):
        original(self, *args, **kwargs)
        started.append(self)

    monkeypatch.setattr(Session, "__init__", remember)
    return started
