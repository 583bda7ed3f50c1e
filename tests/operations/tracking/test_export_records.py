"""Which runs are exported, and what happens where the server isn't there."""

from __future__ import annotations

from pathlib import Path

import pytest

from remote.config import Project
from remote.errors import ConfigError, ConnectError
from remote.operations.tracking.export_records import export_records
from remote.operations.tracking.merge_records import merge_store
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
