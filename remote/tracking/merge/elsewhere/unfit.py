"""Refuses what the store has no room for, before anything of it is merged.

A thing (run, trace …) with such a row is left out as a whole, and sent again at each pull. An
experiment can't be left out like this, as its runs need it: the row stays as it was pulled last, and
only one that isn't here yet is left out, with its runs.
"""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from typing import Dict, Iterator, Mapping, Set

from remote.tracking import schema
from remote.tracking.merge.merge_session import Session
from remote.tracking.merge.merge_sql import staged


def leave_out(session: Session, kind: str) -> Set[object]:
    """The things of the batch that were refused."""
    found = _refused_there(session, kind)
    for table in session.tables(schema.rows_of(kind)):
        for row, reason in _problems(session, table):
            if kind == schema.EXPERIMENT:
                _keep_as_pulled(session, table, row)
            found.setdefault(row[table.owner_column], reason)
    if kind == schema.REGISTERED_MODEL and not session.ours.exact:
        _find_taken_names(session, found)
    for identity, reason in found.items():
        session.refuse(kind, identity, reason)
        if kind == schema.EXPERIMENT:
            _leave_experiment(session, identity)
        else:
            _drop(session, kind, identity)
    return set(found)


def _refused_there(session: Session, kind: str) -> Dict[object, str]:
    """What the database itself refused before."""
    if not session.unfit:
        return {}
    batch = set(session.ids("SELECT id FROM temp.batch"))
    found = {
        identity: reason
        for (owner, identity), reason in session.unfit.items()
        if owner == kind and identity in batch
    }
    if kind == schema.EXPERIMENT:
        for table in session.tables(schema.rows_of(kind)):
            for row in _rows(session, table):
                if row[table.owner_column] in found:
                    _keep_as_pulled(session, table, row)
    return found


def _problems(session: Session, table: schema.Table) -> "list[tuple[Mapping[str, object], str]]":
    problem = session.ours.problem(table.name)
    if problem is None:
        return []
    found = ((row, problem(row)) for row in _rows(session, table))
    return [(row, reason) for row, reason in found if reason is not None]


def _rows(session: Session, table: schema.Table) -> Iterator[Mapping[str, object]]:
    columns = session.shared[table.name]
    names = ", ".join(f'"{column}"' for column in columns)
    with _any_text(session.database):
        for row in session.database.execute(f"SELECT {names} FROM {staged(table)}"):
            yield dict(zip(columns, row))


@contextmanager
def _any_text(database: sqlite3.Connection) -> Iterator[None]:
    """Even what isn't UTF-8 can be read, to be refused."""
    factory = database.text_factory
    database.text_factory = lambda octets: octets.decode("utf-8", "surrogateescape")
    try:
        yield
    finally:
        database.text_factory = factory


def _drop(session: Session, kind: str, identity: object) -> None:
    session.database.execute("DELETE FROM temp.batch WHERE id = ?", (identity,))
    for table in session.tables(schema.rows_of(kind)):
        session.database.execute(
            f'DELETE FROM {staged(table)} WHERE "{table.owner_column}" = ?', (identity,)
        )


def _keep_as_pulled(session: Session, table: schema.Table, row: Mapping[str, object]) -> None:
    names = ", ".join(f'"{column}"' for column in session.shared[table.name])
    match = " AND ".join(f'"{column}" = ?' for column in table.key)
    key = [row[column] for column in table.key]
    session.database.execute(f"DELETE FROM {staged(table)} WHERE {match}", key)
    session.database.execute(
        f'INSERT INTO {staged(table)} ({names}) SELECT {names} FROM base."{table.name}"'
        f" WHERE {match}",
        key,
    )


def _leave_experiment(session: Session, identity: object) -> None:
    run = session.database.execute
    theirs = "(SELECT theirs FROM temp.placement WHERE ours = ?)"
    # Without a signature of it, it is sent and told again.
    run(f"DELETE FROM base.entity WHERE kind = 'experiment' AND id = {theirs}", (identity,))
    here = "SELECT 1 FROM main.experiments WHERE experiment_id = ?"
    if run(here, (identity,)).fetchone() is None:
        _drop(session, schema.EXPERIMENT, identity)
        run("DELETE FROM base.experiment_map WHERE ours = ?", (identity,))
        run("DELETE FROM temp.placement WHERE ours = ?", (identity,))


def _find_taken_names(session: Session, found: Dict[object, str]) -> None:
    """Models whose name the store takes for that of another."""
    same = session.ours.same_name
    taken = {
        same(str(name)): name for name in session.ids("SELECT name FROM main.registered_models")
    }
    for name in session.ids("SELECT id FROM temp.batch"):
        holder = taken.setdefault(same(str(name)), name)
        if holder != name:
            found.setdefault(name, f"the database takes its name for that of {holder}")
