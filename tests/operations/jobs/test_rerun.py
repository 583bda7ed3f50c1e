"""All that a restart of the server took, once more."""

from __future__ import annotations

from typing import Any
from unittest import mock

import pytest

from remote.job.messages.jobs import JobsAnswer, JobSummary
from remote.job.status import FINISHED, LOST, RESTARTED
from remote.operations.jobs import rerun


def job(name: str, **facts: Any) -> JobSummary:
    given = {"state": LOST, "cause": RESTARTED, "ended": 200.0, "kind": "script", **facts}
    return JobSummary(id=name, **given)


JOBS = [
    job("before", ended=50.0),
    job("killed", cause="its worker is gone"),
    job("rerun"),
    job("rerun-1", again="rerun", state=FINISHED),
    job("lab", kind="service"),
    job("a", cause=f"{RESTARTED}; what its code left running was ended"),
    job("b", after="a"),
    job("c", after="killed"),
]


def test_what_the_last_restart_took_is_run_again_in_its_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server, asked = mock.Mock(key="k"), []
    server.agent.call.return_value = JobsAnswer(jobs=tuple(JOBS), now=300.0, booted=100.0)

    def again(source: object, name: str, **how: Any) -> Any:
        asked.append((name, how["after"], how["resume"]))
        return mock.Mock(id=f"new-{name}")

    monkeypatch.setattr(rerun, "rerun", again)
    started = rerun.rerun_lost(server, resume=True)
    assert started == [("a", "new-a"), ("b", "new-b"), ("c", "new-c")]
    assert asked == [("a", "", True), ("b", "new-a", True), ("c", "", True)]
