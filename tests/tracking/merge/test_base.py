"""The base of a merge: what a version of the toolkit wrote, later ones read."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from remote.tracking.merge.base import pull_state
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
    assert pull_state(base, store=store) == known


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
