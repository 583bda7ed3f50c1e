"""The tools that start jobs, as far as they refuse to."""

from __future__ import annotations

import pytest

from remote.errors import JobError
from remote.mcp import start_tools


def test_a_sweep_is_not_run_again_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start_tools, "sweep_of", lambda job: "a sweep")
    with pytest.raises(JobError, match="A sweep runs again where it was") as told:
        start_tools.rerun("lr-000001", on="gpu")
    assert told.value.hint == "Leave out `on`."
