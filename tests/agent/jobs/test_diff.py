"""What is told of a job, and of how another one differs from it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from remote.agent.jobs import diff
from remote.errors import JobError
from remote.job.messages.old_jobs import (
    AccountRequest,
    Change,
    DifferencesAnswer,
    DifferencesRequest,
)
from remote.job.paths import JobPaths
from remote.job.spec import Git, Job
from remote.job.status import FAILED, FINISHED, JobStatus, LeasedGpu
from tests.agent.job_folder import IDS, KEY

FIRST, SECOND = IDS[:2]

DONE = JobStatus(FINISHED, exit_code=0)


def job(
    root: Path,
    job_id: str,
    files: dict[str, str | bytes] | None = None,
    *,
    status: JobStatus = DONE,
    **asked: Any,
) -> JobPaths:
    """A job that has ended, with its snapshot."""
    paths = JobPaths(root, job_id)
    paths.code.mkdir(parents=True)
    Job(id=job_id, kind="script", source="src/a.py", name="train", **asked).to_file(paths.job)
    status.to_file(paths.status)
    for name, content in (files or {}).items():
        file = paths.code / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return paths


def differences(before: str = FIRST, after: str = SECOND) -> DifferencesAnswer:
    return diff.differences(DifferencesRequest(key=KEY, before=before, after=after))


def code(root: Path, before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    job(root, FIRST, before)
    job(root, SECOND, after)
    return list(differences().code)


def test_all_that_is_recorded_of_a_job_is_told(root: Path) -> None:
    paths = job(root, FIRST, parameters={"lr": 0.1})
    paths.diff.write_bytes(b"+caf\xe9\n")
    told = diff.account(AccountRequest(key=KEY, job="last"))
    assert told.job == Job.from_file(paths.job) and told.job.id == FIRST
    assert told.status == DONE
    # What is no UTF-8 comes back as the bytes that it was.
    assert told.diff.encode("utf-8", "surrogateescape") == b"+caf\xe9\n"


def test_without_changes_beyond_the_commit_the_diff_is_empty(root: Path) -> None:
    job(root, FIRST)
    assert diff.account(AccountRequest(key=KEY, job=FIRST)).diff == ""


def test_a_job_that_can_not_be_read_is_told_as_such(root: Path) -> None:
    job(root, FIRST).job.write_text('{"kind": 7}')
    told = f"{FIRST} has no job.json that this version.*\nIts files are in {root}/.*/{FIRST} on"
    with pytest.raises(JobError, match=told):
        diff.account(AccountRequest(key=KEY, job=FIRST))


def test_a_job_is_compared_with_the_one_before_where_no_other_is_meant(root: Path) -> None:
    job(root, FIRST, {"a.py": "1\n", "__pycache__/a.pyc": "1\n"})
    job(root, SECOND, {"a.py": "1\n", "__pycache__/a.pyc": "2\n"})
    found = differences(SECOND, SECOND)
    assert found == DifferencesAnswer((FIRST, SECOND), (), (), (), ())
    with pytest.raises(
        JobError, match="the first job.*\nName the two jobs: inv remote-diff JOB JOB"
    ):
        differences(FIRST, FIRST)


def test_what_was_asked_is_told_flat_with_the_defaults(root: Path) -> None:
    job(root, FIRST, parameters={"epochs": 5}, defaults={"lr": 0.1}, git=Git("aa", "main"))
    again = {"defaults": {"epochs": 5, "lr": 0.1}, "again": FIRST}
    job(root, SECOND, parameters={"lr": 0.2}, git=Git("bb", "main"), gpus=2, **again)
    assert differences().asked == (
        Change("git.commit", "aa", "bb"),
        Change("gpus", None, 2),
        Change("parameters.lr", 0.1, 0.2),
    )


def test_a_default_that_was_typed_is_no_difference(root: Path) -> None:
    job(root, FIRST, parameters={"lr": 0.1})
    job(root, SECOND, defaults={"lr": 0.1})
    assert differences().asked == ()


def test_what_became_of_them_is_told_by_name(root: Path) -> None:
    gpus = tuple(LeasedGpu(index, f"GPU-{index}", "H100") for index in range(2))
    job(root, FIRST)
    failed = JobStatus(FAILED, exit_code=3, cause="exit code 3", gpus=gpus, started=5.0, ended=9.0)
    job(root, SECOND, status=failed)
    assert differences().became == (
        Change("cause", "", "exit code 3"),
        Change("exit_code", 0, 3),
        Change("gpus", "", "H100, H100"),
        Change("state", FINISHED, FAILED),
    )


def test_lock_files_are_compared_by_package_and_not_by_line(root: Path) -> None:
    job(root, FIRST, {"requirements.lock": "numpy==1.0\nscipy==1.0\nsame==1\n"})
    job(root, SECOND, {"requirements.lock": "same==1\nnumpy==2.0\nnew==3\n"})
    found = differences()
    assert found.packages == (
        Change("new", None, "3"),
        Change("numpy", "1.0", "2.0"),
        Change("scipy", "1.0", None),
    )
    assert found.code == ()


def test_code_is_told_as_a_unified_diff_by_file(root: Path) -> None:
    before = {"src/b.py": "one\ntwo\n", "same.py": "x\n", "gone.py": "old\n"}
    after = {"src/b.py": "one\nzwei\n", "same.py": "x\n", "a.py": "new\n"}
    assert code(root, before, after) == [
        *("--- a/a.py", "+++ b/a.py", "@@ -0,0 +1 @@", "+new"),
        *("--- a/gone.py", "+++ b/gone.py", "@@ -1 +0,0 @@", "-old"),
        *("--- a/src/b.py", "+++ b/src/b.py", "@@ -1,2 +1,2 @@", " one", "-two", "+zwei"),
    ]


def test_what_is_no_text_or_too_long_is_only_said_to_differ(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(diff, "LONGEST", 10)
    before = {"image": b"\x89\0a", "long": "0123456789", "fits": "012345678\n"}
    after = {"image": b"\x89\0b", "long": "0123456789a", "fits": "012345679\n"}
    told = "differs (no text, or too long to show)"
    assert code(root, before, after) == [
        *("--- a/fits", "+++ b/fits", "@@ -1 +1 @@", "-012345678", "+012345679"),
        f"image: {told}",
        f"long: {told}",
    ]


def test_files_that_differ_in_their_ends_alone_are_told(root: Path) -> None:
    before = {"crlf": "a\r\nb\n", "last": "a\n", "latin": b"caf\xe9\n"}
    after = {"crlf": "a\nb\n", "last": "a", "latin": b"caf\xe8\n", "empty": ""}
    assert code(root, before, after) == [
        *("--- a/crlf", "+++ b/crlf", "@@ -1,2 +1,2 @@", "-a\r", "+a", " b"),
        "empty: differs (empty, or in the end of its last line)",
        "last: differs (empty, or in the end of its last line)",
        "latin: differs (no text, or too long to show)",
    ]


def test_the_longest_line_that_is_shown_fits_into_the_answer(root: Path) -> None:
    longest = "x" * diff.LONGEST
    lines = code(root, {"a": longest}, {"a": "y"})
    answer = DifferencesAnswer(ids=(), asked=(), became=(), packages=(), code=tuple(lines))
    assert f"-{longest}" in DifferencesAnswer.from_json(answer.to_json(), "answer").code


def test_what_jobs_share_is_not_compared(root: Path) -> None:
    paths = [job(root, name, {"a.py": name}) for name in (FIRST, SECOND)]
    for number, each in enumerate(paths):
        for name in ("data", "mlflow.db"):
            (each.code / name).symlink_to(root / f"{name}.{number}")
        (root / f"data.{number}").mkdir()
        (root / f"data.{number}" / "table.csv").write_text(str(number))
        (root / f"mlflow.db.{number}").write_text(str(number))
    assert [line for line in differences().code if line.startswith("---")] == ["--- a/a.py"]


def test_a_link_that_leads_nowhere_is_no_text(root: Path) -> None:
    job(root, FIRST)
    paths = job(root, SECOND)
    (paths.code / "link").symlink_to("nowhere")
    assert differences().code == ()


@pytest.mark.parametrize(("lines", "shown"), [(4, 7), (5, 8)])
def test_a_long_comparison_is_cut_off_and_says_so(
    root: Path, monkeypatch: pytest.MonkeyPatch, lines: int, shown: int
) -> None:
    monkeypatch.setattr(diff.messages, "DIFF_LINES", 7)
    found = code(root, {}, {"a.py": "x\n" * lines})
    assert len(found) == shown
    assert (found[-1] == "(7 lines; the rest is left out)") is (lines == 5)


def test_names_that_are_no_utf_8_are_told(root: Path) -> None:
    name = os.fsdecode(b"caf\xe9.py")
    assert code(root, {}, {name: "x\n"})[1] == f"+++ b/{name}"
