"""Which of the delta's runs, models, traces … may come in, and where their artifacts go.

What hangs on others comes in only with all of them. Some things are named by two columns, a type
and an id, and no foreign key (schema.ENDS).
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from remote.errors import StoreError
from remote.tracking import schema
from remote.tracking.merge import artifact_paths as paths
from remote.tracking.merge.merge_session import MergeSession
from remote.tracking.merge.ownership import has_owner
from remote.tracking.unfit_values import unfit_rows

MAPS = {schema.EXPERIMENT: "temp.placement", schema.DATASET: "base.dataset_map"}
"""Where it says which of those (`theirs`) that have another id in each store are which (`ours`)."""


LABEL = 200
FEW = 10_000
"""Added rows of a delta: to look through them takes no longer than to look for some thousand runs."""
NOT_THEIRS = "it exists locally, and didn't come from there: --theirs takes it"
NO_TEXT = "no UTF-8 text, or no number"


class Incoming(NamedTuple):
    """A thing that is taken: its rows' signature, its local experiment, its folder.

    `artifacts` (here, there) is None where it has none, or where they can be had from here too.
    """

    id: str
    signature: str
    experiment: Optional[int] = None
    artifacts: Optional[Tuple[str, str]] = None


def refuse_unfit(session: MergeSession) -> None:
    """Takes out of the delta what MLflow couldn't read here: the thing whose own row it is, else
    the one row."""
    run = session.database.execute
    found = list(unfit_rows(session.database, "delta", "main"))
    for row in found:
        table, reason = row.table, f"MLflow can't read its {', '.join(row.columns)}"
        kind = schema.KINDS.get(table.owner)
        own = kind is not None and kind.table == table.name
        session.refuse(
            table.owner if own else table.name, row.label[:LABEL], f"{reason}: {NO_TEXT}"
        )
        if own:
            run(
                f'DELETE FROM temp.entities WHERE kind = ? AND id IN (SELECT "{table.owner_column}"'
                f' FROM delta."{table.name}" WHERE rowid = ?)',
                (table.owner, row.rowid),
            )
        run(f'DELETE FROM delta."{table.name}" WHERE rowid = ?', (row.rowid,))
    if found and any(unfit_rows(session.database, "delta", "main")):
        raise StoreError("The delta is damaged: several rows have one number.", "Pull again.")


def accept(session: MergeSession, kind: schema.Kind) -> List[Incoming]:
    """Those of one kind that may come in; the others are refused."""
    if kind.table not in session.shared:
        return []
    in_experiment = schema.EXPERIMENT in schema.table_of(kind.table).links.values()
    accepted, locations = [], _locations(session, kind)
    query = f"SELECT id FROM temp.foreign_thing WHERE kind = '{kind.name}'"
    foreign = set(session.ids(query))
    rows = _rows(session, kind)
    spelled = {row[0]: row[0] for row in rows if str(row[0]).lower() == row[0]}
    for identity, signature, experiment, pulled_before in rows:
        fetched = [place for place in locations[identity] if not paths.lies_elsewhere(place)]
        if kind.name == schema.RUN and not pulled_before:
            session.first_seen.add(identity)
        if not isinstance(identity, str) or not (kind.folder is None or paths.is_safe_id(identity)):
            session.refuse(kind.name, identity, "its id can't be part of a path")
        elif kind.folder is not None and _has_twin(session, kind, identity, spelled):
            session.refuse(kind.name, identity, "another one's id differs from its only in case")
        elif identity in foreign:
            session.refuse(kind.name, identity, NOT_THEIRS)
        elif in_experiment and experiment is None:
            # An experiment that was pulled and is gone for good here was deleted here.
            if pulled_before:
                accepted.append(Incoming(identity, signature))
            else:
                session.refuse(kind.name, identity, "its experiment doesn't exist locally")
        elif not fetched:
            accepted.append(Incoming(identity, signature, experiment))
        else:
            remote_folder, *others = (
                paths.artifacts_below(place, identity, session.roots, session.places)
                for place in fetched
            )
            if remote_folder is None or any(other != remote_folder for other in others):
                reason = f"its artifacts aren't in its project's mlruns: {fetched[-1]}"
                session.refuse(kind.name, identity, reason)
                continue
            local_folder = (
                f"{session.artifact_root.name}/{experiment}/{kind.folder}{identity}/artifacts"
            )
            accepted.append(
                Incoming(identity, signature, experiment, (local_folder, remote_folder))
            )
    return accepted


def _has_twin(
    session: MergeSession, kind: schema.Kind, identity: str, spelled: Dict[str, str]
) -> bool:
    """Whether another id, here or in the delta, is the same on a disk that tells no case: their
    artifacts would be. `spelled` are those of the delta by their lower case: those without capitals,
    as MLflow's own are, and then those that were asked for before.
    """
    lower = identity.lower()
    if spelled.setdefault(lower, identity) != identity:
        return True
    query = f'SELECT 1 FROM main."{kind.table}" WHERE "{kind.column}" = ?'
    return lower != identity and bool(session.database.execute(query, (lower,)).fetchone())


def _rows(session: MergeSession, kind: schema.Kind) -> List[Tuple[Any, ...]]:
    """(id, signature, local experiment, was it pulled before) of each in the delta."""
    table, key = schema.table_of(kind.table), kind.column
    experiment, more = "NULL", ""
    if schema.EXPERIMENT in table.links.values():
        experiment = "coalesce(o.experiment_id, p.ours)"
        more = (
            " LEFT JOIN temp.placement p ON p.theirs = d.experiment_id"
            f' LEFT JOIN main."{kind.table}" o ON o."{key}" = d."{key}"'
        )
        if kind.name == schema.RUN:
            # MLflow moves no run; the run of a job moves to the experiment that its program chooses,
            # and so it does here, unless it has moved here.
            moved = (
                "CASE WHEN b.experiment_id = o.experiment_id"
                " AND b.status IN ('RUNNING', 'SCHEDULED') AND EXISTS (SELECT 1 FROM delta.tags t"
                " WHERE t.run_uuid = d.run_uuid AND t.key = 'remote.job') THEN p.ours END"
            )
            experiment = f"coalesce({moved}, o.experiment_id, p.ours)"
            more += " LEFT JOIN base.runs b ON b.run_uuid = d.run_uuid"
    elif kind.name == schema.ASSOCIATION:
        more = f" WHERE {references_exist(table)}"
    return session.database.execute(
        f'SELECT d."{key}", e.signature, {experiment},'
        " EXISTS (SELECT 1 FROM base.entity b WHERE b.kind = e.kind AND b.id = e.id)"
        f' FROM delta."{kind.table}" d JOIN temp.entities e ON e.kind = ? AND e.id = d."{key}"'
        f"{more}",
        (kind.name,),
    ).fetchall()


def _locations(session: MergeSession, kind: schema.Kind) -> Dict[Any, List[Any]]:
    """Where the artifacts of each in the delta are on the target; nothing for one without."""
    locations: Dict[Any, List[Any]] = defaultdict(list)
    for table in session.tables(schema.rows_of(kind.name)):
        if kind.folder is None or not table.path:
            continue
        keys = ", ".join(f"'{key}'" for key in table.path_keys)
        for identity, location in session.database.execute(
            f'SELECT "{table.owner_column}", "{table.path}" FROM delta."{table.name}"'
            + (f" WHERE key IN ({keys}) ORDER BY key" if keys else "")
        ):
            locations[identity].append(location)
    return locations


def list_foreign(session: MergeSession) -> None:
    """Notes what of the delta is here and not its source's."""
    if session.owned is None:
        return
    for kind in schema.KINDS.values():
        if kind.table in session.shared and has_owner(kind.name):
            session.database.execute(
                f"INSERT OR IGNORE INTO temp.foreign_thing SELECT kind, id FROM temp.entities e"
                f" WHERE kind = '{kind.name}' AND EXISTS"
                f' (SELECT 1 FROM main."{kind.table}" o WHERE o."{kind.column}" = e.id)'
                " AND NOT EXISTS"
                " (SELECT 1 FROM base.entity b WHERE b.kind = e.kind AND b.id = e.id)"
            )
    if session.ids("SELECT 1 FROM temp.foreign_thing LIMIT 1"):
        query = "DELETE FROM temp.foreign_thing WHERE kind = ? AND id = ?"
        session.database.executemany(query, session.owned)


def list_present(session: MergeSession) -> None:
    """Notes what came from this target, now or before, and is here: of all that, or, where little
    is added, of what the delta names."""
    tables = session.tables([schema.table_of("entity_associations"), *schema.append_only()])
    added = sum(session.last_row(f'delta."{table.name}"') for table in tables)
    for kind in schema.KINDS.values():
        if kind.table in session.shared and kind.name != schema.EXPERIMENT:
            pulled = f"SELECT id FROM base.entity WHERE kind = '{kind.name}'"
            session.database.execute(
                f"INSERT OR IGNORE INTO temp.present SELECT '{kind.name}', id"
                f" FROM ({_named(tables, kind.name) if added <= FEW else pulled}) n WHERE EXISTS"
                f" (SELECT 1 FROM base.entity b WHERE b.kind = '{kind.name}' AND b.id = n.id)"
                f' AND EXISTS (SELECT 1 FROM main."{kind.table}" o WHERE o."{kind.column}" = n.id)'
            )


def _named(tables: Sequence[schema.Table], kind: str) -> str:
    """A query for the ids of one kind that rows of the delta's tables name; maybe for others, too."""
    columns = [
        (table.name, column)
        for table in tables
        for column in (
            ("source_id", "destination_id")
            if table.name in schema.ENDS
            else [name for name, of in table.references.items() if of == kind]
        )
    ]
    queries = [f'SELECT "{column}" AS id FROM delta."{table}"' for table, column in columns]
    return " UNION ".join(queries or ["SELECT NULL AS id"])


def references_exist(table: schema.Table) -> str:
    """The condition that all that a row `d` of the delta hangs on is here."""
    if table.name in schema.ENDS:
        # An end of a type that isn't in the table of types is nowhere here.
        ends = (
            " OR ".join(
                f"(d.{end}_type = '{name}' AND {_here(f'd.{end}_id', kind)})"
                for name, kind in schema.ENDS[table.name].items()
            )
            for end in ("source", "destination")
        )
        return " AND ".join(f"({end})" for end in ends)
    if table.name == "input_tags":
        return "d.input_uuid IN (SELECT input_uuid FROM main.inputs)"
    return " AND ".join(
        _here(f'd."{column}"', kind)
        for column, kind in table.references.items()
        if kind != schema.DATASET
    )


def _here(value: str, kind: str) -> str:
    if kind in MAPS:
        return f"{value} IN (SELECT theirs FROM {MAPS[kind]})"
    return f"{value} IN (SELECT id FROM temp.present WHERE kind = '{kind}')"


def place_versions(session: MergeSession) -> None:
    """Which versions of the registered models in the batch may come in, and where their files are
    here: fills temp.place and temp.excluded."""
    columns = session.shared.get("model_versions")
    if columns is None:
        return
    run = session.database.execute
    # Two models under one name and version: ours is kept, whole.
    clashes = run(
        "SELECT d.name, d.version FROM delta.model_versions d JOIN main.model_versions o"
        " ON o.name = d.name AND o.version = d.version"
        " WHERE d.name IN (SELECT id FROM temp.batch) AND (o.creation_time IS NOT d.creation_time"
        " OR o.run_id IS NOT d.run_id) AND NOT EXISTS (SELECT 1 FROM base.model_versions b"
        " WHERE b.name = d.name AND b.version = d.version)"
    ).fetchall()
    for name, version in clashes:
        _exclude(session, name, version, "another local model has this name and version")
    # MLflow keeps the row of a deleted version, without its content.
    run(
        "INSERT OR IGNORE INTO temp.excluded SELECT name, version FROM delta.model_versions"
        " WHERE current_stage = 'Deleted_Internal'"
    )
    sources = [name for name in schema.table_of("model_versions").sources if name in columns]
    rows = run(
        "SELECT name, version, " + ", ".join(sources) + " FROM delta.model_versions d"
        " WHERE name IN (SELECT id FROM temp.batch) AND NOT EXISTS"
        " (SELECT 1 FROM temp.excluded x WHERE x.name = d.name AND x.version = d.version)"
    ).fetchall()
    for name, version, *locations in rows:
        for path in locations:
            source = _local_source(session, path)
            if source is not None:
                run("INSERT OR IGNORE INTO temp.place VALUES (?, ?)", (path, source))
            elif path is not None:
                _exclude(session, name, version, f"its model doesn't exist locally: {path}")


def _exclude(session: MergeSession, name: object, version: object, reason: str) -> None:
    done = session.database.execute(
        "INSERT OR IGNORE INTO temp.excluded VALUES (?, ?)", (name, version)
    )
    if done.rowcount:
        session.refuse("model version", f"{name}/{version}", reason)


def _local_source(session: MergeSession, path: object) -> Optional[str]:
    """The local name of what a version says its files are; None where that isn't here."""
    if paths.lies_elsewhere(path):
        return str(path)
    if paths.model_version(path):
        return paths.model_version(path)
    relative = paths.path_below(path, session.roots, session.places)
    owner, _, rest = (relative or "").partition("/artifacts")
    kind = schema.KINDS[schema.MODEL if "/models/" in owner else schema.RUN]
    if relative is None or kind.table not in session.shared:
        return None
    column = schema.table_of(kind.table).path
    query = f'SELECT "{column}" FROM main."{kind.table}" WHERE "{kind.column}" = ?'
    row = session.database.execute(query, (owner.rsplit("/", 1)[-1],)).fetchone()
    return f"{row[0]}{rest}" if row and row[0] else None
