"""While a long merge writes, those who log here get their turn."""

from __future__ import annotations

import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from remote.tracking.merge import session as module
from remote.tracking.merge.session import LocalStore


@pytest.fixture
def store(tmp_path: Path, template: Path) -> Path:
    return Path(shutil.copy(template / "mlflow.db", tmp_path))


class Clock:
    """Time that passes where the test says so. In a pause another process gets its turn."""

    def __init__(self, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.store, self.turns = 100.0, store, list[float]()
        monkeypatch.setattr(time, "monotonic", lambda: self.now)
        monkeypatch.setattr(time, "sleep", self.pause)

    def pause(self, seconds: float) -> None:
        # Without a timeout this raises where the store is locked.
        with closing(sqlite3.connect(self.store, timeout=0)) as logger, logger:
            logger.execute("UPDATE experiments SET creation_time = 2")
        self.turns.append(self.now)
        self.now += seconds


def test_a_logger_gets_its_turn(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Transactions of 0.2 seconds one after the other, as a long merge has them."""
    clock = Clock(store, monkeypatch)
    ours = LocalStore(store)
    for _ in range(100):
        with ours.transaction():
            ours.database.execute("UPDATE experiments SET last_update_time = 1")
            clock.now += 0.2
    ours.database.close()
    assert len(clock.turns) >= 10
    # Who waits for the lock gives up after five seconds.
    assert all(later - earlier < 2.5 for earlier, later in zip(clock.turns, clock.turns[1:]))


def test_a_pause_is_long_enough_to_be_noticed() -> None:
    """Who waits for SQLite's lock looks again after 0.1 seconds at the latest."""
    assert module._PAUSE > 0.1


def test_a_short_merge_is_not_slowed(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paused: list[float] = []
    monkeypatch.setattr(time, "sleep", paused.append)
    ours = LocalStore(store)
    for _ in range(50):
        with ours.transaction():
            pass
    ours.database.close()
    assert paused == []
