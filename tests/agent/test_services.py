"""Services of a target: which one goes on, where it answers, and what ends with it."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from remote.agent import processes, services, target_dir
from remote.agent.jobs import prune
from remote.agent.tracking import job_run, run_rows
from remote.files import sha256, write_json
from remote.job.messages.old_jobs import PruneRequest, RemoveRequest
from remote.job.messages.services import (
    FetchRequest,
    SavedRequest,
    ServiceAddress,
    ServiceAnswer,
    ServiceRequest,
)
from remote.job.paths import JobPaths
from remote.job.spec import Job
from remote.job.status import PRIVATE, RUNNING, STOPPED, JobStatus
from tests.stores import empty_store

KEY = "0123456789abcdef"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A target that the agent knows by KEY."""
    root = (tmp_path / "目標").resolve()
    (root / ".remote/jobs").mkdir(parents=True)
    link = target_dir.link(KEY)
    link.parent.mkdir(parents=True)
    link.symlink_to(root)
    return root


def job(root: Path, job_id: str, **told: object) -> JobPaths:
    """A job that goes on, since its worker is this process."""
    paths = JobPaths(root, job_id)
    paths.folder.mkdir()
    facts: dict[str, Any] = {"kind": "service", "source": "", "name": "lab", **told}
    Job(id=job_id, **facts).to_file(paths.job)
    worker = processes.identity(os.getpid())
    JobStatus(RUNNING, worker=worker).to_file(paths.status)
    paths.live.parent.mkdir(exist_ok=True)
    paths.live.touch()
    return paths


@pytest.fixture
def private() -> Iterator[Path]:
    """A folder as services have it."""
    import shutil
    import tempfile

    folder = tempfile.mkdtemp(prefix=PRIVATE)
    yield Path(folder)
    shutil.rmtree(folder, ignore_errors=True)


def look(**request: str) -> ServiceAnswer:
    return services.look(ServiceRequest(key=KEY, **request))


def test_only_that_kind_is_found_while_it_goes_on(root: Path) -> None:
    assert look(service="lab") == ServiceAnswer()
    job(root, "1-train-a", kind="script")
    mine = job(root, "2-lab-b", service="lab", folder="src", extras=("lab",))
    found = look(service="lab")
    assert found.address is None and found.job is not None and found.job.id == mine.id
    assert (found.job.folder, found.job.extras, found.job.gpus) == ("src", ("lab",), None)
    assert look(service="ui") == ServiceAnswer()
    JobStatus(STOPPED).to_file(mine.status)
    assert look(service="lab") == ServiceAnswer()
    assert look(job=mine.id).job == found.job


def test_it_answers_once_its_socket_is_listened_on(root: Path, private: Path) -> None:
    paths = job(root, "1-ui-a", service="ui")
    write_json(paths.serving, {"folder": str(private), "path": "/"})
    assert look(service="ui").address is None
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(private / "socket"))
        assert look(service="ui").address is None
        server.listen()
        expected = ServiceAddress("/", socket=str(private / "socket"))
        assert look(service="ui").address == expected


def test_jupyters_own_account_tells_port_and_token(root: Path, private: Path) -> None:
    paths = job(root, "1-lab-a", service="lab")
    write_json(paths.serving, {"folder": str(private), "path": "/lab"})
    write_json(private / "jpserver-12.json", {"port": 4711, "token": "secret", "url": "…"})
    at = look(service="lab").address
    assert at == ServiceAddress("/lab", port=4711, token="secret")


def test_runs_that_were_left_open_end_with_a_service(root: Path) -> None:
    store = empty_store(root)
    tags = {"remote.job": "1-lab-a"}
    open_run = _begin(root, "a" * 32, tags)
    other = _begin(root, "b" * 32, {"remote.job": "another"})
    service = Job("service", "", "lab", id="1-lab-a", service="lab", mlflow_run="c" * 32)
    job_run.end_runs(JobPaths(root, "1-lab-a"), service, JobStatus(STOPPED))
    assert run_rows.run_status(store, open_run) == "KILLED"
    assert run_rows.run_status(store, other) == "RUNNING"


def _begin(root: Path, run: str, tags: dict[str, str]) -> str:
    run_rows.begin(
        job_run.store_of(root),
        experiment="x",
        run_id=run,
        tags={"mlflow.runName": "x", "mlflow.user": "me", **tags},
        start_ms=1,
    )
    return run


def test_what_was_saved_counts_as_long_as_it_is_there_so(root: Path) -> None:
    paths = job(root, "1-lab-a", service="lab")
    (root / "src").mkdir()
    for name in ("kept.ipynb", "pushed over.ipynb", "gone.ipynb"):
        (root / "src" / name).write_text("saved")
    digest = sha256(root / "src/kept.ipynb")
    names = [f"src/{file.name}" for file in (root / "src").iterdir()]
    write_json(paths.saved, dict.fromkeys(names, digest))
    (root / "src/pushed over.ipynb").write_text("pushed")
    (root / "src/gone.ipynb").unlink()
    assert services.find_saved(SavedRequest(KEY)).files == {"src/kept.ipynb": digest}
    result = services.fetch(FetchRequest(KEY, ("src/kept.ipynb", "../secret")))
    assert list(result.answer.times) == ["src/kept.ipynb"]
    result.file.unlink()


@pytest.mark.parametrize("by", ["rm", "prune"])
def test_what_was_saved_counts_also_when_the_job_that_noted_it_is_removed(
    root: Path, by: str
) -> None:
    paths, later = job(root, "1-lab-a", service="lab"), job(root, "2-lab-b", service="lab")
    (root / "top.ipynb").write_text("saved later")
    digest = sha256(root / "top.ipynb")
    write_json(paths.saved, {"top.ipynb": "0" * 64})
    write_json(later.saved, {"top.ipynb": digest, "gone.ipynb": digest})
    for each in (paths, later):
        JobStatus(STOPPED, ended=1.0).to_file(each.status)
        each.live.unlink()
        os.utime(each.folder, (1, 1))
    ids = ("2-lab-b", "1-lab-a")
    if by == "rm":
        assert prune.remove(RemoveRequest(key=KEY, jobs=ids[:1], pulled=ids)).removed == ids[:1]
    else:
        assert prune.prune(PruneRequest(key=KEY, older=60, pulled=ids, dry_run=True)).jobs
        assert later.saved.exists()
        assert set(prune.prune(PruneRequest(key=KEY, older=60, pulled=ids)).jobs) == set(ids)
    assert services.find_saved(SavedRequest(KEY)).files == {"top.ipynb": digest}
    assert list(services.fetch(FetchRequest(KEY, ("top.ipynb",))).answer.times) == ["top.ipynb"]
    (root / "top.ipynb").write_text("pushed")
    assert services.find_saved(SavedRequest(KEY)).files == {}


def test_a_full_disk_keeps_nothing_of_what_was_to_be_sent(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = job(root, "1-lab-a", service="lab")
    (root / "a.ipynb").write_text("saved")
    write_json(paths.saved, {"a.ipynb": sha256(root / "a.ipynb")})

    def full(*args: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("zipfile.ZipFile.writestr", full)
    with pytest.raises(OSError, match="No space left"):
        services.fetch(FetchRequest(KEY, ("a.ipynb",)))
    assert list((root / ".remote").glob("saved-*")) == []


def test_what_was_renamed_after_it_was_saved_still_counts(root: Path) -> None:
    paths = job(root, "1-lab-a", service="lab")
    (root / "src").mkdir()
    for name in ("Untitled.ipynb", "other.ipynb"):
        (root / "src" / name).write_text(f"saved as {name}")
    digest = sha256(root / "src/Untitled.ipynb")
    write_json(paths.saved, {"src/Untitled.ipynb": digest})
    (root / "src/Untitled.ipynb").rename(root / "src/rates.ipynb")
    assert services.find_saved(SavedRequest(KEY)).files == {"src/rates.ipynb": digest}
    (root / "src/rates.ipynb").write_text("pushed")
    assert services.find_saved(SavedRequest(KEY)).files == {}
