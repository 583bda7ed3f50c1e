"""Fetching what a job left where no pull brings it from; rsync and the agent are the real ones."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from remote.agent import processes
from remote.config import Project
from remote.errors import JobError
from remote.files import write_json
from remote.job.paths import JobPaths
from remote.job.status import FINISHED, RUNNING, JobStatus, Unpulled
from remote.operations.fetch import FOLDER, fetch
from remote.operations.sync import push
from remote.session import TargetSession
from remote.target import Target
from remote.transport.rsync_problems import UNREADABLE
from tests.machine import rsync_that_heeds_modes

JOB = "20260101-090000-train-aaaa"

LEFT = (
    "out/ckpt.pt",
    "out/deep/日本.pt",
    "odd [1]/a*b.txt",
    "odd [1]/new\nline\rs",
    "back\\slash?",
    "-dash",
    " blank",
    "data/06_models/m.pkl",
)


@pytest.fixture
def server(tmp_path: Path) -> TargetSession:
    """A target with a job that has ended and left files, beside its code."""
    root = tmp_path / "it's a project"
    (root / "src").mkdir(parents=True)
    (root / "src/a.py").write_text("code")
    session = TargetSession.of(Project(root, {}), Target.parse(str(tmp_path / "目標 1")))
    push(session)
    paths = JobPaths(Path(session.target.path), JOB)
    paths.folder.mkdir(parents=True)
    write_json(paths.job, {"id": JOB, "name": "train", "kind": "script", "source": "a.py"})
    write_json(paths.status, {"state": FINISHED})
    for name in (*LEFT, "out/code.py", "odd [1]/aXb.txt"):
        top = paths.root if name.startswith("data/") else paths.code
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_bytes(name.encode())
    Unpulled(files={name: len(name.encode()) for name in LEFT}).to_file(paths.unpulled)
    return session


def fetched(server: TargetSession) -> set[str]:
    top = server.project.root / FOLDER / JOB
    return {path.relative_to(top).as_posix() for path in top.rglob("*") if path.is_file()}


def test_all_that_was_left_comes_and_nothing_else(server: TargetSession) -> None:
    folder, brought, *_ = fetch(server, "last", ())
    assert folder == f"{FOLDER}/{JOB}" and set(brought) == set(LEFT) == fetched(server)
    for name in LEFT:
        assert (server.project.root / folder / name).read_bytes() == name.encode()
    assert (server.project.root / "src/a.py").read_text() == "code"
    assert fetch(server, "last", ())[:4] == (folder, {}, [], [])


def test_what_was_edited_here_is_kept(server: TargetSession) -> None:
    edited = server.project.root / FOLDER / JOB / "out/ckpt.pt"
    edited.parent.mkdir(parents=True)
    edited.write_text("was edited here")
    done = fetch(server, "last", ())
    kept = server.project.root / done.backup / FOLDER / JOB / "out/ckpt.pt"
    assert [done.backup + "/" + name for name in done.replaced] == [
        str(kept.relative_to(server.project.root))
    ]
    assert (kept.read_text(), edited.read_text()) == ("was edited here", "out/ckpt.pt")


def test_folders_files_and_patterns_are_chosen(server: TargetSession) -> None:
    assert set(fetch(server, JOB, ["out/"])[1]) == {"out/ckpt.pt", "out/deep/日本.pt"}
    assert set(fetch(server, JOB, ["*.pkl", "-dash"])[1]) == {"data/06_models/m.pkl", "-dash"}
    assert fetched(server) == {
        "out/ckpt.pt",
        "out/deep/日本.pt",
        "data/06_models/m.pkl",
        "-dash",
    }
    with pytest.raises(JobError, match="left no 'out' to fetch") as error:
        fetch(server, JOB, ["out"])
    assert "odd [1]/a*b.txt" in error.value.hint


def test_a_file_that_has_gone_there_is_not_taken_for_brought(server: TargetSession) -> None:
    (JobPaths(Path(server.target.path), JOB).code / "-dash").unlink()
    assert "-dash" not in fetch(server, JOB, ())[1]
    with pytest.raises(JobError, match="'nothing' to fetch") as error:
        fetch(server, JOB, ["nothing"])
    assert error.value.hint == "It left -dash."


def test_what_lies_here_already_is_not_taken_for_what_could_not_be_read_there(
    server: TargetSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rsync_that_heeds_modes(monkeypatch, tmp_path)
    before = server.project.root / FOLDER / JOB / "out/ckpt.pt"
    before.parent.mkdir(parents=True)
    before.write_text("of an earlier fetch")
    closed = JobPaths(Path(server.target.path), JOB).code / "out"
    closed.chmod(0)
    try:
        _, brought, problems, replaced, *_ = fetch(server, JOB, ["out", "-dash"])
    finally:
        closed.chmod(0o755)
    assert (set(brought), replaced) == ({"-dash"}, []) and problems[0].kind == UNREADABLE
    assert set(fetch(server, JOB, ()).files) == {*LEFT} - {"-dash"}


def test_what_came_while_the_job_wrote_is_not_taken_for_what_it_left(
    server: TargetSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = JobPaths(Path(server.target.path), JOB)
    paths.unpulled.unlink()
    write_json(paths.frozen, {})
    JobStatus(RUNNING, worker=processes.identity(os.getpid())).to_file(paths.status)
    checkpoint, rsync = paths.code / "out/ckpt.pt", TargetSession.rsync

    def ends_meanwhile(*args: Any, **rest: Any) -> Any:
        done = rsync(*args, **rest)
        checkpoint.write_bytes(b"of the end   ")
        JobStatus(FINISHED).to_file(paths.status)
        return done

    with monkeypatch.context() as patch:
        patch.setattr(TargetSession, "rsync", ends_meanwhile)
        assert "out/ckpt.pt" in fetch(server, JOB, ["out/ckpt.pt"]).files
    assert "out/ckpt.pt" in fetch(server, JOB, ["out"]).files
    assert (server.project.root / FOLDER / JOB / "out/ckpt.pt").read_bytes() == b"of the end   "
    with pytest.raises(JobError, match="left no 'out' to fetch"):
        fetch(server, JOB, ["out"])


def test_a_link_that_a_pull_brought_leads_nowhere(server: TargetSession) -> None:
    root = server.project.root
    (root / FOLDER).mkdir(parents=True)
    (root / FOLDER / JOB).symlink_to("../../../src")
    with pytest.raises(JobError, match="is a link"):
        fetch(server, JOB, ())
    assert [path.name for path in (root / "src").iterdir()] == ["a.py"]
