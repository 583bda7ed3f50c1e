"""Stores that are there and can't be read now: never replaced, never told as missing."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from remote.agent.job_folders import read_status
from remote.agent.main import serve
from remote.config import Project
from remote.errors import StoreError
from remote.job.messages.base import AnswerWithFile
from remote.job.paths import JobPaths
from remote.job.spec import Job
from remote.job.status import FINISHED
from remote.operations.tracking.check_store import check
from remote.operations.tracking.pull_records import pull_records
from remote.rpc import bundle
from remote.session import TargetSession
from remote.target import Target
from remote.tracking import revisions
from remote.tracking import store as stores
from remote.tracking.empty_store import ensure_store
from remote.tracking.revisions import schema_of
from remote.tracking.store import is_present
from tests.operations.tracking.conftest import Store
from tests.stores import empty_store

JOB = "20260101-090001-train-bbbb"

#: A worker as the agent's zip runs it, which doesn't wait a minute for a lock.
WORKER = """
import sys
sys.path.insert(0, sys.argv[1])
del sys.argv[0]
from remote.tracking import store
store.BUSY_TIMEOUT = 0.3
from remote.agent.worker.worker import work_here
sys.exit(work_here(*sys.argv[1:]))
"""

#: A Python whose MLflow is done at once: it makes a store as MLflow's own does.
PYTHON = """\
#!/bin/sh
case "$2" in *SqlAlchemyStore*) exec cp "{empty}" mlflow.db ;; esac
exec "{python}" "$@"
"""


def truncate(store: Path) -> None:
    os.truncate(store, 100_000)


def blank(store: Path) -> None:
    os.truncate(store, 0)


def overwrite(store: Path) -> None:
    with open(store, "r+b") as file:
        file.write(os.urandom(4096))


def loop(store: Path) -> None:
    store.unlink()
    store.symlink_to(store.name)


def dangle(store: Path) -> None:
    store.unlink()
    store.symlink_to("/not/mounted/mlflow.db")


def close(store: Path) -> None:
    store.chmod(0)
    if os.access(store, os.R_OK):
        pytest.skip("root may read everything")


def nothing(store: Path) -> None:
    """As it is when another program locks it."""


DAMAGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "truncated": (truncate, "malformed"),
    "empty": (blank, "is empty"),
    "overwritten": (overwrite, "isn't an MLflow store"),
    "a loop of links": (loop, "symbolic links"),
    "a link to a disk that isn't there": (dangle, "is a link to /not/mounted/mlflow.db"),
    "mode 000": (close, "unable to open"),
    "locked": (nothing, "database is locked"),
}


@pytest.fixture(params=DAMAGES)
def damage(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(stores, "BUSY_TIMEOUT", 0.2)
    monkeypatch.setattr(revisions, "PATIENCE", 0.2)
    return str(request.param)


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return empty_store(tmp_path_factory.mktemp("empty"))


@pytest.fixture
def here(tmp_path: Path, empty: Path) -> Store:
    """The project's own store."""
    return Store(tmp_path / "it's here", empty)


@pytest.fixture
def server(here: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TargetSession:
    """A target on this machine, whose agent is this process: it doesn't wait a minute either."""
    session = TargetSession.of(Project(here.root, {}), Target.parse(str(tmp_path / "there's 100%")))
    monkeypatch.setattr(session.agent, "call", call)
    return session


def call(
    request: Any,
    *,
    on_answer: Callable[[Any], None] | None = None,
    on_blob: Callable[[bytes], Any] | None = None,
) -> Any:
    served = serve(request.verb, request.to_json())
    answer = served.answer if isinstance(served, AnswerWithFile) else served
    if on_answer is not None:
        on_answer(answer)
    if isinstance(served, AnswerWithFile):
        assert on_blob is not None
        on_blob(served.file.read_bytes())
        served.file.unlink()
    return answer


@pytest.fixture
def far(server: TargetSession, empty: Path) -> Store:
    """The same target, ready, with a store of its own."""
    there = Store(Path(server.target.path), empty)
    server.prepare(take_over=True)
    return there


@contextmanager
def damaged(store: Path, kind: str) -> Iterator[str]:
    """The store, damaged; what is said of it. Nobody has changed it in the end."""
    DAMAGES[kind][0](store)
    before = state(store)
    with ExitStack() as stack:
        if kind == "locked":
            other = stack.enter_context(closing(sqlite3.connect(store, isolation_level=None)))
            other.execute("BEGIN EXCLUSIVE")
        yield DAMAGES[kind][1]
    assert state(store) == before


def state(store: Path) -> tuple[int, bytes]:
    """Its inode and content, or where it leads."""
    inode = os.lstat(store).st_ino
    if store.is_symlink():
        return inode, os.fsencode(os.readlink(store))
    with suppress(PermissionError):
        return inode, store.read_bytes()
    return inode, b""


def work(target: Path, empty: Path, tmp_path: Path, **asked: object) -> tuple[JobPaths, str]:
    """A job that runs to its end in a project here, by a real worker; and its log."""
    python = tmp_path / "bin/python"
    python.parent.mkdir()
    python.write_text(PYTHON.format(empty=empty, python=sys.executable))
    python.chmod(0o755)
    agent = tmp_path / "agent.zip"
    agent.write_bytes(bundle.packed(bundle.contents()))
    paths = JobPaths(target, JOB)
    paths.folder.mkdir(parents=True)
    facts = {"experiment": "digits", "mlflow_run": "a" * 32, "user": "ada", "gpus": 0, **asked}
    words = ("sh", "-c", "echo hello; echo $MLFLOW_TRACKING_URI")
    job = Job(id=JOB, kind="command", source="", name="train", arguments=words, **facts)
    job.replace(interpreter=str(python)).to_file(paths.job)
    paths.live.parent.mkdir(parents=True, exist_ok=True)
    paths.live.touch()
    argv = [sys.executable, "-IS", "-c", WORKER, str(agent), str(target), JOB]
    subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, timeout=60)
    return paths, paths.log.read_text()


def test_a_job_runs_all_the_same_and_a_pull_brings_its_record_from_beside(
    server: TargetSession,
    here: Store,
    far: Store,
    empty: Path,
    tmp_path: Path,
    damage: str,
) -> None:
    far.run("f1")
    with damaged(far.file, damage) as words:
        paths, log = work(far.root, empty, tmp_path)
        assert read_status(paths).state == FINISHED, log
        assert words in log and "a store of its own" in log
        assert f"hello\nsqlite:///{paths.own_store}\n" in log
        (far.root / "mlruns/1" / ("a" * 32) / "artifacts/it's a note.txt").write_text("kept")
        records = pull_records(server)
        assert here.runs() == {"a" * 32} and here.notes() == {"a" * 32: "kept"}
        (fault,) = records.unreadable
        assert words in fault and "\n" in fault
        again = pull_records(server)
        assert again.summary is None and again.unreadable == [fault]
    ((status,),) = here.sql("SELECT status FROM runs")
    assert status == "FINISHED"


def test_on_the_laptop_a_damaged_store_is_named_and_stays(
    server: TargetSession, here: Store, far: Store, damage: str
) -> None:
    far.run("f1")
    with damaged(here.file, damage) as words:
        for use in (
            lambda: pull_records(server),
            lambda: ensure_store(here.file, here.root / "mlruns"),
            lambda: is_present(here.file),
        ):
            with pytest.raises(StoreError, match=words) as caught:
                use()
            assert caught.value.hint
        if damage == "truncated":
            assert "inv mlflow-check" in caught.value.hint and ".recover" in caught.value.hint
        assert words in schema_of(here.file, None).store_fault
        check_says(here.file, damage, words)


def check_says(store: Path, damage: str, words: str) -> None:
    """`inv mlflow-check` tells of a damaged file, and refuses others in words."""
    if damage == "truncated":
        (finding,) = check(str(store)).findings
        assert ".recover" in finding.step
        return
    with pytest.raises(StoreError, match=words) as caught:
        check(str(store))
    assert caught.value.hint


def test_a_merge_base_that_can_not_be_read_is_not_set_aside(
    server: TargetSession, here: Store, far: Store
) -> None:
    far.run("f1")
    pull_records(server)
    here.sql("UPDATE runs SET name = 'mine'")
    (base,) = (here.root / ".remote/targets").glob("*.base.db")
    kept = base.rename(base.with_name("kept"))
    base.symlink_to(base.name)
    with pytest.raises(StoreError, match="can't be read"):
        pull_records(server)
    assert base.is_symlink() and not list(base.parent.glob("*.damaged"))
    kept.replace(base)
    far.sql("UPDATE runs SET name = 'theirs'")
    summary = pull_records(server).summary
    assert summary is not None and len(summary.conflicts) == 1
    assert here.sql("SELECT name FROM runs") == [("mine",)]
