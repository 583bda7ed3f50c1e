"""Which runs `inv mlflow-push` gives, and all that goes with them, out of the project's store."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from remote.agent.replication.receive import REGISTRY, RUNS
from remote.errors import StoreError
from remote.tracking import delta
from remote.tracking.merge.apply import DELETED_THERE
from remote.tracking.merge.artifact_paths import artifacts_below, lies_elsewhere
from remote.tracking.schema import EXPERIMENT, MODEL, REGISTERED_MODEL, RUN, TRACE
from remote.tracking.store import connect_read_only, has_table, usable

PREFIX = 4
"""Characters that the beginning of a run's id must have to name it."""
_LISTED = 10
"""How many runs of one name are told, for one of them to be chosen."""
_ACTIVE = "lifecycle_stage = 'active'"
_OF_SELECTED = "(run_id IN run OR source IN (SELECT 'models:/' || id FROM model))"
"""The condition that a version of a registered model is one of the selected runs or models."""
_KINDS = (EXPERIMENT, RUN, MODEL, TRACE, REGISTERED_MODEL)
_WITH_RUNS = (
    (
        MODEL,
        f"SELECT model_id FROM logged_models WHERE {_ACTIVE} AND (source_run_id IN run"
        " OR model_id IN (SELECT destination_id FROM inputs WHERE source_id IN run))",
    ),
    (
        TRACE,
        "SELECT request_id FROM trace_request_metadata"
        " WHERE key = 'mlflow.sourceRun' AND value IN run",
    ),
)
"""What goes with the runs, of each kind: `run`, `model` and so on are the ids selected before."""
_OF_THOSE = (
    (EXPERIMENT, "SELECT experiment_id FROM runs WHERE run_uuid IN run"),
    (EXPERIMENT, "SELECT experiment_id FROM logged_models WHERE model_id IN model"),
    (EXPERIMENT, "SELECT experiment_id FROM trace_info WHERE request_id IN trace"),
    (REGISTERED_MODEL, f"SELECT name FROM model_versions WHERE {_OF_SELECTED}"),
)
"""What those need, or made, that really go: not what is left for its artifacts."""
_LOCATIONS = (
    (RUN, "SELECT run_uuid, artifact_uri FROM runs WHERE run_uuid IN run"),
    (MODEL, "SELECT model_id, artifact_location FROM logged_models WHERE model_id IN model"),
    (
        TRACE,
        "SELECT request_id, value FROM trace_tags WHERE key = 'mlflow.artifactLocation'"
        " AND request_id IN trace",
    ),
)


@dataclass(frozen=True)
class Selection:
    """What the user asked for; each of `words` is a run's id, its beginning, or its name."""

    words: tuple[str, ...] = ()
    experiment: str = ""
    traces: bool = False
    registry: bool = False


@dataclass(frozen=True)
class SelectedRuns:
    """`ids` are those of all that goes, by kind; of the runs, the named ones first.

    `folders` are the artifact folders, by id, relative to the project's root; `outside` says of what
    doesn't go where on this machine, outside of the project, its artifacts are. `model` is how code
    loads the first model of the first run.
    """

    ids: dict[str, list[str]]
    folders: dict[str, str]
    outside: dict[str, str]
    model: str


def resolve(store: Path, selection: Selection) -> tuple[str, ...]:
    """The ids of the runs that are selected; raises StoreError."""
    if not selection.words and not selection.experiment:
        raise StoreError(
            "No run is named.", "Name runs (id or name), or an experiment: --experiment NAME"
        )
    with _reading(store) as database:
        runs = [_run(database, word) for word in selection.words]
        if selection.experiment:
            query = "SELECT experiment_id FROM experiments WHERE name = ?"
            ids = _ids(database, query, selection.experiment)
            if not ids:
                every = _ids(database, f"SELECT name FROM experiments WHERE {_ACTIVE} LIMIT 10")
                raise StoreError(
                    f"There is no local experiment {selection.experiment!r}.",
                    f"The local experiments: {', '.join(every)}.",
                )
            query = f"SELECT run_uuid FROM runs WHERE experiment_id = ? AND {_ACTIVE}"
            found = _ids(database, f"{query} ORDER BY start_time", *ids)
            if not found:
                raise StoreError(
                    f"The experiment {selection.experiment!r} has no run.",
                    "Name another one, or runs by their id or name.",
                )
            runs += found
    return tuple(dict.fromkeys(runs))


def _run(database: sqlite3.Connection, word: str) -> str:
    if _ids(database, "SELECT run_uuid FROM runs WHERE run_uuid = ?", word):
        return word
    runs = _ids(
        database,
        f"SELECT run_uuid FROM runs WHERE {_ACTIVE} AND (name = ?1 OR run_uuid IN"
        " (SELECT run_uuid FROM tags WHERE key = 'mlflow.runName' AND value = ?1)"
        " OR length(?1) >= ?2 AND substr(run_uuid, 1, length(?1)) = ?1) ORDER BY start_time",
        word,
        PREFIX,
    )
    if len(runs) == 1:
        return runs[0]
    if runs:
        listed = "\n".join(_told(database, run) for run in runs[-_LISTED:])
        raise StoreError(
            f"{len(runs)} runs are called {word!r}. The newest:\n{listed}",
            f"Choose one by the beginning of its id: inv mlflow-push {runs[-1][:2 * PREFIX]}",
        )
    raise StoreError(
        f"No local run is called {word!r}.",
        f"It takes a run's id, the first {PREFIX} characters of it or more, or its name.",
    )


def _told(database: sqlite3.Connection, run: str) -> str:
    """A run on one line: its id, when it began, how it ended, and its parameters."""
    query = "SELECT start_time, status FROM runs WHERE run_uuid = ?"
    start, status = database.execute(query, (run,)).fetchone()
    query = "SELECT key || '=' || value FROM params WHERE run_uuid = ? ORDER BY key LIMIT 5"
    began = time.strftime("%Y-%m-%d %H:%M", time.localtime((start or 0) / 1000))
    return "  ".join([run, began, str(status), " ".join(_ids(database, query, run))[:80]]).rstrip()


def gather(store: Path, named: Sequence[str], selection: Selection, root: Path) -> SelectedRuns:
    """The named runs and what goes with them; raises StoreError for one that can't go."""
    with _reading(store) as database:
        _gather_runs(database, named)
        _add(database, _WITH_RUNS, selection)
        folders, outside = _locate(database, root)
        for run in outside.keys() & set(named):
            raise StoreError(
                f"The artifacts of run {run} aren't in this project's mlruns: {outside[run]}",
                "inv mlflow-check shows what can be done.",
            )
        _add(database, _OF_THOSE, selection)
        ids = {kind: _ids(database, f"SELECT id FROM {kind}") for kind in _KINDS}
        models = f"SELECT name FROM logged_models WHERE source_run_id = ? AND {_ACTIVE}"
        models += " ORDER BY creation_timestamp_ms"
        made = _ids(database, models, named[0]) if ids[MODEL] else []
    ids[RUN].sort(key=lambda run: run not in named)
    return SelectedRuns(ids, folders, outside, f"runs:/{named[0]}/{made[0]}" if made else "")


def _add(
    database: sqlite3.Connection, queries: Iterable[tuple[str, str]], selection: Selection
) -> None:
    is_asked = {TRACE: selection.traces, REGISTERED_MODEL: selection.registry}
    for kind, query in queries:
        if is_asked.get(kind, True) and _has_table(database, query):
            database.execute(f"INSERT OR IGNORE INTO {kind} {query}")


def _locate(database: sqlite3.Connection, root: Path) -> tuple[dict[str, str], dict[str, str]]:
    """`folders` and `outside` of SelectedRuns; what has its artifacts outside is selected no more."""
    folders, outside = {}, {}
    roots = delta.with_real_paths([str(root)])
    for kind, query in _LOCATIONS:
        rows = database.execute(query).fetchall() if _has_table(database, query) else ()
        for identity, location in rows:
            folder = artifacts_below(location, identity, roots=roots)
            if folder is not None:
                folders[identity] = folder
            elif not lies_elsewhere(location):
                outside[identity] = str(location)
                database.execute(f"DELETE FROM {kind} WHERE id = ?", (identity,))
    return folders, outside


def _has_table(database: sqlite3.Connection, query: str) -> bool:
    """Whether the store's MLflow is new enough for the table that is read."""
    return has_table(database, query.split(" FROM ")[1].split()[0])


def _gather_runs(database: sqlite3.Connection, named: Sequence[str]) -> None:
    """The named ones and all below them, but none that is deleted."""
    database.executemany("INSERT OR IGNORE INTO run VALUES (?)", [(run,) for run in named])
    database.execute(
        "INSERT OR IGNORE INTO run WITH RECURSIVE below (id) AS (SELECT id FROM run UNION"
        " SELECT t.run_uuid FROM tags t JOIN below b ON t.key = 'mlflow.parentRunId'"
        " AND t.value = b.id) SELECT id FROM below"
    )
    database.execute(f"DELETE FROM run WHERE id NOT IN (SELECT run_uuid FROM runs WHERE {_ACTIVE})")
    going = set(_ids(database, "SELECT id FROM run"))
    for run in named:
        if run not in going:
            raise StoreError(
                f"Run {run} is deleted locally.",
                f"Restore it first: mlflow runs restore --run-id {run}",
            )
    for name in _ids(
        database,
        f"SELECT name FROM experiments WHERE NOT {_ACTIVE} AND experiment_id IN"
        " (SELECT experiment_id FROM runs WHERE run_uuid IN run)",
    ):
        raise StoreError(
            f"The experiment {name!r} is deleted locally.",
            "Restore it first: mlflow experiments restore --experiment-id ID",
        )


def pack(store: Path, folder: Path, selected: SelectedRuns, root: Path) -> None:
    """Write the deltas of what is selected into `folder`; raises StoreError."""
    runs = dict(selected.ids)
    registered = {REGISTERED_MODEL: runs.pop(REGISTERED_MODEL)}
    for name, chosen in ((RUNS, runs), (REGISTRY, registered)):
        if not any(chosen.values()):
            continue
        file, is_registry = folder / name, name == REGISTRY
        delta.write(store, file, {}, roots=[str(root)], registry=is_registry, chosen=chosen)
        with closing(sqlite3.connect(file)) as database, database:
            # Only what was selected is anybody's business there.
            database.execute(
                "DELETE FROM experiments WHERE experiment_id NOT IN"
                f" (SELECT CAST(id AS INTEGER) FROM entities WHERE kind = '{EXPERIMENT}')"
            )
            database.execute("UPDATE meta SET value = '[]' WHERE key = 'left_out'")
            database.execute("DELETE FROM tags WHERE key = ?", (DELETED_THERE,))
            if is_registry:
                _id_tables(database, runs)
                database.execute(
                    f"DELETE FROM model_versions WHERE NOT coalesce({_OF_SELECTED}, 0)"
                )
                for table in ("model_version_tags", "registered_model_aliases"):
                    database.execute(
                        f"DELETE FROM {table} WHERE (name, version) NOT IN"
                        " (SELECT name, version FROM model_versions)"
                    )


@contextmanager
def _reading(store: Path) -> Iterator[sqlite3.Connection]:
    """The store, with an empty temporary table for the selected ids of each kind."""
    with usable(store), closing(connect_read_only(store)) as database:
        _id_tables(database, dict.fromkeys(_KINDS, ()))
        yield database


def _id_tables(database: sqlite3.Connection, ids: Mapping[str, Iterable[str]]) -> None:
    for kind in ids:
        database.execute(f"CREATE TEMP TABLE {kind} (id PRIMARY KEY) WITHOUT ROWID")
        rows = [(identity,) for identity in ids[kind]]
        database.executemany(f"INSERT INTO {kind} VALUES (?)", rows)


def _ids(database: sqlite3.Connection, query: str, *values: object) -> list[str]:
    return [str(row[0]) for row in database.execute(query, values)]
