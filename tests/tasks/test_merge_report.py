"""What a merge of records is told as."""

from __future__ import annotations

import pytest

from remote.errors import StoreError
from remote.job.messages.records import RefusedRecord
from remote.operations.tracking.merge_records import Records
from remote.tasks import merge_report
from remote.tracking.merge import Conflict, MergeSummary
from remote.tracking.merge.merge_session import BinnedRun


def test_the_line_names_what_came_and_leaves_out_what_did_not() -> None:
    summary = MergeSummary(new_runs=2, grown_runs=1, new_models=1)
    records = Records(summary, artifacts=["a"], bytes=2000, seconds=1.25)
    assert merge_report.line(records) == "2 new runs, 1 grown, 1 model, 1 artifact, 2.0 kB, 1.2 s"


def test_what_was_kept_refused_and_left_out_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    summary = MergeSummary(
        conflicts=(Conflict("runs", "r1", "name", "mine", None),),
        refused=tuple(RefusedRecord("run", str(number), "why") for number in range(7)),
        deleted_there=("r2",),
        binned=tuple(BinnedRun(run, "digits", 3) for run in ("r3", "r4")),
        left_out=("registered_models",),
    )
    merge_report.remarks(Records(summary))
    assert capsys.readouterr().err.splitlines() == [
        "kept yours: runs r1 name = 'mine' (theirs: None)",
        "To see them, and to take theirs: inv mlflow-conflicts",
        *(f"refused: run {number}: why" for number in range(5)),
        "… and 2 more refused",
        "deleted on the server, kept locally: run r2",
        "2 new runs went into the experiment 'digits', which is deleted locally."
        " To restore it: mlflow experiments restore -x 3",
        "not merged: registered_models (--registry merges it)",
    ]


def test_what_a_server_says_does_not_steer_the_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    evil = "\x1b[2J\r\x9b\u202e\nevil"
    summary = MergeSummary(
        conflicts=(Conflict("tags", f"run/{evil}", "value", evil, evil),),
        refused=(RefusedRecord("run", evil, evil),),
        deleted_there=(evil,),
        left_out=(evil,),
    )
    merge_report.remarks(Records(summary))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 5 and all(line.isprintable() for line in lines)


def test_before_the_first_merge_nothing_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    merge_report.remarks(Records())
    assert list(merge_report.parts(Records())) == [] and capsys.readouterr().err == ""


def test_a_store_that_could_not_be_read_is_told_after_the_rest(
    capsys: pytest.CaptureFixture[str],
) -> None:
    merge_report.refuse_unreadable(Records(), "gpu")
    records = Records(unreadable=["one is locked\nWait.", "two is locked\nWait."])
    with pytest.raises(StoreError, match="^two is locked\nWait.$"):
        merge_report.refuse_unreadable(records, "gpu")
    assert "one is locked" in capsys.readouterr().err
