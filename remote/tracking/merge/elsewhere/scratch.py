"""A store that is looked at through copies of its rows, in a temporary file of SQLite's own."""

from __future__ import annotations

import sqlite3
from collections import Counter
from contextlib import contextmanager
from typing import Iterable, Iterator, Sequence, Set, Tuple

from remote.tracking import schema
from remote.tracking.merge.elsewhere.shapes import same_json
from remote.tracking.merge.elsewhere.there import Row, There, amount, parts
from remote.tracking.merge.local_store import Ours

_CACHE_KIB = 32 * 1024
_KEYS = 1000
"""Keys that are looked for at once."""
_HARDLY_MORE = 3
"""To read so many times the rows is faster than to look for each."""
_ROWS = 100
"""Rows that are held at once."""


class Scratch(Ours):
    """Nothing is ever written to the store: what a dry run needs.

    What the merge did stays in `main`, so that its later parts find it.
    """

    copies: Tuple[str, ...] = ("main",)
    """The schemas that hold what was brought."""
    writes = False
    """The store follows what happens to `main`."""

    def __init__(self, there: There) -> None:
        super().__init__(sqlite3.connect("", uri=True, isolation_level=None))
        self.there = there
        self.whole: Set[str] = set()
        run = self.database.execute
        run(f"PRAGMA cache_size = -{_CACHE_KIB}")
        run("CREATE TEMP TABLE asked (id PRIMARY KEY) WITHOUT ROWID")
        self.database.create_function("same_json", 2, same_json)
        self._make_tables()
        # Which store this is can be asked at any time.
        self.bring_all("experiments")

    def begin(self) -> None:
        self.there.rest()
        self.database.execute("BEGIN")
        self.whole.clear()

    def commit(self) -> None:
        self.there.rest()
        self.database.execute("COMMIT")

    def rollback(self) -> None:
        self.there.rest()
        super().rollback()

    def bring(self, table: str, column: str, ids: Iterable[object], *, lock: bool = True) -> None:
        """A row that came into being after all were brought isn't seen: it would be mistaken."""
        if table not in self.there.tables or table in self.whole:
            return
        lock = lock and self.writes and self.database.in_transaction
        for part in parts(dict.fromkeys(ids), _KEYS):
            self._put(table, self.there.rows(table, column, part, lock=lock))

    def bring_all(self, table: str) -> None:
        if table in self.there.tables:
            lock = self.writes and self.database.in_transaction
            self._put(table, self.there.all_rows(table, lock=lock))
            self.whole.add(table)

    def bring_same(self, table: str, key: Iterable[str], query: str) -> None:
        """Of things that have no row there at all, no row is looked for: most are new.

        Of those that have hardly more than what is asked for, all rows are brought.
        """
        if table not in self.there.tables:
            return
        names, owner = tuple(key), schema.table_of(table).owner_column
        if owner not in names:
            self._put_same(table, names, self.database.execute(query))
            return
        place = names.index(owner)
        asked = Counter(row[place] for row in self.database.execute(query))
        for part in parts(asked, _KEYS):
            there = list(self.there.present(table, owner, part))
            enough = sum(asked[each] for each in there) * _HARDLY_MORE
            if there and self.there.count(table, owner, there) <= enough:
                self.bring(table, owner, there, lock=False)
            elif there:
                old, rows = set(there), self.database.execute(query)
                self._put_same(table, names, (row for row in rows if row[place] in old))

    def here(self, table: str, column: str, ids: str) -> str:
        run = self.database.execute
        run("DELETE FROM temp.asked")
        asked = [row[0] for row in run(ids)]
        for part in parts(asked, _KEYS):
            found = ((each,) for each in self.there.present(table, column, part))
            self.database.executemany("INSERT OR IGNORE INTO temp.asked VALUES (?)", found)
        return (
            f"SELECT id FROM ({ids}) WHERE id IN (SELECT id FROM temp.asked) OR id IN"
            f' (SELECT "{column}" FROM main."{table}")'
        )

    def close(self) -> None:
        super().close()
        self.there.close()

    def _make_tables(self) -> None:
        for statement in self.there.statements("main"):
            self.database.execute(statement)

    def _put_same(self, table: str, key: Sequence[str], asked: Iterable[Row]) -> None:
        for part in parts(asked, _KEYS):
            self._put(table, self.there.same_rows(table, key, part))

    def _put(self, table: str, rows: Iterator[Row]) -> None:
        """What is here already stays as it is."""
        columns = self.there.tables[table]
        with self._unnoticed():
            for part in parts(rows, amount(table, _ROWS)):
                self._keep(table, columns, part)
            for name, column in self.there.rewrites_json:
                if name == table:
                    self._known_text(schema.table_of(table), column)

    def _keep(self, table: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
        for copy in self.copies:
            self.database.executemany(_insert(copy, table, columns), rows)

    def _known_text(self, table: schema.Table, column: str) -> None:
        """JSON that the database wrote anew gets the text that it was pulled with."""
        run = self.database.execute
        attached = {row[1] for row in run("PRAGMA database_list")}
        for other in ("base", "delta"):
            has = f"SELECT 1 FROM {other}.sqlite_master WHERE type = 'table' AND name = ?"
            if other not in attached or not run(has, (table.name,)).fetchone():
                continue
            key = ", ".join(f'"{name}"' for name in table.key)
            run(f'CREATE INDEX IF NOT EXISTS {other}."key_{table.name}" ON "{table.name}" ({key})')
            for copy in self.copies:
                run(_text_as_known(table, column, copy, other))

    @contextmanager
    def _unnoticed(self) -> Iterator[None]:
        """The merge's triggers don't count what is only brought."""
        run = self.database.execute
        watched = run("SELECT 1 FROM sqlite_temp_master WHERE name = 'bringing'").fetchone()
        if watched:
            run("INSERT INTO temp.bringing VALUES (1)")
        try:
            yield
        finally:
            if watched:
                run("DELETE FROM temp.bringing")


def _text_as_known(table: schema.Table, column: str, copy: str, other: str) -> str:
    match = " AND ".join(f'x."{name}" = "{table.name}"."{name}"' for name in table.key)
    known = f'FROM {other}."{table.name}" x WHERE {match}'
    mine = f'"{table.name}"."{column}"'
    return (
        f'UPDATE {copy}."{table.name}" SET "{column}" = (SELECT x."{column}" {known})'
        f' WHERE EXISTS (SELECT 1 {known} AND x."{column}" IS NOT {mine}'
        f' AND same_json(x."{column}", {mine}))'
    )


def _insert(where: str, table: str, columns: Sequence[str]) -> str:
    names = ", ".join(f'"{column}"' for column in columns)
    marks = ", ".join("?" * len(columns))
    return f'INSERT OR IGNORE INTO {where}."{table}" ({names}) VALUES ({marks})'
