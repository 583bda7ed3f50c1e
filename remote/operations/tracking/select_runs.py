"""Which runs are meant, and all that goes with them: what `inv mlflow-push` takes from the store."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from remote.errors import StoreError
from remote.tracking import schema
from remote.tracking.merge.artifact_paths import artifacts_below, lies_elsewhere
from remote.tracking.store import connect_read_only, has_table, refuse_foreign, unusable, writing

PREFIX = 4
"""Characters that the beginning of a run's id must have to name it."""


@dataclass(frozen=True)
class Selection:
    """What the user asked for; each of `words` is a run's id, its beginning, or its name."""

    words: tuple[str, ...] = ()
    experiment: str = ""
    traces: bool = False
    registry: bool = False


@dataclass(frozen=True)
class SelectedRuns:
    """`ids` are those of all that goes, by kind.

    `folders` are the artifact folders, by id, relative to the project's root; `outside` says of what
    doesn't go where on this machine, outside of the project, its artifacts are.
    """

    ids: dict[str, list[str]]
    folders: dict[str, str]
    outside: dict[str, str]


def resolve(store: Path, selection: Selection) -> tuple[str, ...]:
    """The ids of the runs that are selected; raises StoreError."""
    if not selection.words and not selection.experiment:
        raise StoreError(
            "No run is named.", "Name runs (id or name), or an experiment: --experiment NAME"
        )
    with _reading(store) as database:
        runs = [_run(database, word) for word in selection.words]
        if selection.experiment:
            runs += _runs_of(database, selection.experiment)
    return tuple(dict.fromkeys(runs))


def _run(database: sqlite3.Connection, word: str) -> str:
    if database.execute("SELECT 1 FROM runs WHERE run_uuid = ?", (word,)).fetchone():
        return word
    runs = _ids(
        database,
        "SELECT run_uuid FROM runs WHERE lifecycle_stage = 'active' AND (name = ?1 OR run_uuid IN"
        " (SELECT run_uuid FROM tags WHERE key = 'mlflow.runName' AND value = ?1)"
        " OR length(?1) >= ?2 AND substr(run_uuid, 1, length(?1)) = ?1) ORDER BY start_time",
        word,
        PREFIX,
    )
    if len(runs) == 1:
        return runs[0]
    if runs:
        raise StoreError(
            f"{len(runs)} runs are called {word!r}.", f"Say which by its id: {', '.join(runs)}"
        )
    raise StoreError(
        f"No run here is called {word!r}.",
        f"It takes a run's id, the first {PREFIX} characters of it or more, or its name.",
    )


def _runs_of(database: sqlite3.Connection, experiment: str) -> list[str]:
    query = "SELECT experiment_id FROM experiments WHERE name = ?"
    row = database.execute(query, (experiment,)).fetchone()
    if row is None:
        raise StoreError(f"There is no experiment {experiment!r} here.")
    query = "SELECT run_uuid FROM runs WHERE experiment_id = ? AND lifecycle_stage = 'active'"
    runs = _ids(database, f"{query} ORDER BY start_time", row[0])
    if not runs:
        raise StoreError(f"The experiment {experiment!r} has no run.")
    return runs


def active(store: Path, named: Sequence[str]) -> list[str]:
    """The runs among the named ones and those below them that are not deleted."""
    with _reading(store) as database:
        _list_runs(database, named)
        return _ids(database, "SELECT run_uuid FROM runs WHERE run_uuid IN run")


def undelete(store: Path, runs: Iterable[str]) -> None:
    """Undo the deletion of runs."""
    with writing(store) as database:
        database.executemany(
            "UPDATE runs SET lifecycle_stage = 'active', deleted_time = NULL"
            " WHERE run_uuid = ? AND lifecycle_stage = 'deleted'",
            [(run,) for run in runs],
        )


def gather(store: Path, named: Sequence[str], selection: Selection, root: Path) -> SelectedRuns:
    """The named runs and what goes with them; raises StoreError for one that is deleted."""
    with _reading(store) as database:
        _list_runs(database, named)
        _refuse_deleted(database, named)
        _list_models(database)
        if selection.traces:
            _list(
                database,
                schema.TRACE,
                "SELECT request_id FROM trace_request_metadata"
                " WHERE key = 'mlflow.sourceRun' AND value IN run",
                needs="trace_request_metadata",
            )
        _list_experiments(database)
        if selection.registry:
            _list_registered(database)
        folders, outside = _folders(database, root)
        ids = {
            kind: [name for name in _ids(database, f"SELECT id FROM {kind}") if name not in outside]
            for kind in _KINDS
            if selection.registry or not schema.KINDS[kind].optional
        }
    ids[schema.RUN].sort(key=lambda run: run not in named)
    for run in outside.keys() & set(named):
        raise StoreError(
            f"The artifacts of run {run} aren't in this project's mlruns: {outside[run]}",
            "inv mlflow-check says what can be done.",
        )
    return SelectedRuns(ids, folders, outside)


_KINDS = (schema.EXPERIMENT, schema.RUN, schema.MODEL, schema.TRACE, schema.REGISTERED_MODEL)


@contextmanager
def _reading(store: Path) -> Iterator[sqlite3.Connection]:
    """The store, with an empty temporary table `<kind>` for the selected ids of each kind."""
    refuse_foreign(store)
    try:
        with closing(connect_read_only(store)) as database:
            for kind in _KINDS:
                database.execute(f"CREATE TEMP TABLE {kind} (id PRIMARY KEY) WITHOUT ROWID")
            yield database
    except sqlite3.Error as error:
        raise unusable(store, error) from error


def _ids(database: sqlite3.Connection, query: str, *values: object) -> list[str]:
    return [str(row[0]) for row in database.execute(query, values)]


def _list(database: sqlite3.Connection, kind: str, query: str, *, needs: str) -> None:
    """Select what the query finds, in a store whose MLflow is new enough for the table it needs."""
    if has_table(database, needs):
        database.execute(f"INSERT OR IGNORE INTO {kind} {query}")


def _list_runs(database: sqlite3.Connection, named: Sequence[str]) -> None:
    database.executemany("INSERT OR IGNORE INTO run VALUES (?)", [(run,) for run in named])
    database.execute(
        "INSERT OR IGNORE INTO run WITH RECURSIVE below (id) AS (SELECT id FROM run UNION"
        " SELECT t.run_uuid FROM tags t JOIN below b ON t.key = 'mlflow.parentRunId'"
        " AND t.value = b.id) SELECT id FROM below"
    )
    active_runs = "SELECT run_uuid FROM runs WHERE lifecycle_stage = 'active'"
    database.execute(f"DELETE FROM run WHERE id NOT IN ({active_runs})")


def _refuse_deleted(database: sqlite3.Connection, named: Sequence[str]) -> None:
    listed = set(_ids(database, "SELECT id FROM run"))
    for run in named:
        if run not in listed:
            raise StoreError(
                f"Run {run} is deleted here.",
                f"Restore it first: mlflow runs restore --run-id {run}",
            )
    row = database.execute(
        "SELECT name FROM experiments WHERE lifecycle_stage != 'active' AND experiment_id IN"
        " (SELECT experiment_id FROM runs WHERE run_uuid IN run)"
    ).fetchone()
    if row:
        raise StoreError(
            f"The experiment {row[0]!r} is deleted here.",
            "Restore it first: mlflow experiments restore --experiment-id ID",
        )


def _list_models(database: sqlite3.Connection) -> None:
    """Those that the runs made, and those that they took as input or name as output."""
    active = "SELECT model_id FROM logged_models WHERE lifecycle_stage = 'active'"
    _list(database, schema.MODEL, f"{active} AND source_run_id IN run", needs="logged_models")
    if has_table(database, "inputs"):
        ends = schema.ENDS["inputs"]
        of_run, of_model = (
            ", ".join(f"'{name}'" for name, kind in ends.items() if kind == wanted)
            for wanted in (schema.RUN, schema.MODEL)
        )
        linked = (
            f"SELECT destination_id FROM inputs WHERE source_type IN ({of_run})"
            f" AND destination_type IN ({of_model}) AND source_id IN run"
        )
        _list(database, schema.MODEL, f"{active} AND model_id IN ({linked})", needs="logged_models")


def _list_experiments(database: sqlite3.Connection) -> None:
    for kind in (schema.RUN, schema.MODEL, schema.TRACE):
        table, column = schema.KINDS[kind].table, schema.KINDS[kind].column
        query = f"SELECT experiment_id FROM {table} WHERE {column} IN {kind}"
        _list(database, schema.EXPERIMENT, query, needs=table)


def _list_registered(database: sqlite3.Connection) -> None:
    query = f"SELECT name FROM model_versions WHERE {OF_SELECTED}"
    _list(database, schema.REGISTERED_MODEL, query, needs="model_versions")


OF_SELECTED = "(run_id IN run OR source IN (SELECT 'models:/' || id FROM model))"
"""The condition that a version of a registered model is one of the selected runs or models."""


def _folders(database: sqlite3.Connection, root: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Where each of what is selected keeps its artifacts: in the project, and outside of it."""
    folders, outside = {}, {}
    roots = sorted({str(root.absolute()), str(root.resolve())}, key=len, reverse=True)
    for query in (
        "SELECT run_uuid, artifact_uri FROM runs WHERE run_uuid IN run",
        "SELECT model_id, artifact_location FROM logged_models WHERE model_id IN model",
        "SELECT request_id, value FROM trace_tags WHERE key = 'mlflow.artifactLocation'"
        " AND request_id IN trace",
    ):
        if not has_table(database, query.split(" FROM ")[1].split()[0]):
            continue
        for identity, location in database.execute(query):
            folder = artifacts_below(location, identity, roots=roots)
            if folder is not None:
                folders[identity] = folder
            elif not lies_elsewhere(location):
                outside[identity] = str(location)
    return folders, outside


def owner_of(store: Path, name: str, key: Sequence[object]) -> tuple[str, str]:
    """What the row with this key in table `name` belongs to: its kind and id."""
    table = schema.table_of(name)
    row = dict(zip(table.key, key))
    if table.owner_column in row:
        return table.owner, str(row[table.owner_column])
    where = " AND ".join(f'"{column}" = ?' for column in table.key)
    query = f'SELECT "{table.owner_column}" FROM "{table.name}" WHERE {where}'
    with _reading(store) as database:
        return table.owner, "".join(_ids(database, query, *key))


def model_uri(store: Path, run: str) -> str:
    """How code loads the model that a run made; empty where it made none."""
    with _reading(store) as database:
        if has_table(database, "logged_models"):
            query = (
                "SELECT name FROM logged_models WHERE source_run_id = ? AND lifecycle_stage ="
                " 'active' ORDER BY creation_timestamp_ms LIMIT 1"
            )
            for (name,) in database.execute(query, (run,)):
                return f"runs:/{run}/{name}"
        # As MLflow 2 wrote it.
        query = "SELECT value FROM tags WHERE key = 'mlflow.log-model.history' AND run_uuid = ?"
        for (history,) in database.execute(query, (run,)):
            with suppress(ValueError, LookupError, TypeError):
                return f"runs:/{run}/{json.loads(history)[0]['artifact_path']}"
    return ""
