"""The rule for what is written to a server that others write to as well."""

from __future__ import annotations

import pytest

from remote.tracking.export.export_session import changed_fields

SENT = {"tag:a": ["old"]}
STOPPED = {"tag:a": ["old", "newer"]}
GOES_ON = {"status": ["RUNNING", "SCHEDULED"]}
ANNOUNCED = {"tag:a": [None, "new"]}


@pytest.mark.parametrize(
    ("here", "there", "states", "write", "kept"),
    [
        pytest.param({"tag:a": "new"}, {}, {}, ["tag:a"], [], id="absent there"),
        pytest.param({"tag:a": "new"}, {"tag:a": "new"}, {}, [], [], id="the same there"),
        pytest.param(
            {"tag:a": "new"}, {"tag:a": "x"}, {}, [], ["tag:a"], id="not known to be ours"
        ),
        pytest.param({"tag:a": "new"}, {"tag:a": "old"}, SENT, ["tag:a"], [], id="ours"),
        pytest.param(
            {"tag:a": "new"}, {"tag:a": "x"}, SENT, [], ["tag:a"], id="changed on both sides"
        ),
        pytest.param({"tag:a": "old"}, {"tag:a": "x"}, SENT, [], [], id="changed there alone"),
        pytest.param({"tag:a": "old"}, {}, SENT, [], [], id="removed there"),
        pytest.param(
            {"tag:a": "new"}, {}, SENT, [], ["tag:a"], id="removed there and changed here"
        ),
        pytest.param({"tag:a": "new"}, {"tag:a": "newer"}, STOPPED, ["tag:a"], [], id="stopped"),
        pytest.param({"tag:a": "new"}, {}, ANNOUNCED, ["tag:a"], [], id="never arrived"),
        pytest.param({}, {"tag:a": "old"}, SENT, [], [], id="removed here"),
        pytest.param({}, {"tag:b": "x"}, SENT, [], [], id="somebody else's"),
        pytest.param(
            {"status": "FINISHED 5"},
            {"status": "RUNNING"},
            GOES_ON,
            ["status"],
            [],
            id="still runs",
        ),
        pytest.param(
            {"status": "FINISHED 5"},
            {"status": "KILLED 4"},
            GOES_ON,
            [],
            ["status"],
            id="ended there otherwise",
        ),
    ],
)
def test_what_is_written(
    here: dict[str, str],
    there: dict[str, str],
    states: dict[str, list[str | None]],
    write: list[str],
    kept: list[str],
) -> None:
    states = {name: states.get(name, [None]) for name in here}
    assert changed_fields(here, there, states) == (write, kept)
