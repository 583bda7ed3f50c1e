"""What is answered for several targets."""

from __future__ import annotations

from pathlib import Path

import pytest

from remote.config import Project
from remote.errors import ConnectError
from remote.mcp.reach import of_all, refuse_silence
from remote.operations.pool import Reply
from remote.session import TargetSession
from remote.target import Target

DEAD = ConnectError("It does not answer.", "Is it switched on?")


def silent(tmp_path: Path, name: str) -> Reply[str]:
    target = Target.parse(str(tmp_path / name))
    return Reply(TargetSession.of(Project(tmp_path, {}), target), error=DEAD)


def test_where_none_answers_each_ones_error_is_told(tmp_path: Path) -> None:
    replies = [silent(tmp_path, name) for name in "ab"]
    with pytest.raises(ConnectError, match="/a: It does not answer. Is it switched on.\n.*/b: "):
        refuse_silence(replies)
    with pytest.raises(ConnectError, match="^It does not answer.\nIs it switched on.$"):
        refuse_silence(replies[:1])


def test_a_target_without_an_answer_has_its_error_among_the_others(tmp_path: Path) -> None:
    a, b = (silent(tmp_path, name) for name in "ab")
    replies = [Reply(a.server, {"x": 1}), b]
    refuse_silence(replies)
    answered, failed = of_all(replies)["targets"]
    assert answered["x"] == 1 and answered["error"] is None
    assert failed["error"] == {"message": "It does not answer.", "next": "Is it switched on?"}
