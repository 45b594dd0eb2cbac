"""docs/tour.md is what its script types; that what is typed still works, and fits on a screen, is a long test."""

from __future__ import annotations

import pytest

from docs.generate import tour
from docs.generate.documents import block


@pytest.mark.parametrize("user", tour.USERS)
def test_the_tour_has_the_commands_of_its_script(user):
    assert tour.commands(user) == tour.typed(user), "run `python -m docs.generate.tour`"


@pytest.mark.parametrize("user", tour.USERS)
def test_nothing_in_the_tour_is_longer_than_a_screen(user):
    fences = [i for i, line in enumerate(block(tour.DOCUMENT, user)) if line.startswith("```")]
    assert len(fences) % 2 == 0
    assert max(end - begin - 2 for begin, end in zip(fences[::2], fences[1::2], strict=True)) <= tour.SCREEN


def test_a_command_that_fails_or_prints_too_much_ends_it(tmp_path, monkeypatch):
    for command, said in (("exit 3", "exits with 3"), (f"seq {tour.SCREEN + 1}", "more than a screen")):
        monkeypatch.setattr(tour, "USERS", {"somebody": (command,)})
        with pytest.raises(RuntimeError, match=said):
            tour.transcript("somebody", tmp_path)
    monkeypatch.setattr(tour, "USERS", {"somebody": ("echo one >&2; echo two",), "notebook": ("x = 20", "x + 1", "1 / 2")})
    assert tour.transcript("somebody", tmp_path) == ["```console", "$ echo one >&2; echo two", "one", "two", "```"]
    assert [printed for _, printed in tour.shown("notebook", tmp_path)] == ["", "21", "0.5"]


@pytest.mark.slow
def test_all_of_the_tour_still_works():
    """Accuracy and energy are of other tests; here nothing fails, and nothing is longer than a screen."""
    assert tour.transcripts().keys() == tour.USERS.keys()
