"""Runs that a job left RUNNING in a file store end with it."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from remote.tracking.filestore import run_state
from tests.tracking.filestore.file_stores import FileStore

JOB = "20260101-090000-train-aaaa"


def state(store: FileStore, run: str, experiment: int = 0) -> tuple[int, int | None]:
    values = yaml.safe_load((store.root / f"{experiment}/{run}/meta.yaml").read_text())
    return values["status"], values["end_time"]


@pytest.fixture
def store(tmp_path: Path) -> FileStore:
    made = FileStore(tmp_path)
    made.experiment()
    made.experiment(1, "other")
    return made


def test_its_own_end_and_others_stay(store: FileStore) -> None:
    tags = ("remote.job", "remote.job", "remote.resumed_by", "remote.job", "x")
    runs = [store.run(number, number % 2, status=1, end_time="null") for number in range(5)]
    for number, (run, tag) in enumerate(zip(runs, tags)):
        store.write(f"{number % 2}/{run}/tags/{tag}", JOB if number != 3 else f"{JOB}b")
    meta = store.root / f"0/{runs[0]}/meta.yaml"
    meta.chmod(0o664)
    before = meta.read_text()
    run_state.close_all(store.root, job=JOB, status="FAILED", end_ms=5)
    states = [state(store, run, number % 2) for number, run in enumerate(runs)]
    assert states == [(4, 5), (4, 5), (4, 5), (1, None), (1, None)]
    assert meta.stat().st_mode & 0o777 == 0o664
    changed = before.replace("status: 1", "status: 4").replace("end_time: null", "end_time: 5")
    assert meta.read_text() == changed


def test_one_that_has_ended_or_cannot_be_read_stays(store: FileStore, tmp_path: Path) -> None:
    ended, linked, going = store.run(1), store.run(2, status=1), store.run(3, status=2)
    elsewhere = tmp_path / "meta.yaml"
    (store.root / f"0/{linked}/meta.yaml").rename(elsewhere)
    (store.root / f"0/{linked}/meta.yaml").symlink_to(elsewhere)
    for run in (ended, linked, going):
        store.write(f"0/{run}/tags/remote.job", JOB)
    run_state.close_all(store.root, job=JOB, status="KILLED", end_ms=5)
    assert state(store, ended) == (3, 1_700_000_009_000) and state(store, going)[0] == 5
    assert yaml.safe_load(elsewhere.read_text())["status"] == 1
