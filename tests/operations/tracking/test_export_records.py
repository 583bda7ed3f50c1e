"""Which runs are exported, and what happens where the server isn't there."""

from __future__ import annotations

from pathlib import Path

import pytest

from remote.config import Project
from remote.errors import ConfigError, ConnectError
from remote.job.spec import sweep_run
from remote.operations.sweep_record import Sweep, SweepJob
from remote.operations.tracking import export_records as operation
from remote.operations.tracking.destination import digest
from remote.operations.tracking.export_records import export_records
from remote.operations.tracking.merge_records import merge_store
from remote.tracking.export import ExportOrder
from remote.tracking.export.export_record import ExportRecord, Sent
from remote.tracking.merge.base import backup_of
from scripts.sshd import free_port
from tests.tracking.merge.conftest import Project as Store


@pytest.fixture
def project(tmp_path: Path, template: Path) -> Project:
    """A project with a run of its own, for whose server nobody listens."""
    own = Store(tmp_path / "here", template)
    own.run(own.experiment("mine"))
    address = f"http://me:hunter2@127.0.0.1:{free_port()}"
    return Project(own.root, {"MLFLOW_TRACKING_URI": address})


@pytest.fixture
def merged(project: Project, tmp_path: Path, template: Path) -> Project:
    """The same, with two runs that were merged from a colleague's store."""
    colleague = Store(tmp_path / "colleague", template)
    experiment = colleague.experiment("theirs")
    for _ in range(2):
        colleague.run(experiment)
    merge_store(project, str(colleague.root))
    return project


def test_runs_that_were_made_here_stay_here(project: Project) -> None:
    assert export_records(project) is None


def test_a_dry_run_counts_what_was_merged_and_asks_no_server(merged: Project) -> None:
    summary = export_records(merged, dry_run=True)
    assert summary is not None and summary.grown_runs == 2
    assert "hunter2" not in summary.server
    assert not (merged.state / "exports").exists()


def test_a_server_that_is_not_there_is_told_without_its_password(merged: Project) -> None:
    with pytest.raises(ConnectError, match="can't be reached") as caught:
        export_records(merged)
    assert "hunter2" not in str(caught.value) and "pull again" in caught.value.hint


def test_without_a_server_nothing_is_exported(merged: Project) -> None:
    assert export_records(Project(merged.root, {})) is None


def test_an_address_that_is_none_is_refused(merged: Project) -> None:
    with pytest.raises(ConfigError):
        export_records(Project(merged.root, {"MLFLOW_TRACKING_URI": "http://"}))


def test_a_damaged_base_keeps_no_run_here_unsaid(
    merged: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    (base,) = (merged.state / "targets").glob("*.base.db")
    base.write_bytes(b"x" * 5000)
    summary = export_records(merged, dry_run=True)
    assert summary is not None and summary.grown_runs == 2
    backup_of(base).write_bytes(b"x" * 5000)
    assert export_records(merged, dry_run=True) is None
    assert f"{base} can't be read" in capsys.readouterr().err


@pytest.mark.parametrize("address", ["http://me:new@host:5000/", "http://host:5000"])
def test_another_login_is_no_other_server(
    merged: Project, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    """The record is found again, also one that an earlier version called by the login."""
    first = "http://me:hunter2@host:5000"
    before = merged.state / "exports" / digest(first)
    ExportRecord(before).put("run", "a", Sent("there"))
    found: list[Sent] = []

    def look(order: ExportOrder, *rest: object, **named: object) -> None:
        found.append(ExportRecord(order.record).get("run", "a"))

    monkeypatch.setattr(operation, "export", look)
    for each in (first, address):
        export_records(Project(merged.root, {"MLFLOW_TRACKING_URI": each}))
    assert [sent.server_id for sent in found] == ["there", "there"]


def test_a_sweeps_own_run_goes_with_those_of_its_jobs(
    merged: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = SweepJob(target="gpu1", id="j1")
    Sweep(id="x-3f9a1c", name="x", program="x.py", user="ada", submitted=1.0, jobs=(job,)).write(
        merged.state
    )
    orders: list[ExportOrder] = []
    monkeypatch.setattr(operation, "export", lambda order, *rest, **named: orders.append(order))
    export_records(merged)
    assert sweep_run("x-3f9a1c") in orders[0].ids["run"] and len(orders[0].ids["run"]) == 3
