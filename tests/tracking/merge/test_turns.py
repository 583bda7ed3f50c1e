"""While a long merge writes, those who log here get their turn."""

from __future__ import annotations

import shutil
import sqlite3
import threading
import time
from pathlib import Path

import pytest

from remote.tracking.merge import local_store as module
from remote.tracking.merge.local_store import open_local_store


@pytest.fixture
def store(tmp_path: Path, template: Path) -> Path:
    return Path(shutil.copy(template / "mlflow.db", tmp_path))


def merge_for(store: Path, seconds: float) -> None:
    """Transactions of 0.2 seconds one after the other, as a long merge has them."""
    ours = open_local_store(store)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        ours.begin()
        ours.database.execute("UPDATE experiments SET last_update_time = 1")
        time.sleep(0.2)
        ours.commit()
    ours.close()


def waits(store: Path, seconds: float) -> list[float]:
    """How long each of a logger's changes took while a merge went on for so many seconds."""
    found = []
    merging = threading.Thread(target=merge_for, args=(store, seconds))
    merging.start()
    database = sqlite3.connect(store, timeout=60)
    while merging.is_alive():
        start = time.monotonic()
        with database:
            database.execute("UPDATE experiments SET creation_time = 2")
        found.append(time.monotonic() - start)
        time.sleep(0.01)
    merging.join()
    database.close()
    return found


def test_a_logger_gets_its_turn(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_TURN", 0.6)
    found = waits(store, 5)
    assert len(found) >= 4 and max(found) < 2.5, found


def test_a_short_merge_is_not_slowed(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paused: list[float] = []
    monkeypatch.setattr(time, "sleep", paused.append)
    ours = open_local_store(store)
    for _ in range(50):
        ours.begin()
        ours.commit()
    ours.close()
    assert paused == []
