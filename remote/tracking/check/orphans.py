"""Rows that name what isn't there any more.

MLflow's foreign keys are read from the store itself; `inputs`, `input_tags` and
`entity_associations` hold ids without one. A run, a model, a trace or a model version is never
deleted for what it lacks: its experiment (its registered model) is made again.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from dataclasses import dataclass
from typing import Iterator

from remote.output import plural
from remote.tracking import schema
from remote.tracking.check.finding import Change, Finding
from remote.tracking.check.project_dir import Place
from remote.tracking.check.table_info import columns, named, tables, values

NAME = "orphans"
STEP = 200_000
"""Rows read by one statement, after which a writer gets its turn."""
_THINGS = {kind.table for kind in schema.KINDS.values()} | {"model_versions"}
_PARENTS = ("experiments", "registered_models")


@dataclass(frozen=True)
class Link:
    """Columns of one table that name a row of another; `only` says for which rows they do."""

    child: str
    columns: tuple[str, ...]
    parent: str
    names: tuple[str, ...]
    only: str = ""
    clears: bool = False
    """MLflow empties the column where the parent goes."""

    @property
    def remakes(self) -> bool:
        """The parent is made again."""
        return not self.clears and self.child in _THINGS and self.parent in _PARENTS

    @property
    def orphaned(self) -> str:
        """The condition of a row `c` without its parent."""
        pairs = zip(self.names, self.columns)
        same = " AND ".join(f"p.{named(name)} = c.{named(column)}" for name, column in pairs)
        given = [f"c.{named(column)} IS NOT NULL" for column in self.columns]
        given += [self.only] if self.only else []
        parent = f"SELECT 1 FROM {named(self.parent)} p WHERE {same}"
        return f"{' AND '.join(given)} AND NOT EXISTS ({parent})"


def find(database: sqlite3.Connection, place: Place) -> list[Finding]:
    """One for each link with orphans."""
    found = {link: _orphans(database, link) for link in links(database)}
    remade = {(link.parent, ids) for link in found if link.remakes for ids in found[link]}
    for link in found:
        if not link.remakes:
            found[link] = Counter(
                {ids: n for ids, n in found[link].items() if (link.parent, ids) not in remade}
            )
    # What is made again comes first: its rows are no orphans then.
    order = sorted((link for link in found if found[link]), key=lambda link: not link.remakes)
    return [_finding(database, link, found[link], place) for link in order]


def links(database: sqlite3.Connection) -> Iterator[Link]:
    """All of a store's, foreign keys and others, as far as it has both ends."""
    have = set(tables(database))
    for link in (*_foreign_keys(database), *_typed_ends(), *_input_tags()):
        if link.child in have and link.parent in have:
            yield link


def _foreign_keys(database: sqlite3.Connection) -> Iterator[Link]:
    for table in tables(database):
        keys: dict[int, list[tuple[str, str, str, str]]] = {}
        rows = database.execute(f"PRAGMA foreign_key_list({named(table)})")
        for number, _, parent, column, name, _, on_delete, _ in rows:
            keys.setdefault(number, []).append((parent, column, name or column, on_delete))
        for parts in keys.values():
            parent, _, _, on_delete = parts[0]
            yield Link(
                table,
                tuple(column for _, column, _, _ in parts),
                parent,
                tuple(name for _, _, name, _ in parts),
                clears=on_delete == "SET NULL",
            )


def _typed_ends() -> Iterator[Link]:
    """The ends of a type that the table of types lacks are not judged."""
    for table, types in schema.ENDS.items():
        for end in ("source", "destination"):
            for written, kind in types.items():
                parent, column = _row_of(kind)
                only = f"c.{end}_type = '{written}'"
                yield Link(table, (f"{end}_id",), parent, (column,), only)


def _row_of(kind: str) -> tuple[str, str]:
    if kind == schema.DATASET:
        return "datasets", "dataset_uuid"
    return schema.KINDS[kind].table, schema.KINDS[kind].column


def _input_tags() -> Iterator[Link]:
    yield Link("input_tags", ("input_uuid",), "inputs", ("input_uuid",))


def _orphans(database: sqlite3.Connection, link: Link) -> Counter[tuple[object, ...]]:
    """How many rows name each parent that isn't there."""
    found: Counter[tuple[object, ...]] = Counter()
    ids = ", ".join(f"c.{named(column)}" for column in link.columns)
    child = named(link.child)
    last = database.execute(f"SELECT max(rowid) FROM {child}").fetchone()[0] or 0
    for start in range(0, last, STEP):
        rows = database.execute(
            f"SELECT {ids}, count(*) FROM {child} c WHERE c.rowid > ? AND c.rowid <= ?"
            f" AND {link.orphaned} GROUP BY {ids}",
            (start, start + STEP),
        )
        for *key, count in rows:
            found[tuple(key)] += count
    return found


def _finding(
    database: sqlite3.Connection,
    link: Link,
    found: Counter[tuple[object, ...]],
    place: Place,
) -> Finding:
    rows = plural(sum(found.values()), "row")
    told = f"{rows} of {link.child} without their {link.parent}"
    items = tuple("/".join(str(part) for part in key) for key in found)
    return Finding(NAME, told, items, changes=tuple(_changes(database, link, found, place)))


def _changes(
    database: sqlite3.Connection,
    link: Link,
    found: Counter[tuple[object, ...]],
    place: Place,
) -> Iterator[Change]:
    child = named(link.child)
    if link.remakes:
        for key in found:
            yield _remade(database, link, key, place)
    elif link.clears:
        empty = ", ".join(f"{named(column)} = NULL" for column in link.columns)
        where = f"rowid IN (SELECT c.rowid FROM {child} c WHERE {link.orphaned})"
        yield Change(f"UPDATE {child} SET {empty} WHERE {where}")
    else:
        where = f"rowid IN (SELECT c.rowid FROM {child} c WHERE {link.orphaned})"
        yield Change(f"DELETE FROM {child} WHERE {where}")


def _remade(
    database: sqlite3.Connection, link: Link, key: tuple[object, ...], place: Place
) -> Change:
    row = dict(zip(link.names, key))
    if link.parent == "experiments":
        row["name"] = _free_name(database, f"found again {key[0]}")
        row["artifact_location"] = f"{place.runs}/{key[0]}"
        row["lifecycle_stage"] = "active"
    row = {name: row[name] for name in row if name in columns(database, link.parent)}
    names = ", ".join(named(name) for name in row)
    marks = ", ".join("?" * len(row))
    # Several tables may miss the same parent.
    query = f"INSERT OR IGNORE INTO {named(link.parent)} ({names}) VALUES ({marks})"
    return Change(query, tuple(row.values()))


def _free_name(database: sqlite3.Connection, name: str) -> str:
    taken = values(database, "SELECT name FROM experiments")
    while name in taken:
        name += "'"
    return name
