"""The rule for what is written to a server that others write to as well."""

from __future__ import annotations

import pytest

from remote.tracking.export.export_record import Written
from remote.tracking.export.export_session import FieldChanges, field_changes

SENT = {"tag:a": Written(frozenset({"old"}), True)}
STOPPED = {"tag:a": Written(frozenset({"old", "newer"}), True)}
ANNOUNCED = {"tag:a": Written(frozenset({"new"}), False)}


@pytest.mark.parametrize(
    ("local", "server", "written", "changes"),
    [
        pytest.param({"tag:a": "new"}, {}, {}, {"write": {"tag:a": "new"}}, id="absent there"),
        pytest.param({"tag:a": "new"}, {"tag:a": "new"}, {}, {}, id="the same there"),
        pytest.param(
            {"tag:a": "new"}, {"tag:a": "x"}, {}, {"kept": ["tag:a"]}, id="not known to be ours"
        ),
        pytest.param(
            {"tag:a": "new"}, {"tag:a": "old"}, SENT, {"write": {"tag:a": "new"}}, id="ours"
        ),
        pytest.param(
            {"tag:a": "new"}, {"tag:a": "x"}, SENT, {"kept": ["tag:a"]}, id="changed on both sides"
        ),
        pytest.param({"tag:a": "old"}, {"tag:a": "x"}, SENT, {}, id="changed there alone"),
        pytest.param({"tag:a": "new"}, {}, SENT, {}, id="removed there"),
        pytest.param(
            {"tag:a": "new"}, {"tag:a": "newer"}, STOPPED, {"write": {"tag:a": "new"}}, id="stopped"
        ),
        pytest.param(
            {"tag:a": "new"}, {}, ANNOUNCED, {"write": {"tag:a": "new"}}, id="never arrived"
        ),
        pytest.param({}, {"tag:a": "old"}, SENT, {"remove": ["tag:a"]}, id="removed here"),
        pytest.param({}, {"tag:a": "x"}, SENT, {}, id="removed here, changed there"),
        pytest.param({}, {"tag:b": "x"}, SENT, {}, id="somebody else's"),
        pytest.param(
            {"status": "FINISHED 5"},
            {"tag:a": "old"},
            SENT,
            {"write": {"status": "FINISHED 5"}},
            id="how it ended says nothing of tags",
        ),
        pytest.param(
            {"param:a": "2"},
            {"param:a": "1"},
            {"param:a": Written(frozenset({"1"}), True)},
            {"kept": ["param:a"]},
            id="a parameter never changes",
        ),
    ],
)
def test_what_is_written(
    local: dict[str, str],
    server: dict[str, str],
    written: dict[str, Written],
    changes: dict[str, object],
) -> None:
    assert field_changes(local, server, written) == FieldChanges(**changes)  # type: ignore[arg-type]
