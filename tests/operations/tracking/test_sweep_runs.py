"""A sweep's own run, as the runs of its jobs arrive."""

from __future__ import annotations

import pytest

from remote.agent.tracking import run_rows
from remote.config import Project
from remote.errors import JobError
from remote.job.spec import sweep_run
from remote.operations.sweep_record import Sweep, SweepJob, find_sweep
from remote.operations.tracking.pull_records import pull_records
from remote.operations.tracking.sweep_runs import update_sweeps
from remote.session import TargetSession
from tests.operations.tracking.conftest import Store

RUN = sweep_run("x-3f9a1c")


@pytest.fixture
def sweep(project: Project) -> Sweep:
    jobs = tuple(
        SweepJob(target="gpu1", id=f"j{lr}", values={"lr": lr, "seed": 7}) for lr in (1, 2)
    )
    made = Sweep(id="x-3f9a1c", name="x", program="x.py", user="ada", submitted=1.0, jobs=jobs)
    made.write(project.state)
    return made


def child(store: Store, run: str, job: str, status: str = "FINISHED") -> None:
    """A run of one of its jobs, which has ended so."""
    store.run(run, parent=RUN)
    run_rows.update(store.file, run, {"remote.job": job}, status=status)


def row(store: Store) -> list[tuple[str, str, int, int]]:
    query = "SELECT name, status, start_time, end_time FROM runs WHERE run_uuid = ?"
    return store.sql(query, RUN)


def test_it_is_made_with_the_first_of_them_and_ends_with_the_last(
    server: TargetSession, sweep: Sweep, here: Store, far: Store
) -> None:
    child(far, "a1", "j1")
    pull_records(server)
    assert row(here)[0][:2] == ("x-3f9a1c", "RUNNING")
    assert here.sql("SELECT key, value FROM params WHERE run_uuid = ? ORDER BY key", RUN) == [
        ("lr", "1, 2"),
        ("seed", "7"),
    ]
    child(far, "a2", "j2", "FAILED")
    far.sql("UPDATE runs SET end_time = 9500 WHERE run_uuid = 'a2'")
    pull_records(server)
    assert row(here)[0][1] == "FAILED" and row(here)[0][3] == 9500
    found = find_sweep(server.project.state, sweep.id)
    assert found and found.ended
    before = here.dump()
    pull_records(server)
    assert here.dump() == before


@pytest.mark.parametrize("job", ["j1", "rerun-of-j1"])
def test_a_job_that_was_tried_again_is_one_job(
    server: TargetSession, sweep: Sweep, here: Store, far: Store, job: str
) -> None:
    child(far, "a1", "j1", "FAILED")
    child(far, "a1b", job)
    pull_records(server)
    assert row(here)[0][1] == "RUNNING"
    child(far, "a2", "j2")
    pull_records(server)
    # How an attempt ended that was not the last is not how the job did.
    assert row(here)[0][1] == ("FINISHED" if job == "j1" else "FAILED")


@pytest.mark.parametrize("content", ["", "{", '{"id": 3}', "[]"])
def test_a_damaged_file_is_named_and_keeps_no_other_sweep_from_its_run(
    server: TargetSession, sweep: Sweep, here: Store, far: Store, content: str
) -> None:
    (server.project.state / "sweeps/a-000000.json").write_text(content)
    child(far, "a1", "j1")
    [problem] = pull_records(server).problems
    assert problem.text == (
        ".remote/sweeps/a-000000.json on this machine: the jobs of that sweep are unknown."
        " Put back a copy of it, or remove it."
    )
    assert row(here)
    with pytest.raises(JobError, match="a-000000.json is damaged"):
        find_sweep(server.project.state, "a-000000")


def test_one_that_was_deleted_here_does_not_come_back(
    server: TargetSession, sweep: Sweep, here: Store, far: Store
) -> None:
    child(far, "a1", "j1")
    pull_records(server)
    here.delete(RUN)
    pull_records(server)
    stage = here.sql("SELECT lifecycle_stage FROM runs WHERE run_uuid = ?", RUN)
    assert stage == [("deleted",)]


def test_without_runs_of_its_jobs_there_is_none(
    project: Project, sweep: Sweep, here: Store
) -> None:
    update_sweeps(project, here.file)
    assert row(here) == []
