"""All that a restart of the server took, once more."""

from __future__ import annotations

from typing import Any
from unittest import mock

import pytest

from remote.errors import ConnectError, JobError
from remote.job.messages.jobs import JobsAnswer, JobSummary
from remote.job.status import FINISHED, LOST, RESTARTED, RUNNING
from remote.operations.jobs import rerun


def job(job_id: str, **facts: Any) -> JobSummary:
    given = {"state": LOST, "cause": RESTARTED, "ended": 200.0, "kind": "script", **facts}
    return JobSummary(id=job_id, **given)


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


def test_one_that_can_not_start_keeps_no_other_from_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What follows it does not start without it, nor before what was run again already, or a sweep."""
    jobs = [
        *(job("a"), job("b", after="a"), job("c")),
        *(job("d"), job("d2", again="d", state=RUNNING, cause=""), job("e", after="d")),
        *(job("s-1", name="s-1"), job("f", after="s"), job("g"), job("h")),
    ]
    server, asked = mock.Mock(key="k"), list[tuple[str, str]]()
    server.agent.call.return_value = JobsAnswer(jobs=tuple(jobs), now=300.0, booted=100.0)

    def again(source: object, name: str, **how: Any) -> Any:
        asked.append((name, how["after"]))
        if name == "a":
            raise JobError("That job's code is not on this target any more.")
        if name == "g":
            raise ConnectError("The connection to gpu broke.")
        return mock.Mock(id=f"new-{name}")

    monkeypatch.setattr(rerun, "rerun", again)
    started = dict(rerun.rerun_lost(server, resume=False))
    assert asked == [("a", ""), ("c", ""), ("e", "d2"), ("s-1", ""), ("g", "")]
    new = {"c": "new-c", "e": "new-e", "s-1": "new-s-1"}
    assert started == {**dict.fromkeys("abcefgh", ""), **new}
    said = capsys.readouterr().err
    assert "a: That job's code is not" in said and "b: a, which it was to follow, was" in said
    assert "f: s, which it was to follow, was lost too." in said
