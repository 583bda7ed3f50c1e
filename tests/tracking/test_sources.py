"""Which kind of store lies at a path, and that each kind writes a delta that the merge takes."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from remote.tracking.sources import SOURCES, source_of
from tests.stores import empty_store
from tests.tracking.filestore.file_stores import FileStore


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One store of each kind, with the experiment Default in it."""
    folder = tmp_path_factory.mktemp("stores")
    files = FileStore(folder / "old")
    files.experiment()
    return {"sqlite": empty_store(folder), "filestore": files.root}


def test_each_kind_has_a_store_in_this_test(stores: dict[str, Path]) -> None:
    assert set(stores) == set(SOURCES)


@pytest.mark.parametrize("kind", SOURCES)
def test_a_store_is_of_one_kind(stores: dict[str, Path], kind: str) -> None:
    assert source_of(stores[kind]) is SOURCES[kind]
    assert [name for name in SOURCES if SOURCES[name].recognise(stores[kind])] == [kind]


def test_what_is_no_store_has_no_kind(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("SQLite, no")
    (tmp_path / "empty.db").touch()
    (tmp_path / "mlruns").mkdir()
    for name in ("text.db", "empty.db", "mlruns", "missing"):
        assert source_of(tmp_path / name) is None, name


@pytest.mark.parametrize("kind", SOURCES)
def test_a_delta_names_where_artifacts_are_fetched_from(
    stores: dict[str, Path], kind: str, tmp_path: Path
) -> None:
    out, store = tmp_path / "delta.db", stores[kind]
    SOURCES[kind].write_delta(store, out, {}, roots=[str(store.parent)], registry=True)
    with closing(sqlite3.connect(out)) as database:
        assert database.execute("SELECT kind FROM entities").fetchall() == [("experiment",)]
        assert database.execute("SELECT name FROM experiments").fetchall() == [("Default",)]
        (roots,) = database.execute("SELECT value FROM meta WHERE key = 'roots'").fetchone()
        places = database.execute("SELECT value FROM meta WHERE key = 'places'").fetchall()
    assert str(store.parent) in roots
    assert places == ([('["mlruns"]',)] if store.is_dir() else [])
