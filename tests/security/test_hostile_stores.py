"""Stores and deltas of a server that means harm: nothing here becomes unreadable, or leads elsewhere."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from remote.errors import StoreError
from remote.tracking import delta, merge, schema
from remote.tracking.check.examine import examine, mend
from remote.tracking.merge import base as bases
from remote.tracking.merge import ownership
from tests.stores import empty_store

RUN = "a" * 32
OTHER = "b" * 32
BAD = b"caf\xe9 \xff"


class Side:
    """A folder with a store that is filled by SQL."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.store = folder, empty_store(folder)
        self.sql("UPDATE experiments SET creation_time = ?", hash(str(folder)) % 10**12)

    def sql(self, query: str, *values: object) -> list[Any]:
        with closing(sqlite3.connect(self.store)) as database, database:
            return database.execute(query, values).fetchall()

    def run(self, run: str = RUN, experiment: int = 0) -> str:
        self.sql(
            "INSERT INTO runs (run_uuid, name, source_type, status, start_time, lifecycle_stage,"
            " artifact_uri, experiment_id, user_id) VALUES (?, 'sunny', 'LOCAL', 'FINISHED', 1,"
            " 'active', ?, ?, 'me')",
            run,
            f"{self.folder}/mlruns/{experiment}/{run}/artifacts",
            experiment,
        )
        self.tag("colour", "red", run)
        return run

    def tag(self, key: object, value: object, run: str = RUN) -> None:
        text = "CAST(? AS TEXT)"
        self.sql(f"INSERT INTO tags VALUES ({text}, {text}, ?)", key, value, run)


class World:
    """This machine (`here`), a server (`far`), and pulls between them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.here, self.far = Side(folder / "here"), Side(folder / "far")
        self.base = folder / "here/.remote/targets/far.db"

    def delta(self, *statements: str, registry: bool = False) -> Path:
        """What the server sends; each statement changes it on its way."""
        file = self.folder / "delta.db"
        known = merge.pull_state(self.base, store=self.here.store)
        delta.write(self.far.store, file, known, registry=registry)
        with closing(sqlite3.connect(file)) as database, database:
            for statement in statements:
                database.execute(statement)
        return file

    def pull(self, *statements: str, registry: bool = False) -> merge.MergeSummary:
        return self.merge(self.delta(*statements, registry=registry))

    def push(self) -> None:
        """Give the run that is here to the server."""
        ownership.remember(self.base, schema.RUN, [RUN])
        self.far.run()

    def grow(self) -> None:
        """The run goes on there."""
        self.far.sql(
            "INSERT INTO metrics (key, value, timestamp, run_uuid, step, is_nan)"
            " VALUES ('acc', 0.99, 9, ?, 99, 0)",
            RUN,
        )
        self.far.tag("grown", "yes")

    def merge(self, file: Path, **more: Any) -> merge.MergeSummary:
        delta.refuse_strange(file)
        root, store = self.here.folder / "mlruns", self.here.store
        return merge.merge(
            file, store=store, artifact_root=root, base=self.base, source="far", **more
        )


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def text_of(side: Side) -> str:
    """All that is in a store; fails, as MLflow does, for bytes that are no UTF-8."""
    with closing(sqlite3.connect(side.store)) as database:
        return "\n".join(database.iterdump())


#: What MLflow can't read, and what is refused for it.
UNFIT = [
    ("UPDATE tags SET value = CAST(x'63ff' AS TEXT)", "tags"),
    ("UPDATE tags SET value = x'63ff'", "tags"),
    ("UPDATE tags SET value = x'636174'", "tags"),
    ("UPDATE tags SET value = CAST(x'6300ff' AS TEXT)", "tags"),
    ("UPDATE tags SET value = CAST(x'eda080' AS TEXT)", "tags"),
    ("UPDATE tags SET value = CAST(x'c0af' AS TEXT)", "tags"),
    ("UPDATE tags SET key = CAST(x'ff' AS TEXT)", "tags"),
    ("UPDATE tags SET key = x'6b'", "tags"),
    ("INSERT INTO params VALUES ('p', CAST(x'80' AS TEXT), '{run}')", "params"),
    ("INSERT INTO experiment_tags VALUES ('t', CAST(x'80' AS TEXT), 0)", "experiment_tags"),
    (
        "INSERT INTO datasets VALUES ('u', 0, 'n', 'd', 'local', CAST(x'80' AS TEXT), '', '')",
        "datasets",
    ),
    (
        "INSERT INTO metrics (key, value, timestamp, run_uuid, step, is_nan)"
        " VALUES (CAST(x'80' AS TEXT), 1, 1, '{run}', 1, 0)",
        "metrics",
    ),
    (
        "INSERT INTO metrics (key, value, timestamp, run_uuid, step, is_nan)"
        " VALUES ('m', 'high', 1, '{run}', 1, 0)",
        "metrics",
    ),
    ("UPDATE runs SET name = CAST(x'ff' AS TEXT)", "run"),
    ("UPDATE runs SET user_id = x'ff'", "run"),
    ("UPDATE runs SET start_time = 'yesterday'", "run"),
    ("UPDATE runs SET end_time = x'31'", "run"),
]


@pytest.mark.parametrize(("statement", "kind"), UNFIT)
def test_what_mlflow_cannot_read_is_refused_and_the_rest_is_merged(
    world: World, statement: str, kind: str
) -> None:
    world.far.run()
    world.far.run(OTHER)
    summary = world.pull(
        statement.format(run=RUN)
        + (f" WHERE run_uuid = '{RUN}'" if statement.startswith("UPDATE") else "")
    )
    (refusal,) = summary.refused
    assert refusal.kind == kind and "can't read" in refusal.reason
    assert (RUN if kind not in ("datasets", "experiment_tags") else "") in refusal.id
    text_of(world.here)
    runs = {run for (run,) in world.here.sql("SELECT run_uuid FROM runs")}
    assert runs == ({OTHER} if kind == "run" else {RUN, OTHER})


def test_an_experiment_whose_name_cannot_be_read_costs_no_other_record(world: World) -> None:
    world.far.run()
    world.far.sql(
        "INSERT INTO experiments (experiment_id, name, lifecycle_stage) VALUES (7, 'odd', 'active')"
    )
    summary = world.pull("UPDATE experiments SET name = x'ff' WHERE experiment_id = 7")
    assert [refusal.kind for refusal in summary.refused] == ["experiment"]
    assert summary.new_runs == 1


def test_a_server_with_an_unreadable_tag_can_be_pulled_from(world: World) -> None:
    world.far.run()
    world.far.tag("note", BAD)
    world.far.tag("café", "茶")
    summary = world.pull()
    assert [refusal.kind for refusal in summary.refused] == ["tags"]
    assert world.here.sql("SELECT key FROM tags ORDER BY key") == [("café",), ("colour",)]
    world.far.sql("UPDATE tags SET value = 'mended' WHERE key = 'note'")
    world.pull()
    assert world.here.sql("SELECT value FROM tags WHERE key = 'note'") == [("mended",)]


def test_what_an_earlier_version_merged_is_found_and_mended(world: World) -> None:
    from mlflow import MlflowClient

    world.here.run()
    world.here.tag("note", BAD)
    world.here.tag(b"k\xff", "value")
    world.here.sql("UPDATE tags SET value = x'626c6f62' WHERE key = 'colour'")
    world.here.sql("UPDATE runs SET end_time = 'soon'")
    assert world.pull().refused == ()
    findings = examine(world.here.store)
    assert [(finding.name, len(finding.items)) for finding in findings] == [
        ("unreadable values", 4)
    ]
    mend(world.here.store, findings)
    assert examine(world.here.store) == []
    (run,) = MlflowClient(f"sqlite:///{world.here.store}").search_runs(["0"])
    assert run.data.tags["note"] == "caf\\xe9 \\xff" and run.data.tags["colour"] == "blob"
    assert run.data.tags["k\\xff"] == "value" and run.info.end_time is None


@pytest.mark.parametrize("where", ["server", "delta"])
def test_gaps_between_row_numbers_take_no_time(world: World, where: str) -> None:
    run = world.far.run()
    row = f"VALUES (9223372036854775807, 'm', 1, 1, '{run}', 1, 0)"
    insert = "INSERT INTO metrics (rowid, key, value, timestamp, run_uuid, step, is_nan) " + row
    if where == "server":
        world.far.sql(insert)
    assert world.pull(*[insert] * (where == "delta")).metric_rows == 1


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("roots", "7"),
        ("roots", "null"),
        ("roots", '{"/": 1}'),
        ("roots", "[" * 100_000),
        ("places", '"mlruns"'),
        ("places", "[null]"),
        ("left_out", "true"),
        ("watermarks", "[1]"),
        ("since", "{}"),
        ("mark", "[]"),
        ("format", "nonsense"),
        ("anything", "{"),
    ],
)
def test_what_a_delta_says_of_itself_is_read_or_refused(world: World, key: str, value: str) -> None:
    world.far.run()
    before = text_of(world.here)
    with pytest.raises(StoreError, match="delta"):
        world.pull(f"INSERT OR REPLACE INTO meta VALUES ('{key}', '{value}')")
    assert text_of(world.here) == before


#: What a version of a registered model says of its place; {run} is the folder of a run's artifacts.
ASTRAY = [
    "{run}/%2e%2e/%2e%2e/%2e%2e/secret",
    "{run}/%252e%252e/%252E%252e/secret",
    "{run}/%2E%2e%2f%2E%2E%5csecret",
    "{run}/..%2f..%2fsecret",
    "{run}-x/..%2f..%2fsecret",
    "{run}/../../../secret",
    "{run}/..\\..\\secret",
    "{run}/\u2024\u2024/secret",
    "{run}/\uff0e\uff0e/secret",
    "{run}/m;/../../secret",
    "{run}/m?x=1",
    "{run}/m#x",
    "{run}/m\n/../..",
    "file://{run}/%252e%252e/%252e%252e/secret",
    "file://elsewhere{run}/m",
    "file:{run}/%25252e%25252e/secret",
    "FILE://{run}/%252e%252e/secret",
    "mlflow-artifacts:/0/{id}/artifacts/%252e%252e/secret",
    "/etc/passwd",
    "relative/path",
    "runs:/{id}/../../secret",
    "http://169.254.169.254/latest",
    "models:/../../etc",
    "models:/m/%2e%2e",
    "models:/%252e%252e/etc",
    "models:/m/../..",
    "models:/m/1/../../../etc",
    "models:/m\\..\\etc",
    "models:/..@x",
    "models:///etc",
    "Models:/../etc",
    "models:/m/1?x#y",
]


def version(world: World, source: str) -> merge.MergeSummary:
    """A pull of a model whose version says that it lies at `source`."""
    run = world.far.run()
    place = f"{world.far.folder}/mlruns/0/{run}/artifacts"
    text = source.replace("{run}", place).replace("{id}", run)
    world.far.sql("INSERT INTO registered_models (name) VALUES ('m')")
    world.far.sql(
        "INSERT INTO model_versions (name, version, creation_time, source, run_id, run_link)"
        " VALUES ('m', 1, 5, ?, ?, 'javascript:alert(1)')",
        text,
        run,
    )
    return world.pull(registry=True)


@pytest.mark.parametrize("source", ASTRAY)
def test_no_version_of_a_model_leads_out_of_its_artifacts(world: World, source: str) -> None:
    summary = version(world, source)
    assert world.here.sql("SELECT source FROM model_versions") == []
    assert [refusal.kind for refusal in summary.refused] == ["model version"]


@pytest.mark.parametrize(
    ("source", "local"),
    [
        ("{run}/my model", "{run}/my model"),
        ("file://{run}/my%20model", "{run}/my model"),
        ("{run}/モデル１", "{run}/モデル１"),
        ("{run}/100%", "{run}/100%"),
        ("models:/m-0123456789abcdef", "models:/m-0123456789abcdef"),
        ("models:/m/1", "models:/m/1"),
        ("models:/my model@best", "models:/my model@best"),
        ("s3://bucket/a b", "s3://bucket/a b"),
    ],
)
def test_a_version_that_stays_inside_comes(world: World, source: str, local: str) -> None:
    assert version(world, source).refused == ()
    place = f"{world.here.folder}/mlruns/0/{RUN}/artifacts"
    rows = world.here.sql("SELECT source, run_link FROM model_versions")
    assert rows == [(local.replace("{run}", place), None)]


def test_a_server_that_knows_the_id_of_a_run_changes_nothing_of_it(world: World) -> None:
    world.here.run()
    world.far.run()
    world.grow()
    before = text_of(world.here)
    for statement in ("SELECT 1", "UPDATE runs SET lifecycle_stage = 'deleted', deleted_time = 5"):
        world.far.sql(statement)
        world.far.tag("mlflow.parentRunId", OTHER) if "UPDATE" in statement else None
        summary = world.pull()
        (refusal,) = summary.refused
        assert (refusal.kind, refusal.id) == ("run", RUN) and "--theirs" in refusal.reason
        assert summary.artifacts == () and summary.run_ids == ()
    assert text_of(world.here) == before


#: Deltas in which names that differ are the same: ids that are here pass for ids of the server's.
ALIKE = {
    "entities": ["id COLLATE NOCASE", "UPDATE entities SET id = upper(id) WHERE kind = 'run'"],
    "tags": ["run_uuid TEXT COLLATE NOCASE", "UPDATE tags SET run_uuid = lower(run_uuid)"],
    "metrics": ["run_uuid TEXT COLLATE NOCASE", "UPDATE metrics SET run_uuid = lower(run_uuid)"],
}


@pytest.mark.parametrize("table", ALIKE)
def test_a_server_that_has_names_compare_its_own_way_changes_nothing(
    world: World, table: str
) -> None:
    world.here.run()
    world.far.run(RUN if table == "entities" else RUN.upper())
    world.far.sql(
        "INSERT INTO metrics (key, value, timestamp, run_uuid, step, is_nan)"
        " SELECT 'acc', 0.99, 9, run_uuid, 99, 0 FROM runs"
    )
    world.far.sql("INSERT INTO tags SELECT 'evil', 'yes', run_uuid FROM runs")
    before = text_of(world.here)
    column, change = ALIKE[table]
    with closing(sqlite3.connect(world.delta())) as database:
        columns = [row[1] for row in database.execute(f'PRAGMA table_info("{table}")')]
    kept = ", ".join(name for name in columns if name != column.split()[0])
    name = column.split()[0]
    with pytest.raises(StoreError, match=f"'{table}' in them is no plain table"):
        world.pull(
            f"ALTER TABLE {table} RENAME TO before",
            f"CREATE TABLE {table} ({kept}, {column})",
            f"INSERT INTO {table} ({kept}, {name}) SELECT {kept}, {name} FROM before",
            "DROP TABLE before",
            change,
        )
    assert text_of(world.here) == before


@pytest.mark.parametrize("kind", [schema.RUN, schema.MODEL, schema.TRACE])
def test_ids_that_differ_only_in_case_are_refused(world: World, kind: str) -> None:
    """On a Mac, the artifacts of both would be in one folder."""
    own = schema.KINDS[kind]
    rows = {
        schema.RUN: "INSERT INTO runs (run_uuid, experiment_id, status, lifecycle_stage, artifact_uri)"
        " VALUES (?1, 0, 'FINISHED', 'active', ?2 || '/mlruns/0/' || ?1 || '/artifacts')",
        schema.MODEL: "INSERT INTO logged_models (model_id, experiment_id, name, artifact_location,"
        " creation_timestamp_ms, last_updated_timestamp_ms, status, lifecycle_stage) VALUES"
        " (?1, 0, 'm', ?2 || '/mlruns/0/models/' || ?1 || '/artifacts', 1, 1, 2, 'active')",
        schema.TRACE: "INSERT INTO trace_info (request_id, experiment_id, timestamp_ms, status)"
        " VALUES (?1, length(?2) * 0, 1, 'OK')",
    }
    world.here.sql(rows[kind], "id-of-mine", str(world.here.folder))
    for name in ("id-of-mINE", "id-of-you", "ID-of-you", "id-of-YOU"):
        world.far.sql(rows[kind], name, str(world.far.folder))
    summary = world.pull()
    query = f"SELECT {own.column} FROM {own.table}"
    assert {row[0] for row in world.here.sql(query)} == {"id-of-mine", "id-of-you"}
    assert {record.id for record in summary.refused} == {"id-of-mINE", "ID-of-you", "id-of-YOU"}
    assert {record.reason for record in summary.refused} == {
        "another one's id differs from its only in case"
    }
    assert world.pull().refused == summary.refused


def test_what_is_taken_with_theirs_is_that_servers_from_then_on(world: World) -> None:
    world.here.run()
    world.far.run()
    world.grow()
    assert world.pull().refused
    taken = world.merge(world.delta(), theirs=True)
    assert taken.refused == () and [folder.local for folder in taken.artifacts]
    assert world.pull().refused == ()
    assert world.here.sql("SELECT count(*) FROM metrics") == [(1,)]


@pytest.mark.parametrize(
    "how", ["pulled before", "base lost", "given", "another store of the target"]
)
def test_what_came_from_a_server_or_went_there_grows(world: World, how: str) -> None:
    if how == "given":
        world.here.run()
        world.push()
    else:
        world.far.run()
        world.pull()
    if how == "base lost":
        for file in (world.base, bases.backup_of(world.base)):
            file.unlink()
    if how == "another store of the target":
        world.base = world.base.with_name("far.logs.db")
    world.grow()
    assert world.pull().refused == ()
    assert world.here.sql("SELECT value FROM tags WHERE key = 'grown'") == [("yes",)]
    assert world.here.sql("SELECT count(*) FROM metrics") == [(1,)]


def test_a_base_that_the_index_does_not_know_is_noted_once(world: World) -> None:
    """It is older than the index, or the index was lost."""
    index = world.base.with_name(ownership.INDEX)
    world.far.run()
    world.pull()
    index.unlink()
    world.far.tag("more", "yes")
    world.pull()
    noted = [("far", "base", "far.db"), ("far", "run", RUN)]
    with closing(sqlite3.connect(index)) as database:
        assert database.execute("SELECT * FROM owned ORDER BY kind").fetchall() == noted
        with database:
            database.execute("DELETE FROM owned WHERE kind = 'run'")
    world.far.run(OTHER)
    world.pull()
    with closing(sqlite3.connect(index)) as database:
        assert database.execute("SELECT kind, id FROM owned ORDER BY kind").fetchall() == [
            ("base", "far.db"),
            ("run", OTHER),
        ]


def test_what_the_index_could_not_take_is_noted_by_a_later_pull(world: World) -> None:
    index = world.base.with_name(ownership.INDEX)
    world.far.run()
    world.pull()
    with closing(sqlite3.connect(index)) as database:
        database.execute(
            "CREATE TRIGGER full BEFORE INSERT ON owned BEGIN SELECT RAISE(ABORT, 'full'); END"
        )
        world.far.run(OTHER)
        for _ in range(2):
            assert world.pull().refused == ()
        database.execute("DROP TRIGGER full")
    for _ in range(2):
        world.pull()
        with closing(sqlite3.connect(index)) as database:
            noted = database.execute("SELECT id FROM owned WHERE kind = 'run'").fetchall()
        assert sorted(noted) == sorted([(RUN,), (OTHER,)])
    for file in (world.base, bases.backup_of(world.base)):
        file.unlink()
    assert world.pull().refused == ()


def test_a_store_under_another_path_is_known_by_its_experiments(world: World) -> None:
    world.far.run()
    world.pull()
    world.base = world.base.with_name("moved.db")
    world.grow()
    assert world.pull().refused == ()


def test_what_came_from_one_server_is_not_anothers(world: World, tmp_path: Path) -> None:
    world.far.run()
    world.pull()
    world.far, world.base = Side(tmp_path / "other"), world.base.with_name("other.db")
    world.far.run()
    world.grow()
    assert [refusal.id for refusal in world.pull().refused] == [RUN]


def test_an_experiment_that_was_made_here_is_not_a_servers_to_bin(world: World) -> None:
    """Nor to rename, nor is a tag of it; what it adds comes, and it may change that."""
    for side, note in ((world.here, "mine"), (world.far, "theirs")):
        side.sql("INSERT INTO experiment_tags VALUES ('note', ?, 0)", note)
    world.far.run()
    (conflict,) = world.pull().conflicts
    assert (conflict.ours, conflict.theirs) == ("mine", "theirs")
    world.far.sql("UPDATE experiments SET lifecycle_stage = 'deleted'")
    world.far.sql("UPDATE experiment_tags SET value = 'worse'")
    world.far.sql("INSERT INTO experiment_tags VALUES ('added', 'a', 0)")
    assert {conflict.theirs for conflict in world.pull().conflicts} == {"deleted", "worse"}
    world.far.sql("UPDATE experiment_tags SET value = 'b' WHERE key = 'added'")
    world.far.sql("DELETE FROM experiment_tags WHERE key = 'note'")
    world.pull()
    tags = "SELECT key, value FROM experiment_tags ORDER BY key"
    assert world.here.sql(tags) == [("added", "b"), ("note", "mine")]
    assert world.here.sql("SELECT name, lifecycle_stage FROM experiments") == [
        ("Default", "active")
    ]
    world.far.sql("UPDATE experiments SET last_update_time = 5")
    world.merge(world.delta(), theirs=True)
    assert world.here.sql("SELECT lifecycle_stage FROM experiments") == [("active",)]


def test_a_registered_model_that_was_made_here_stays_as_it_is(world: World) -> None:
    for side in (world.here, world.far):
        side.sql(
            "INSERT INTO registered_models (name, description, creation_time) VALUES ('m', 'd', 1)"
        )
        side.sql("INSERT INTO registered_model_tags (key, value, name) VALUES ('k', 'v', 'm')")
    for change in ("SELECT 1", "UPDATE registered_models SET description = 'evil'"):
        world.far.sql(change)
        world.merge(world.delta(registry=True))
    world.far.sql("DELETE FROM registered_model_tags")
    world.merge(world.delta(registry=True))
    assert world.here.sql("SELECT description FROM registered_models") == [("d",)]
    assert world.here.sql("SELECT value FROM registered_model_tags") == [("v",)]
