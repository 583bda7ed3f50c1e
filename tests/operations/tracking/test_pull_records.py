"""Records of a target on this machine: the agent there is the real one."""

from __future__ import annotations

import json
from pathlib import Path
from unittest.mock import Mock

import pytest

from remote.errors import TransferError
from remote.files import read_json
from remote.job.paths import JobPaths
from remote.job.spec import Job
from remote.job.status import FINISHED, JobStatus
from remote.operations import sync
from remote.operations.tracking.artifact_transfer import ArtifactFetch
from remote.operations.tracking.merge_records import Records
from remote.operations.tracking.pull_records import FetchedDelta, pull_records, source_name
from remote.operations.transfers import one_name
from remote.session import TargetSession
from remote.transport.rsync_tally import Tally
from tests.machine import rsync_that_heeds_modes
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
    names = server.project.state / f"targets/{server.target.key}.stores.json"
    assert json.loads(names.read_text()) == ["mlruns"]


def test_each_store_of_a_target_has_a_name_of_its_own(server: TargetSession) -> None:
    names = {source_name(server, store) for store in ("", "mlruns", "a/mlflow.db")}
    assert len(names) == 3 and source_name(server) == server.target.key
    assert all(name.startswith(server.target.key) and "/" not in name for name in names)


def test_a_store_beside_is_asked_for_until_all_of_it_is_here(
    server: TargetSession, here: Store, far: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By --theirs, with its registered models, after a pull that was killed, into a new store."""
    beside = Store(far.root / "made", far.file)
    beside.run("b1", artifact="note")
    (beside.root / "mlruns").rename(far.root / "mlruns")
    beside.sql("UPDATE runs SET artifact_uri = ?", f"{far.root}/mlruns/1/b1/artifacts")
    beside.sql("INSERT INTO registered_models (name) VALUES ('clf')")
    noted(far, json.dumps(str(beside.file)))
    empty = here.file.read_bytes()
    here.run("b1", name="ours")
    pulls = [pull_records(server, theirs=theirs).summary for theirs in (False, False, True)]
    assert [len(each.refused) for each in pulls if each] == [1, 1, 0]
    pull_records(server, registry=True)
    assert here.sql("SELECT name FROM registered_models") == [("clf",)]

    here.file.write_bytes(empty)
    here.sql("UPDATE experiments SET creation_time = 1")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(ArtifactFetch, "bring", Mock(side_effect=[Tally(), KeyboardInterrupt]))
        pull_records(server)
    (here.root / "mlruns/1/b1/artifacts/it's a note.txt").unlink()
    pull_records(server)
    assert (here.runs(), here.notes()) == ({"b1"}, {"b1": "note"})
    with monkeypatch.context() as patch:
        patch.setattr(
            "remote.operations.tracking.pull_records.FetchedDelta",
            asked := Mock(wraps=FetchedDelta),
        )
        pull_records(server)
    assert asked.call_count == 1


@pytest.mark.parametrize("way", ["mlruns is a file", "mlruns/1 is a file", "mlruns is a link"])
def test_artifacts_wait_until_there_can_be_a_folder_for_them(
    server: TargetSession, here: Store, far: Store, way: str
) -> None:
    far.run("f1", artifact="note")
    name, _, kind = way.partition(" is a ")
    (here.root / name).parent.mkdir(exist_ok=True)
    if kind == "file":
        (here.root / name).write_text("mine")
    else:
        # To a disk that isn't mounted now.
        (here.root / name).symlink_to("/mnt/no such disk")
    for _ in range(2):
        [problem] = pull_records(server).problems
        assert (problem.path, here.runs()) == (name, {"f1"})
    assert kind == "link" or (here.root / name).read_text() == "mine"
    (here.root / name).unlink()
    pull_records(server)
    assert here.notes() == {"f1": "note"}


def test_artifacts_wait_until_their_folder_can_be_written_to(
    server: TargetSession,
    here: Store,
    far: Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rsync_that_heeds_modes(monkeypatch, tmp_path)
    far.run("f1", artifact="note")
    folder = here.root / "mlruns/1/f1/artifacts"
    folder.mkdir(parents=True)
    folder.chmod(0o555)
    for _ in range(2):
        [problem] = pull_records(server).problems
        assert problem.path == "mlruns/1/f1/artifacts/it's a note.txt"
    folder.chmod(0o755)
    pull_records(server)
    assert here.notes() == {"f1": "note"}


def noted(far: Store, *lines: str) -> None:
    """What a job that has ended noted of the stores that it logged to."""
    paths = JobPaths(far.root, "20260101-000000-train-aaaa")
    paths.folder.mkdir(parents=True)
    Job(id=paths.id, kind="command", source="", name="train").to_file(paths.job)
    JobStatus(FINISHED).to_file(paths.status)
    paths.stores.write_text("\n".join(lines))


def test_stores_that_jobs_logged_to_come_from_below_the_target_and_are_named_else(
    server: TargetSession, here: Store, far: Store, tmp_path: Path
) -> None:
    files = FileStore(far.root / "logs/2026/a=1/mlruns")
    files.experiment(900, name="files")
    run = files.run(1, 900)
    elsewhere = tmp_path / "elsewhere.db"
    elsewhere.touch()
    places = [files.root, elsewhere, far.root / "outputs/gone.db", "https://mlflow.example"]
    lines = [json.dumps(str(place)) for place in places]
    noted(far, *lines, "{]", '"\\u001b[2J"', "7", *lines)
    records = pull_records(server)
    assert here.runs() == {run}
    assert records.outside == [str(elsewhere), "https://mlflow.example"]
    assert pull_records(server).outside == []


def test_what_a_disk_mixes_up_is_told_and_counts_as_left(
    server: TargetSession, here: Store, far: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a Mac, whose disk takes two names that differ in case for one."""
    far.run("f1", artifact="note")
    monkeypatch.setattr(one_name, "is_blind", lambda folder: True)
    for name in ("Model.pt", "model.pt", "other.pt"):
        next(far.root.glob("mlruns/*/f1/artifacts")).joinpath(name).write_text(name)
        (far.root / "data/results" / name).write_text(name)
    # Also when nothing is left to bring.
    for _ in range(2):
        pulled = sync.pull(server)
        told = {problem.path.rpartition("/")[2] for problem in pulled.files.problems}
        assert told == {"Model.pt", "model.pt"}
        told = {problem.path.rpartition("/")[2] for problem in pulled.records.problems}
        assert told == {"Model.pt", "model.pt"}
    assert not server.pulled.exists() or read_json(server.pulled) == []
    for name in ("Model.pt", "model.pt"):
        next(far.root.glob("mlruns/*/f1/artifacts")).joinpath(name).unlink()
        (far.root / "data/results" / name).unlink()
        assert not sync.pull(server).problems
