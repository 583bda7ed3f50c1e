"""The base of a merge: what a version of the toolkit wrote, later ones read."""

from __future__ import annotations

import functools
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from remote.errors import StoreError
from remote.tracking import schema
from remote.tracking.merge import base as bases
from remote.tracking.merge.base import pull_state
from remote.tracking.merge.merge_session import store_with_base
from remote.tracking.revisions import schema_of
from tests.stores import empty_store

SAMPLES = Path(__file__).with_name("samples")

#: The time of creation by which the sample knows the store that it belongs to.
CREATED = 1_600_000_000_000


def store_created_at(folder: Path, time_ms: int) -> Path:
    store = empty_store(folder)
    with closing(sqlite3.connect(store)) as database, database:
        database.execute("UPDATE experiments SET creation_time = ?", (time_ms,))
    return store


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A base that version 0.1.0 wrote, of a pull of one run."""
    path = tmp_path / "base.db"
    with closing(sqlite3.connect(path)) as database:
        database.executescript((SAMPLES / "base.sql").read_text(encoding="utf-8"))
    return path


def test_a_base_of_an_older_version_is_read(base: Path, tmp_path: Path) -> None:
    store = store_created_at(tmp_path / "project", CREATED)
    known = json.loads((SAMPLES / "pull_state.json").read_text(encoding="utf-8"))
    with closing(sqlite3.connect(base)) as database, database:
        revision = json.dumps(schema_of(store, Path()).revision)
        database.execute("INSERT INTO meta VALUES ('revision', ?)", (revision,))
    assert pull_state(base, store=store) == {**known, "blocks": None}


@pytest.mark.parametrize("revision", [None, '"a0"'])
def test_all_is_asked_for_again_where_the_store_has_another_schema_now(
    base: Path, tmp_path: Path, revision: str | None
) -> None:
    store = store_created_at(tmp_path / "project", CREATED)
    if revision:
        with closing(sqlite3.connect(base)) as database, database:
            database.execute("INSERT INTO meta VALUES ('revision', ?)", (revision,))
    state = pull_state(base, store=store)
    known = json.loads((SAMPLES / "pull_state.json").read_text(encoding="utf-8"))
    assert (state["mark"], state["watermarks"], state["token"]) == (None, {}, known["token"])
    for kind, signatures in known["signatures"].items():
        assert state["signatures"][kind] == dict.fromkeys(signatures, "")


def test_a_base_of_another_store_counts_as_none(base: Path, tmp_path: Path) -> None:
    store = store_created_at(tmp_path / "project", CREATED + 1)
    assert pull_state(base, store=store) == {}


def test_rows_of_a_base_are_put_in_the_order_of_their_owners_and_none_is_lost(
    base: Path, tmp_path: Path
) -> None:
    """As version 0.1.0 kept them, those of one run lay in as many places as it had keys."""
    store = store_created_at(tmp_path / "project", CREATED)
    owned = [table for table in schema.TABLES if table.rule == schema.THREE_WAY]
    with closing(sqlite3.connect(base)) as database:
        before = {table.name: _rows(database, table.name) for table in owned}
    with store_with_base(store, base, source="gpu:/proj"):
        pass
    with closing(sqlite3.connect(base)) as database:
        assert {table.name: _rows(database, table.name) for table in owned} == before
        assert database.execute("PRAGMA quick_check").fetchall() == [("ok",)]
        for table in owned:
            if table.owner_column in table.key:
                first = database.execute(f'SELECT * FROM "{table.name}"').description[0][0]
                assert first == table.owner_column
    assert before["params"] and before["tags"] and before["runs"]
    assert pull_state(base, store=store)["token"]


def _rows(database: sqlite3.Connection, table: str) -> list[dict[str, object]]:
    """By column name."""
    found = database.execute(f'SELECT * FROM "{table}"')
    names = [column[0] for column in found.description]
    return sorted((dict(sorted(zip(names, row))) for row in found), key=repr)


def test_a_base_that_is_in_use_or_can_not_be_read_is_not_a_damaged_one(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = store_created_at(tmp_path / "project", CREATED)
    at_once = functools.partial(sqlite3.connect, uri=True)
    with closing(sqlite3.connect(base, isolation_level="EXCLUSIVE")) as merging:
        merging.execute("BEGIN EXCLUSIVE")
        monkeypatch.setattr(bases.sqlite3, "connect", lambda name, **_: at_once(name, timeout=0))
        with pytest.raises(StoreError, match="Another merge is using") as told:
            pull_state(base, store=store)
        assert "Wait for it" in told.value.hint
    base.unlink()
    base.mkdir()
    with pytest.raises(StoreError, match="can't be read: .*Is a directory") as told:
        pull_state(base, store=store)
    assert "check its owner" in told.value.hint
