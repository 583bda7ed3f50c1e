"""What is an MLflow store, how one is opened, and how mlflow makes a missing one, whole or not."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from remote.errors import StoreError
from remote.tracking import store as module
from remote.tracking.merge.merge_session import LocalStore
from remote.tracking.store import connect_read_only, is_store, writing
from tests.stores import empty_store


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return empty_store(tmp_path / "it's 100% #1?")


def test_what_is_no_store_is_just_none(tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    with closing(sqlite3.connect(other)) as database:
        database.execute("CREATE TABLE runs (x)")
    (tmp_path / "text.db").write_text("SQLite format 3")
    for path in (tmp_path, tmp_path / "missing.db", other, tmp_path / "text.db"):
        assert not is_store(path)
    assert not (tmp_path / "missing.db").exists()


def test_a_store_is_read_and_not_written(store: Path) -> None:
    assert is_store(store)
    with closing(connect_read_only(store)) as database:
        assert database.execute("SELECT name FROM experiments").fetchall() == [("Default",)]
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            database.execute("DELETE FROM experiments")


def test_a_transaction_is_whole_or_not_at_all(store: Path) -> None:
    with writing(store) as database:
        database.execute("UPDATE experiments SET name = 'renamed'")
    with pytest.raises(ZeroDivisionError), writing(store) as database:
        database.execute("UPDATE experiments SET name = 'lost'")
        raise ZeroDivisionError
    with closing(connect_read_only(store)) as database:
        assert database.execute("SELECT name FROM experiments").fetchall() == [("renamed",)]


def test_a_missing_store_is_refused_and_not_made(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="isn't an MLflow store"), writing(tmp_path / "new.db"):
        pass
    assert not (tmp_path / "new.db").exists()


def test_a_store_that_somebody_locks_is_named(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BUSY_TIMEOUT", 0)
    with closing(sqlite3.connect(store, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="can't be used: database is locked"), writing(store):
            pass


def test_what_a_killed_commit_left_goes_unless_a_journal_needs_it(store: Path) -> None:
    journal, own = (store.with_name(name) for name in ("base.db-journal", "new.db-journal"))
    journal.write_bytes(b"\xd9\xd5\x05\xf9 \xa1c\xd7")
    # As that of a base which this transaction makes.
    own.write_bytes(bytes(512))
    left = {
        "A": b"",
        "B": bytes(store.with_name("gone.db-journal")) + b"\0",
        "C": b"gone-journal\0" + bytes(journal) + b"\0",
        "D": bytes(own) + b"\0",
    }
    files = {letter: Path(f"{store}-mj{letter}27A3E912") for letter in left}
    for letter, content in left.items():
        files[letter].write_bytes(content)
    other = store.with_name("other.db-mj1")
    other.touch()
    session = LocalStore(store)
    with closing(session.database), session.transaction():
        assert [letter for letter, file in files.items() if file.exists()] == ["C"]
    assert other.exists()
