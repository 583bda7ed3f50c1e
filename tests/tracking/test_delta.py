"""What the agent sends: only what changed, from one moment of the store."""

from __future__ import annotations

import json
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from remote import errors
from remote.agent.tracking import run_rows
from remote.errors import StoreError
from remote.tracking import delta, merge, schema
from remote.tracking.store import quoted
from tests.stores import empty_store
from tests.waiting import until

TOP = Path(errors.__file__).parent.parent


@pytest.fixture(scope="session")
def template(tmp_path_factory):
    folder = tmp_path_factory.getbasetemp() / "mlflow-template"
    return empty_store(folder)


@pytest.fixture
def store(tmp_path, template):
    return Path(shutil.copy(template, tmp_path / "mlflow.db"))


def sql(store, query, *values):
    with closing(sqlite3.connect(store, timeout=60)) as database, database:
        return database.execute(query, values).fetchall()


def run(store, run_id, status="FINISHED", points=3):
    run_rows.begin(
        store,
        experiment="digits",
        run_id=run_id,
        tags={"mlflow.runName": run_id, "mlflow.user": "ada"},
        start_ms=1,
    )
    run_rows.update(store, run_id, status=status, end_time=2)
    log(store, run_id, range(points))


def log(store, run_id, steps):
    with closing(sqlite3.connect(store, timeout=60)) as database, database:
        database.executemany(
            "INSERT INTO metrics (key, value, timestamp, run_uuid, step, is_nan)"
            " VALUES ('loss', 0.5, 1, ?, ?, 0)",
            [(run_id, step) for step in steps],
        )


def pull(store, known):
    """Writes a delta; what it says in plain values, and the state to send the next time."""
    out = store.with_name("delta")
    delta.write(store, out, known)
    meta = {key: json.loads(value) for key, value in sql(out, "SELECT * FROM meta")}
    signatures = {kind: dict(known.get("signatures", {}).get(kind, {})) for kind in schema.KINDS}
    for kind, identity, signature in sql(out, "SELECT * FROM entities"):
        signatures[kind][str(identity)] = signature
    after = {
        "format": delta.FORMAT,
        "token": "t",
        "mark": meta["mark"],
        "watermarks": meta["watermarks"],
        "blocks": meta["blocks"],
        "signatures": signatures,
    }
    return out, json.loads(json.dumps(after))


def runs_in(out):
    return {run_id for (run_id,) in sql(out, "SELECT run_uuid FROM runs")}


def steps_in(out):
    return sorted(step for (step,) in sql(out, "SELECT step FROM metrics"))


def test_everything_at_first_then_nothing(store):
    run(store, "one")
    out, known = pull(store, {})
    assert (runs_in(out), steps_in(out)) == ({"one"}, [0, 1, 2])
    out, again = pull(store, known)
    assert (runs_in(out), steps_in(out)) == (set(), [])
    assert sql(out, "SELECT * FROM entities") == sql(out, "SELECT * FROM tags") == []
    assert again == known


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE tags SET value = 'new' WHERE run_uuid = 'one' AND key = 'mlflow.user'",
        "DELETE FROM tags WHERE run_uuid = 'one' AND key = 'mlflow.user'",
        "INSERT INTO params VALUES ('k', 'v', 'one')",
        "UPDATE runs SET end_time = 99 WHERE run_uuid = 'one'",
        "INSERT INTO latest_metrics VALUES ('m', 1, 1, 1, 0, 'one')",
    ],
)
def test_a_run_is_sent_when_any_of_its_rows_changed(store, change):
    run(store, "one")
    run(store, "two")
    _, known = pull(store, {})
    sql(store, change)
    out, _ = pull(store, known)
    assert runs_in(out) == {"one"}
    assert {run_id for (run_id,) in sql(out, "SELECT run_uuid FROM tags")} == {"one"}
    assert steps_in(out) == []


def test_new_metrics_alone(store):
    run(store, "one", points=1000)
    _, known = pull(store, {})
    log(store, "one", range(1000, 1002))
    assert steps_in(pull(store, known)[0]) == [1000, 1001]


def test_a_running_run_is_always_sent(store):
    run(store, "one", status="RUNNING")
    run(store, "two")
    _, known = pull(store, {})
    assert runs_in(pull(store, known)[0]) == {"one"}


def test_reused_rowids_are_noticed(store):
    """The newest run is deleted for good, and another takes its rowids, and more."""
    run(store, "one")
    run(store, "two")
    _, known = pull(store, {})
    for table in ("tags", "metrics", "runs"):
        sql(store, f"DELETE FROM {table} WHERE run_uuid = 'two'")
    run(store, "new", points=5)
    out, after = pull(store, known)
    found = sql(out, "SELECT run_uuid, count(*) FROM metrics GROUP BY 1 ORDER BY 1")
    assert found == [("new", 5), ("one", 3)]
    assert sql(out, "SELECT * FROM gone") == [("run", "two")]
    assert after["watermarks"]["metrics"]["rowid"] == 8


def test_fewer_rows_than_the_watermark(store):
    run(store, "one")
    run(store, "two")
    _, known = pull(store, {})
    sql(store, "DELETE FROM metrics WHERE run_uuid = 'two'")
    log(store, "one", range(3, 5))
    assert steps_in(pull(store, known)[0]) == [0, 1, 2, 3, 4]


def test_a_state_of_another_format_counts_as_none(store):
    run(store, "one")
    _, known = pull(store, {})
    assert runs_in(pull(store, {**known, "format": 99})[0]) == {"one"}


def test_rows_of_other_tables_are_named(store):
    sql(store, "INSERT INTO registered_models (name, workspace) VALUES ('best', 'default')")
    sql(store, "CREATE TABLE brand_new (x)")
    sql(store, "INSERT INTO brand_new VALUES (1)")
    out, _ = pull(store, {})
    ((left_out,),) = sql(out, "SELECT value FROM meta WHERE key = 'left_out'")
    assert json.loads(left_out) == ["brand_new", "registered_models"]


def test_roots_are_sent_with_where_links_lead(store, tmp_path):
    (tmp_path / "link").symlink_to(tmp_path)
    out = tmp_path / "delta"
    delta.write(tmp_path / "link" / "mlflow.db", out, {})
    ((roots,),) = sql(out, "SELECT value FROM meta WHERE key = 'roots'")
    assert json.loads(roots) == [str(tmp_path / "link"), str(tmp_path)]


def test_the_store_is_not_written_to(store):
    run(store, "one")
    before, changed = store.read_bytes(), store.stat().st_mtime_ns
    pull(store, {})
    assert (store.read_bytes(), store.stat().st_mtime_ns) == (before, changed)


def test_a_missing_store(tmp_path):
    with pytest.raises(StoreError, match="isn't an MLflow store"):
        delta.write(tmp_path / "none.db", tmp_path / "out", {})
    assert not (tmp_path / "none.db").exists() and not (tmp_path / "out").exists()


#: Four processes, which import MLflow once.
WRITERS = """
import os, sys
from mlflow import MlflowClient
from mlflow.entities import Metric

def write():
    client = MlflowClient("sqlite:///" + sys.argv[1])
    run_id = client.create_run("0").info.run_id
    for step in range(25):
        client.log_batch(run_id, [Metric(name, step, step, step) for name in "abcde"])
    client.set_terminated(run_id)

for _ in range(4):
    if not os.fork():
        write()
        sys.exit()
sys.exit(any([os.wait()[1] for _ in range(4)]))
"""


@pytest.mark.parametrize("journal", ["DELETE", "WAL"])
def test_every_delta_is_one_moment_while_four_processes_log(store, journal):
    """Each batch is five metrics of one step: half a batch is never seen, and nothing is lost."""
    sql(store, f"PRAGMA journal_mode = {journal}")
    argv = [sys.executable, "-c", WRITERS, str(store)]
    writers = subprocess.Popen(argv, stderr=subprocess.DEVNULL)
    until(lambda: writers.poll() is not None or sql(store, "SELECT run_uuid FROM runs"))
    known, seen, pulls = {}, set(), 0
    while True:
        done = writers.poll() is not None
        out, known = pull(store, known)
        rows = sql(out, "SELECT run_uuid, step, key FROM metrics")
        batches = {(run_id, step) for run_id, step, _ in rows}
        assert len(rows) == 5 * len(batches) and not seen & {*rows}
        seen |= {*rows}
        pulls += 1 if rows else 0
        if done:
            break
        # Who reads all the time keeps the others from writing.
        time.sleep(0.02)
    assert writers.returncode == 0
    assert len(seen) == 4 * 25 * 5 and pulls > 3
    assert known["signatures"]["run"].keys() == {run_id for run_id, _, _ in seen}


KILLED = """
import os, sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("PRAGMA cache_size = 5")
database.execute("BEGIN IMMEDIATE")
for step in range(20000):
    database.execute("INSERT INTO metrics VALUES ('half', 1, 1, 'one', ?, 0)", (step,))
os.kill(os.getpid(), 9)
"""


def test_what_a_killed_writer_left_is_rolled_back(store):
    run(store, "one")
    killed = subprocess.run([sys.executable, "-c", KILLED, str(store)])
    assert killed.returncode == -signal.SIGKILL
    assert Path(f"{store}-journal").stat().st_size > 0
    assert steps_in(pull(store, {})[0]) == [0, 1, 2]


# Looked for before the tests get a home of their own.
OLD_PYTHON = next(iter(sorted(Path.home().glob(".pyenv/versions/3.8.*/bin/python"))), None)


@pytest.mark.skipif(OLD_PYTHON is None, reason="no Python 3.8 here")
def test_python_3_8_writes_the_same(store, tmp_path):
    run(store, "one")
    script = (
        "import sys; from pathlib import Path; from remote.tracking import delta;"
        " delta.write(Path(sys.argv[1]), Path(sys.argv[2]), {})"
    )
    argv = [str(OLD_PYTHON), "-c", script, str(store), str(tmp_path / "old")]
    subprocess.run(argv, cwd=TOP, check=True, env={"PYTHONDONTWRITEBYTECODE": "1"})
    out, _ = pull(store, {})
    for table in ("entities", "runs", "tags", "metrics", "meta"):
        query = f"SELECT * FROM {table} ORDER BY 1, 2"
        assert sql(tmp_path / "old", query) == sql(out, query)


#: What a server could add to a delta, so that a merge takes one thing for another.
STRANGE = [
    ("tags", "CREATE TABLE tags (key, value, run_uuid TEXT COLLATE NOCASE)"),
    ("tags", 'CREATE TABLE tags ("key" TEXT, value TEXT, run_uuid TEXT collate RTRIM)'),
    ("tags", "CREATE TABLE tags (key, run_uuid, value AS (lower(run_uuid)))"),
    ("tags", "CREATE TABLE tags (key, value, run_uuid, UNIQUE (key, run_uuid))"),
    ("tags", "CREATE TABLE tags (key, value, run_uuid PRIMARY KEY) WITHOUT ROWID"),
    ("tags", "CREATE TABLE tags (key, value, run_uuid CHECK (run_uuid != 'a'))"),
    ("tags", "CREATE VIRTUAL TABLE tags USING fts5(key, value, run_uuid)"),
    ("entities", "CREATE TABLE entities (kind TEXT, id COLLATE NOCASE, signature TEXT)"),
    ("", "CREATE INDEX of_tags ON tags (run_uuid)"),
    ("", "CREATE VIEW more AS SELECT * FROM tags"),
    ("", "CREATE TRIGGER t AFTER DELETE ON tags BEGIN DELETE FROM entities; END"),
    ("", "CREATE TABLE sqlite_stat1 (tbl, idx, stat)"),
]


@pytest.mark.parametrize(("table", "statement"), STRANGE)
def test_a_delta_of_more_than_plain_tables_is_refused(store, tmp_path, table, statement):
    run(store, "a")
    file = tmp_path / "delta.db"
    delta.write(store, file, {})
    delta.refuse_strange(file)
    with closing(sqlite3.connect(file)) as database, database:
        database.execute(f"DROP TABLE {table}") if table else None
        if "sqlite_" in statement:
            # SQLite itself makes no such table by its name.
            database.execute("CREATE TABLE stat (tbl, idx, stat)")
            database.execute("PRAGMA writable_schema = ON")
            database.execute(
                "UPDATE sqlite_master SET name = 'sqlite_stat1', tbl_name = 'sqlite_stat1', sql = ?"
                " WHERE name = 'stat'",
                (statement,),
            )
        else:
            database.execute(statement)
    with pytest.raises(StoreError, match="is no plain table"):
        delta.refuse_strange(file)


def test_what_is_called_anything_is_read(store, tmp_path):
    """The store is what jobs made of it: names of tables and columns are data."""
    run(store, "a")
    odd = 'o"dd", (COLLATE'
    sql(store, f"CREATE TABLE {quoted(odd)} (x TEXT)")
    sql(store, f"INSERT INTO {quoted(odd)} VALUES ('content')")
    for table in ("tags", "runs"):
        for column, kind in (
            ('a"b', "TEXT COLLATE NOCASE"),
            ('c" OR 1)', "DOUBLE"),
            ("d e", "JSON"),
        ):
            sql(store, f"ALTER TABLE {table} ADD COLUMN {quoted(column)} {kind}")
    sql(store, f"UPDATE tags SET {quoted('a' + chr(34) + 'b')} = 'content'")
    file, here = tmp_path / "delta.db", tmp_path / "here"
    delta.write(store, file, {})
    delta.refuse_strange(file)
    summary = merge.merge(
        file,
        store=empty_store(here),
        artifact_root=here / "mlruns",
        base=here / "base.db",
        source="far",
    )
    assert summary.run_ids == ("a",) and summary.left_out == (odd, 'tags.a"b')


@pytest.mark.parametrize("content", [b"", b"garbage", b"SQLite format 3\0" + b"\xff" * 4096])
def test_what_is_no_database_is_refused(tmp_path, content):
    file = tmp_path / "delta.db"
    file.write_bytes(content)
    if not content:
        # An empty file is an empty database; the merge says that it is no delta.
        delta.refuse_strange(file)
    else:
        with pytest.raises(StoreError, match="can't be read.*\nPull again"):
            delta.refuse_strange(file)
