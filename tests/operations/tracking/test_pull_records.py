"""Records of a target on this machine: the agent there is the real one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from remote.errors import TransferError
from remote.job.paths import JobPaths
from remote.job.spec import Job
from remote.job.status import FINISHED, JobStatus
from remote.operations.tracking.merge_records import Records
from remote.operations.tracking.pull_records import pull_records, source_name
from remote.session import TargetSession
from tests.operations.tracking.conftest import Store
from tests.tracking.filestore.file_stores import FileStore


def merged(records: Records) -> tuple[int, int, int]:
    """New runs, grown runs, artifacts."""
    assert records.summary is not None
    return records.summary.new_runs, records.summary.grown_runs, len(records.artifacts)


def beside(far: Store) -> str:
    """A file store in the target's mlruns; its run."""
    files = FileStore(far.root / "x")
    files.experiment(900, name="files")
    run = files.run(1, 900)
    (files.root / "900").rename(far.root / "mlruns/900")
    return run


def test_what_is_new_there_comes_once(server: TargetSession, here: Store, far: Store) -> None:
    far.run("f1", artifact="note")
    records = pull_records(server)
    assert merged(records) == (1, 0, 1) and records.bytes > 0
    assert (here.runs(), here.notes()) == ({"f1"}, {"f1": "note"})
    assert merged(pull_records(server)) == (0, 0, 0)
    far.run("f2")
    assert merged(pull_records(server)) == (1, 0, 0)


def test_an_artifact_that_was_edited_here_is_kept(
    server: TargetSession, here: Store, far: Store
) -> None:
    """One that is as it was pulled is nobody's work."""
    for run in ("f1", "f2"):
        far.run(run, artifact="note")
    pull_records(server)
    next(here.root.glob("mlruns/*/f1/artifacts/*.txt")).write_text("edited here")
    for path in far.root.glob("mlruns/*/*/artifacts/*.txt"):
        path.write_text("longer there")
    far.sql("UPDATE runs SET name = 'grown'")
    records = pull_records(server)
    assert here.notes() == {"f1": "longer there", "f2": "longer there"}
    backup = here.root / records.backup
    assert [backup / name for name in records.replaced] == list(backup.glob("mlruns/*/*/*/*.txt"))
    assert [(backup / name).read_text() for name in records.replaced] == ["edited here"]
    assert not pull_records(server).replaced


def test_a_dry_run_counts_and_changes_nothing(
    server: TargetSession, here: Store, far: Store
) -> None:
    far.run("f1", artifact="note")
    beside(far)
    before = here.dump()
    assert merged(pull_records(server, dry_run=True)) == (2, 0, 0)
    assert (here.dump(), here.notes()) == (before, {})
    assert not list((server.project.state / "targets").glob("*.stores.json"))


def test_a_target_without_records_brings_none(server: TargetSession, here: Store) -> None:
    server.prepare()
    before = here.dump()
    assert pull_records(server).summary is None and here.dump() == before


def test_a_target_that_is_not_there_says_what_to_do(server: TargetSession) -> None:
    with pytest.raises(TransferError, match="does not exist yet") as caught:
        pull_records(server)
    assert caught.value.hint == "Push first: make sync-push"
    assert not Path(server.target.path).exists()


def test_a_target_that_somebody_else_made_ready_is_found(
    server: TargetSession, here: Store, far: Store, isolated: Path
) -> None:
    """What is missing is the link by which this account's agent knows it."""
    far.run("f1")
    (link,) = isolated.glob(".cache/remote-gpu-workflow/targets/*")
    link.unlink()
    assert merged(pull_records(server)) == (1, 0, 0)


def test_other_stores_of_the_target_come_too(
    server: TargetSession, here: Store, far: Store
) -> None:
    far.run("f1")
    run = beside(far)
    records = pull_records(server)
    assert here.runs() == {"f1", run} and merged(records)[0] == 2
    bases = {path.name for path in (server.project.state / "targets").glob("*.base.db")}
    assert bases == {f"{source_name(server, store)}.base.db" for store in ("", "mlruns")}
    marks = server.project.state / f"targets/{server.target.key}.stores.json"
    assert json.loads(marks.read_text()) == {"mlruns": None}


def test_each_store_of_a_target_has_a_name_of_its_own(server: TargetSession) -> None:
    names = {source_name(server, store) for store in ("", "mlruns", "a/mlflow.db")}
    assert len(names) == 3 and source_name(server) == server.target.key
    assert all(name.startswith(server.target.key) and "/" not in name for name in names)


def test_stores_that_jobs_logged_to_come_from_below_the_target_and_are_named_else(
    server: TargetSession, here: Store, far: Store, tmp_path: Path
) -> None:
    files = FileStore(far.root / "logs/2026/a=1/mlruns")
    files.experiment(900, name="files")
    run = files.run(1, 900)
    elsewhere = tmp_path / "elsewhere.db"
    elsewhere.touch()
    paths = JobPaths(far.root, "20260101-000000-train-aaaa")
    paths.folder.mkdir(parents=True)
    Job(id=paths.id, kind="command", source="", name="train").to_file(paths.job)
    JobStatus(FINISHED).to_file(paths.status)
    places = [files.root, elsewhere, far.root / "outputs/gone.db", "https://mlflow.example"]
    lines = [json.dumps(str(place)) for place in places]
    paths.stores.write_text("\n".join([*lines, "{]", '"\\u001b[2J"', "7", *lines]))
    records = pull_records(server)
    assert here.runs() == {run}
    assert records.outside == [str(elsewhere), "https://mlflow.example"]
    assert pull_records(server).outside == []
