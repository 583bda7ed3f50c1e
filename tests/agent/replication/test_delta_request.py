"""What a pull is answered: a delta, which jobs have ended, and which other stores there are."""

from __future__ import annotations

import shutil
import sqlite3
import zlib
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from remote.agent.job_folders import read_status
from remote.agent.replication.delta_request import delta
from remote.errors import StoreError
from remote.job.messages.base import AnswerWithFile
from remote.job.messages.records import DeltaAnswer, DeltaRequest
from remote.job.paths import JobPaths
from remote.job.status import FAILED, FINISHED, LOST, QUEUED, RUNNING, JobStatus
from tests.agent.job_folder import IDS, KEY, add, gone
from tests.tracking.filestore.file_stores import FileStore


def ask(**request: Any) -> AnswerWithFile:
    answer = delta(DeltaRequest(key=KEY, known={}, **request))
    assert isinstance(answer, AnswerWithFile)
    return answer


def told() -> DeltaAnswer:
    """What a target without a store of its own answers."""
    answer = delta(DeltaRequest(key=KEY, known={}))
    assert isinstance(answer, DeltaAnswer)
    return answer


def meta(file: Path) -> dict[str, str]:
    with closing(sqlite3.connect(file)) as database:
        return dict(database.execute("SELECT key, value FROM meta").fetchall())


@pytest.fixture
def store(root: Path, template: Path) -> Path:
    store = Path(shutil.copy(template / "mlflow.db", root))
    with closing(sqlite3.connect(store)) as database, database:
        database.execute("UPDATE experiments SET artifact_location = ?", (f"{root}/mlruns/0",))
    return store


def job(root: Path, number: int = 0, state: str = FINISHED) -> JobPaths:
    paths = add(root, IDS[number], state=state)
    paths.code.mkdir()
    paths.live.parent.mkdir(exist_ok=True)
    if state != FINISHED:
        paths.live.touch()
    return paths


def test_a_target_without_a_store_has_nothing_to_send(root: Path) -> None:
    assert told() == DeltaAnswer(root=str(root))


def test_the_targets_own_store_is_sent_with_its_root(root: Path, store: Path) -> None:
    found = ask()
    size = found.file.stat().st_size
    assert found.answer == DeltaAnswer(root=str(root), empty=False, size=size)
    assert found.file.parent == root / ".remote"
    with closing(sqlite3.connect(found.file)) as database:
        assert database.execute("SELECT name FROM experiments").fetchall() == [("Default",)]
    assert str(root) in meta(found.file)["roots"]


def test_a_delta_is_sent_packed_where_that_is_asked(root: Path, store: Path) -> None:
    found = ask(compress=True)
    packed = found.file.read_bytes()
    assert [path.name for path in (root / ".remote").glob("delta-*")] == [found.file.name]
    found.file.write_bytes(zlib.decompress(packed))
    assert len(packed) < found.file.stat().st_size / 2 and meta(found.file)["format"]


def test_lost_jobs_are_ended_before_it_is_told_which_have_ended(root: Path) -> None:
    job(root, 0)
    running = job(root, 1, QUEUED)
    lost = job(root, 2, RUNNING)
    JobStatus(RUNNING, worker=gone()).to_file(lost.status)
    assert told().ended == (IDS[0], IDS[2])
    assert read_status(lost).state == LOST and not lost.live.exists()
    assert read_status(running).state == QUEUED and running.live.exists()


def test_a_folder_of_files_beside_the_store_is_named_without_a_mark(root: Path) -> None:
    (root / "mlruns" / "0" / "run").mkdir(parents=True)
    assert told().others == {}
    shutil.rmtree(root / "mlruns")
    FileStore(root).experiment()
    assert told().others == {"mlruns": None}
    found = ask(store="mlruns")
    size = found.file.stat().st_size
    assert found.answer == DeltaAnswer(root=str(root), empty=False, size=size)
    assert meta(found.file)["places"] == '["mlruns"]'


def test_what_a_job_made_is_named_with_a_mark_that_changes_with_it(
    root: Path, template: Path
) -> None:
    paths = job(root)
    shutil.copy(template / "mlflow.db", paths.code / "own.db")
    name = f".remote/jobs/{paths.id}/code/own.db"
    first = told().others
    assert list(first) == [name] and first[name] and first == told().others
    with closing(sqlite3.connect(paths.code / "own.db")) as database, database:
        database.execute("UPDATE experiments SET name = 'other'")
    assert told().others[name] not in (None, first[name])
    found = ask(store=name)
    with closing(sqlite3.connect(found.file)) as database:
        assert database.execute("SELECT name FROM experiments").fetchall() == [("other",)]
    # The target's own jobs are told of with its own store alone.
    size = found.file.stat().st_size
    assert found.answer == DeltaAnswer(root=str(root), empty=False, size=size)


def test_what_a_job_did_not_make_or_rsync_can_not_name_is_left_out(
    root: Path, template: Path
) -> None:
    code = job(root, 0).code
    for name in ("pushed.db", "two words.db"):
        shutil.copy(template / "mlflow.db", code / name)
    (root / "pushed.db").touch()
    (code / "link.db").symlink_to(code / "two words.db")
    (code / "text.db").write_text("no store")
    for name in ("plain", "two words"):
        FileStore(code / "src").experiment()
        (code / "src" / "mlruns").rename(code / name)
    there = f".remote/jobs/{IDS[0]}/code"
    assert list(told().others) == [f"{there}/plain", f"{there}/two words.db"]


def test_jobs_that_have_ended_are_looked_at_once_and_others_each_time(
    root: Path, template: Path
) -> None:
    ended, failed, queued = job(root, 0), job(root, 1, FAILED), job(root, 2, QUEUED)
    assert told().others == {}
    for paths in (ended, failed, queued):
        shutil.copy(template / "mlflow.db", paths.code / "late.db")
    late = f".remote/jobs/{queued.id}/code/late.db"
    assert list(told().others) == [late]
    JobStatus(FINISHED).to_file(queued.status)
    assert list(told().others) == [late]
    (queued.code / "late.db").unlink()
    assert told().others == {}


@pytest.mark.parametrize(
    "name", ["../other/mlflow.db", "/etc/passwd", "mlruns", "mlflow.db", "mlruns/../mlflow.db"]
)
def test_only_stores_that_were_named_are_sent(root: Path, store: Path, name: str) -> None:
    with pytest.raises(StoreError) as caught:
        delta(DeltaRequest(key=KEY, known={}, store=name))
    assert caught.value.message == f"{root} has no MLflow store {name}."
    assert not list((root / ".remote").glob("delta-*"))
