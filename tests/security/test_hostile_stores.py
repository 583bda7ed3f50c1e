"""Stores and deltas of a server that means harm: nothing here becomes unreadable, or leads elsewhere."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from remote.errors import StoreError
from remote.tracking import delta, merge
from remote.tracking.check.examine import examine, mend
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

    def merge(self, file: Path, **more: Any) -> merge.MergeSummary:
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
