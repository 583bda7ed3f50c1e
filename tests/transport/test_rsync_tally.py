"""What a tally tells of a transfer."""

from __future__ import annotations

import pytest

from remote.transport.rsync_problems import Problem
from remote.transport.rsync_tally import Tally


@pytest.mark.parametrize(
    ("path", "sent", "replaced"),
    [
        ("src/a.py", ["a.py", "b/a.py"], ["b/a.py"]),
        ("/srv/p/src/a.py", ["a.py", "b/a.py"], ["b/a.py"]),
        ("/srv/p/a.py", ["src/a.py", "b/a.py"], ["src/a.py", "b/a.py"]),
        ("src", ["src/a.py", "a.py", "b/a.py"], ["src/a.py", "b/a.py"]),
        ("c/a.pyx", ["src/a.py", "a.py", "b/a.py"], ["src/a.py", "b/a.py"]),
        ("", ["a.py"], []),
    ],
)
def test_what_stayed_was_not_sent(path: str, sent: list[str], replaced: list[str]) -> None:
    tally = Tally(["src/a.py", "a.py", "b/a.py"], ["src/a.py", "b/a.py"])
    tally.problems = [Problem(path, "Permission denied")]
    tally.drop_stayed()
    assert (tally.sent, tally.replaced) == (sent, replaced)


def test_what_stands_in_the_way_of_several_folders_is_one_problem() -> None:
    tally, one, other = Tally(), Problem("data", "a file, and no folder"), Problem("b", "busy")
    for name, problems in (("data/results", [one]), ("data/processed", [one, other])):
        tally.add(Tally(problems=problems), name)
    assert tally.problems == [one, other]
