"""One merge while it runs: what it refuses to begin with, whose turn it is to write, what it found."""

from __future__ import annotations

import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from remote.errors import StoreError
from remote.job.messages.records import ArtifactFolder
from remote.tracking import schema
from remote.tracking.merge import merge_session as module
from remote.tracking.merge.merge_session import (
    Conflict,
    LocalStore,
    MergeSession,
    MergeSummary,
    store_with_base,
    total,
)


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


def test_a_table_that_is_left_out_is_named(world):
    world.far.run(world.far.experiment("digits"))
    world.far.client.create_registered_model("best")
    world.far.sql("ALTER TABLE runs ADD COLUMN shade TEXT")
    world.far.sql("UPDATE runs SET shade = 'dark'")
    assert set(world.pull().left_out) == {"registered_models", "runs.shade"}


def test_an_older_schema_arrives_by_the_common_columns(world):
    run_id = world.far.run(world.far.experiment("digits"))
    for table in ("logged_model_metrics", "logged_model_params", "logged_model_tags"):
        world.far.sql(f"DROP TABLE {table}")
    world.far.sql("DROP TABLE logged_models")
    world.far.sql("ALTER TABLE runs DROP COLUMN deleted_time")
    world.far.sql("ALTER TABLE inputs DROP COLUMN step")
    summary = world.pull()
    assert (summary.new_runs, summary.left_out) == (1, ())
    assert world.here.client.get_run(run_id).data.metrics == {"loss": 1 / 3}
    world.far.sql("UPDATE runs SET name = 'new'")
    world.pull()
    assert world.here.one("SELECT name FROM runs") == "new"


def test_a_store_in_wal_mode(world):
    for side in (world.far, world.here):
        side.sql("PRAGMA journal_mode = WAL")
    run_id = world.far.run(world.far.experiment("digits"))
    assert world.pull().new_runs == 1
    assert world.pull().new_runs == 0
    assert world.here.client.get_run(run_id).data.params == {"lr": "0.1"}


def test_a_file_that_is_no_delta_is_refused(world, tmp_path):
    (tmp_path / "text").write_text("not a database, but long enough to look like one " * 30)
    with closing(sqlite3.connect(tmp_path / "empty")) as database:
        database.execute("CREATE TABLE meta (key, value)")
    before = world.here.store.read_bytes()
    for name in ("text", "empty"):
        with pytest.raises(StoreError):
            world.apply(tmp_path / name)
    assert world.here.store.read_bytes() == before


def test_a_missing_store_is_refused(world, tmp_path):
    file = world.delta()
    world.here.store.unlink()
    with pytest.raises(StoreError, match="isn't an MLflow store"):
        world.apply(file)
    assert not world.here.store.exists()


def test_a_view_in_the_delta_is_not_read(world):
    world.far.run(world.far.experiment("digits"))
    file = world.forged(
        "DROP TABLE params",
        "CREATE VIEW params AS SELECT 'k' AS key, 'v' AS value, run_uuid FROM runs",
    )
    world.apply(file)
    assert world.here.sql("SELECT * FROM params") == []


def test_a_delta_that_is_not_whole_or_of_another_version_is_refused(world):
    before = world.here.store.read_bytes()
    for statement, told in (
        ("DELETE FROM meta WHERE key = 'format'", "isn't a whole delta"),
        ("UPDATE meta SET value = '99' WHERE key = 'format'", "another version of the toolkit"),
        ("DROP TABLE gone", "isn't a delta of an MLflow store"),
    ):
        with pytest.raises(StoreError, match=told):
            world.apply(world.forged(statement))
    assert world.here.store.read_bytes() == before


def test_roots_that_are_no_absolute_paths_are_not_believed(world):
    """An empty one would be above all that is."""
    run_id = world.far.run(world.far.experiment("digits"))
    world.far.sql("UPDATE runs SET artifact_uri = ?", f"/mlruns/1/{run_id}/artifacts")
    roots = "UPDATE meta SET value = '[\"\", \"srv\", 7, null]' WHERE key = 'roots'"
    (refused,) = world.apply(world.forged(roots)).refused
    assert refused.id == run_id


def value_of(file: Path, table: str) -> object:
    with closing(sqlite3.connect(file)) as database:
        return database.execute(f"SELECT max(name) FROM {table}").fetchone()[0]


def test_what_fails_half_way_is_undone_in_store_and_base(store: Path, tmp_path: Path) -> None:
    base = tmp_path / "base.db"
    with store_with_base(store, base, source="far") as database:
        database.execute("INSERT INTO base.experiments (experiment_id, name) VALUES (9, 'old')")
    before = store.read_bytes()
    with pytest.raises(ZeroDivisionError), store_with_base(store, base) as database:
        database.execute("UPDATE main.experiments SET name = 'new'")
        database.execute("UPDATE base.experiments SET name = 'new'")
        raise ZeroDivisionError
    assert store.read_bytes() == before and value_of(base, "experiments") == "old"
    with store_with_base(store, base) as database:
        database.execute("UPDATE base.experiments SET name = 'new'")
    assert value_of(base, "experiments") == "new"


def test_without_a_base_there_is_nothing_to_open(store: Path, tmp_path: Path) -> None:
    with store_with_base(store, tmp_path / "base.db") as database:
        assert database is None
    assert not (tmp_path / "base.db").exists()


def test_the_base_of_another_store_is_not_used(store: Path, tmp_path: Path) -> None:
    base = tmp_path / "base.db"
    with store_with_base(store, base, source="far"):
        pass
    with closing(sqlite3.connect(store)) as database, database:
        database.execute("UPDATE experiments SET creation_time = 1")
    with store_with_base(store, base) as database:
        assert database is None


def test_what_sqlite_says_is_told_with_the_store(store: Path, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=f"{store} can't be used: no such table: missing"):
        with store_with_base(store, tmp_path / "base.db", source="far") as database:
            database.execute("SELECT * FROM missing")


def test_a_dry_run_has_a_store_of_its_own(store: Path) -> None:
    before = store.read_bytes()
    ours = LocalStore(store, dry_run=True)
    with ours.transaction():
        ours.database.execute("UPDATE experiments SET name = 'changed'")
    assert ours.database.execute("SELECT name FROM experiments").fetchall() == [("changed",)]
    ours.database.close()
    assert store.read_bytes() == before


@pytest.mark.parametrize(
    ("table", "key", "named"),
    [
        ("tags", ("colour", "r1"), "r1/colour"),
        ("runs", ("r1",), "r1"),
        ("model_version_tags", ("k", "clf", 2), "clf/k/2"),
    ],
)
def test_a_conflict_names_first_what_its_row_belongs_to(table, key, named):
    found = Conflict.of(schema.table_of(table), key, "value", "ours", None)
    assert found == Conflict(table, named, "value", "ours", None)


def test_two_merges_are_told_as_one():
    conflicts = [Conflict("runs", run, "name", 1, 2) for run in ("a", "b")]
    folder = ArtifactFolder("mlruns/1", "mlruns/2")
    one = MergeSummary(new_runs=1, metric_rows=5, conflicts=(conflicts[0],), artifacts=(folder,))
    other = MergeSummary(new_runs=2, new_versions=3, conflicts=(conflicts[1],), left_out=("x",))
    assert total(one, other) == MergeSummary(
        new_runs=3,
        new_versions=3,
        metric_rows=5,
        conflicts=tuple(conflicts),
        left_out=("x",),
        artifacts=(folder,),
    )


def test_no_disk_is_waited_for_where_only_the_delta_is_written_to(world: Any) -> None:
    session = MergeSession(world.here.store, world.here.mlruns, "far", dry_run=False)
    with closing(session.database):
        session.attach(world.base(), world.delta())
        waits = {
            name: session.ids(f"PRAGMA {name}.synchronous") for name in ("delta", "main", "base")
        }
    assert waits == {"delta": [0], "main": [2], "base": [2]}
