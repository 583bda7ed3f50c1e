"""Which of the delta's runs, models, traces … may come in, and where their artifacts go.

What hangs on others comes in only with all of them. Some things are named by two columns, a type
and an id, and no foreign key (schema.ENDS).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, List, Optional, Tuple

from remote.tracking import schema
from remote.tracking.merge.artifact_paths import artifacts_below, is_safe_id, lies_elsewhere
from remote.tracking.merge.merge_session import MergeSession
from remote.tracking.merge.summary import ArtifactFolder


@dataclass(frozen=True)
class Incoming:
    """A thing that is taken: its rows' signature, its local experiment, its folder there and here.

    `artifacts` is None for a kind that has none, or whose artifacts are in a store that can be
    reached from here too.
    """

    id: object
    signature: str
    experiment: Optional[int]
    artifacts: Optional[ArtifactFolder]


def accept(session: MergeSession, kind: schema.Kind) -> List[Incoming]:
    """Those of one kind that may come in; the others are refused."""
    if kind.table not in session.shared:
        return []
    found = (_accept(session, kind, *row) for row in _rows(session, kind))
    return [incoming for incoming in found if incoming is not None]


def _rows(session: MergeSession, kind: schema.Kind) -> List[Tuple[Any, ...]]:
    """(id, signature, location, local experiment, was it pulled before) of each in the delta."""
    key = kind.column
    experiment = "NULL"
    joined = ""
    if _has_experiment(kind):
        experiment = "coalesce(o.experiment_id, p.ours)"
        joined = (
            " LEFT JOIN temp.placement p ON p.theirs = d.experiment_id"
            f' LEFT JOIN main."{kind.table}" o ON o."{key}" = d."{key}"'
        )
    return session.database.execute(
        f'SELECT d."{key}", e.signature, {_location(session, kind)}, {experiment},'
        " EXISTS (SELECT 1 FROM base.entity b WHERE b.kind = e.kind AND b.id = e.id)"
        f' FROM delta."{kind.table}" d JOIN delta.entities e ON e.kind = ? AND e.id = d."{key}"'
        + joined,
        (kind.name,),
    ).fetchall()


def _has_experiment(kind: schema.Kind) -> bool:
    return schema.EXPERIMENT in schema.table_of(kind.table).links.values()


def _location(session: MergeSession, kind: schema.Kind) -> str:
    """The SQL of where the artifacts are on the target."""
    for table in session.tables(schema.rows_of(kind.name)):
        if table.path and not table.path_keys:
            return f'd."{table.path}"'
        if table.path:
            keys = ", ".join(f"'{key}'" for key in table.path_keys)
            return (
                f'(SELECT t."{table.path}" FROM delta."{table.name}" t WHERE t.key IN ({keys})'
                f' AND t."{table.owner_column}" = d."{kind.column}")'
            )
    return "NULL"


def _accept(
    session: MergeSession,
    kind: schema.Kind,
    identity: object,
    signature: str,
    location: object,
    experiment: Optional[int],
    pulled_before: int,
) -> Optional[Incoming]:
    if not isinstance(identity, str) or (kind.folder is not None and not is_safe_id(identity)):
        session.refuse(kind.name, identity, "its id can't be part of a path")
        return None
    if _has_experiment(kind) and experiment is None:
        # An experiment that was pulled and is gone for good here was deleted here.
        if not pulled_before:
            session.refuse(kind.name, identity, "its experiment isn't here")
            return None
        return Incoming(identity, signature, None, None)
    if kind.folder is None or location is None and kind.name == schema.TRACE:
        return Incoming(identity, signature, experiment, None)
    if lies_elsewhere(location):
        return Incoming(identity, signature, experiment, None)
    remote = artifacts_below(location, identity, roots=session.roots, places=session.places)
    if remote is None:
        reason = f"its artifacts aren't in its project's mlruns: {location}"
        session.refuse(kind.name, identity, reason)
        return None
    local = f"{session.artifact_root.name}/{experiment}/{kind.folder}{identity}/artifacts"
    return Incoming(identity, signature, experiment, ArtifactFolder(remote, local))


def list_present(session: MergeSession) -> None:
    """Notes all that came from this target, now or before, and is here."""
    for kind in schema.KINDS.values():
        if kind.table not in session.shared or kind.name == schema.EXPERIMENT:
            continue
        known = f"SELECT id FROM base.entity WHERE kind = '{kind.name}'"
        here = f'SELECT 1 FROM main."{kind.table}" o WHERE o."{kind.column}" = e.id'
        session.database.execute(
            f"INSERT OR IGNORE INTO temp.present SELECT '{kind.name}', id FROM ({known}) e"
            f" WHERE EXISTS ({here})"
        )


def references_exist(table: schema.Table) -> str:
    """The condition that all that a row `d` of the delta hangs on is here."""
    if table.name in schema.ENDS:
        return f"{_end_exists(table, 'source')} AND {_end_exists(table, 'destination')}"
    if table.name == "input_tags":
        return "d.input_uuid IN (SELECT input_uuid FROM main.inputs)"
    links = {table.owner_column: table.owner, **table.links}
    each = [
        _here(f'd."{column}"', kind) for column, kind in links.items() if kind != schema.DATASET
    ]
    return " AND ".join(each)


def _end_exists(table: schema.Table, end: str) -> str:
    """An end of a type that isn't in the table of types is nowhere here."""
    each: List[str] = [
        f"(d.{end}_type = '{name}' AND {_here(f'd.{end}_id', kind)})"
        for name, kind in schema.ENDS[table.name].items()
    ]
    return f"({' OR '.join(each)})"


def _here(value: str, kind: str) -> str:
    if kind == schema.EXPERIMENT:
        return f"{value} IN (SELECT theirs FROM temp.placement)"
    if kind == schema.DATASET:
        return f"{value} IN (SELECT theirs FROM base.dataset_map)"
    return f"{value} IN (SELECT id FROM temp.present WHERE kind = '{kind}')"
