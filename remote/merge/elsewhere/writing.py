"""Does in another database what the merge did in `main`."""

from __future__ import annotations

import sqlite3
from typing import Any, Dict, Iterator, List, Mapping, Sequence, Set, Tuple

from remote.host import schema
from remote.merge.elsewhere.database import Database, Judge
from remote.merge.elsewhere.scratch import Row, parts
from remote.merge.elsewhere.shapes import Shape
from remote.merge.ours import Unfit
from remote.merge.summary import Refusal

_ROWS = 2000
"""Rows that are written at once."""

Values = Dict[str, object]


class Elsewhere(Judge):
    """`was` has the rows as they were brought; where `main` differs, the database follows."""

    copies = ("main", "was")
    writes = True

    def _make_tables(self) -> None:
        self.database.execute("ATTACH '' AS was")
        for where in self.copies:
            for statement in self.there.statements(where):
                self.database.execute(statement)

    def begin(self) -> None:
        super().begin()
        with self._unnoticed():
            for where in self.copies:
                for name in self.there.tables:
                    self.database.execute(f'DELETE FROM {where}."{name}"')

    def commit(self) -> None:
        """The database first: a base that lags behind is repaired by the next pull."""
        changes = _Changes(self.database)
        write = _Write(self.there, self.refused)
        names = [name for name in self.there.tables if changes.touched(name)]
        for name in reversed(names):
            write.delete(self.there.shapes[name], changes.gone(self.there.shapes[name]))
        for name in names:
            write.update(self.there.shapes[name], changes.changed(self.there.shapes[name]))
            write.stop_if_unfit()
        for name in names:
            write.insert(self.there.shapes[name], changes.new(self.there.shapes[name]))
            write.stop_if_unfit()
        with self.there.connection.told():
            self.there.connection.made.commit()
        self.database.execute("COMMIT")


class _Changes:
    """How `main` differs from `was`."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self.database = database

    def touched(self, table: str) -> bool:
        query = (
            f'SELECT EXISTS (SELECT 1 FROM main."{table}") OR EXISTS (SELECT 1 FROM was."{table}")'
        )
        return bool(self.database.execute(query).fetchone()[0])

    def gone(self, shape: Shape) -> Iterator[Values]:
        query = f'SELECT {_names(shape.key)} FROM was."{shape.name}" a WHERE NOT EXISTS'
        return self._read(shape.key, f"{query} {_same(shape, 'main')}")

    def new(self, shape: Shape) -> Iterator[Values]:
        columns = tuple(shape.columns)
        query = f'SELECT {_names(columns)} FROM main."{shape.name}" a WHERE NOT EXISTS'
        return self._read(columns, f"{query} {_same(shape, 'was')} ORDER BY rowid")

    def changed(self, shape: Shape) -> Iterator[Tuple[Values, Values]]:
        """(the old row, the new values of the columns that differ), in the order of their making."""
        columns = tuple(shape.columns)
        both = f"{_names(columns, 'b')}, {_names(columns, 'a')}"
        differ = " OR ".join(f'a."{name}" IS NOT b."{name}"' for name in columns)
        on = " AND ".join(f'a."{name}" = b."{name}"' for name in shape.key)
        query = (
            f'SELECT {both} FROM main."{shape.name}" a JOIN was."{shape.name}" b ON {on}'
            f" WHERE {differ} ORDER BY a.rowid"
        )
        for row in self.database.execute(query):
            old, new = dict(zip(columns, row)), dict(zip(columns, row[len(columns) :]))
            yield old, {name: new[name] for name in columns if new[name] != old[name]}

    def _read(self, columns: Sequence[str], query: str) -> Iterator[Values]:
        return (dict(zip(columns, row)) for row in self.database.execute(query))


class _Write:
    """Executes; nothing of it counts before the commit."""

    def __init__(self, there: Database, refused: List[Refusal]) -> None:
        self.there, self.refused = there, refused
        self.sa, self.made = there.connection.sa, there.connection.made
        self.unfit: Dict[Tuple[str, object], str] = {}

    def delete(self, shape: Shape, rows: Iterator[Values]) -> None:
        table = self.there.made[shape.name]
        query = self.sa.delete(table).where(*self._key(shape))
        for part in parts(rows, _ROWS):
            with self.there.connection.told():
                self.made.execute(query, [_bound(shape, row) for row in part])

    def update(self, shape: Shape, rows: Iterator[Tuple[Values, Values]]) -> None:
        """One after the other, as a name may pass from one row to the next."""
        table = self.there.made[shape.name]
        for old, values in rows:
            new = {table.c[name]: value for name, value in values.items()}
            query = self.sa.update(table).where(*self._key(shape)).values(new)
            self._try(shape, query, [old], [_bound(shape, old)])

    def insert(self, shape: Shape, rows: Iterator[Values]) -> None:
        if shape.name == "experiments":
            rows = iter(self._leave_numbers(list(rows)))
        for part in parts(rows, _ROWS):
            for row in part:
                for name in shape.defaulted:
                    if row[name] is None:
                        del row[name]
            for given in dict.fromkeys(tuple(row) for row in part):
                self._insert_same(shape, [row for row in part if tuple(row) == given])

    def _insert_same(self, shape: Shape, rows: List[Values]) -> None:
        """Rows with values in the same columns. One that is there already is left alone."""
        query = self._insertion(shape)
        done = self._try(shape, query, rows, rows)
        if self.there.folds and done < len(rows):
            self._tell_lost(shape, rows)

    def _insertion(self, shape: Shape) -> Any:
        table = self.there.made[shape.name]
        if shape.name == "experiments":
            # Its number may just have been given to another.
            return self.sa.insert(table)
        if self.there.connection.is_mysql:
            from sqlalchemy.dialects.mysql import insert as mysql_insert

            first = table.c[shape.key[0]]
            return mysql_insert(table).on_duplicate_key_update({first.name: first})
        from sqlalchemy.dialects.postgresql import insert

        return insert(table).on_conflict_do_nothing()

    def _try(self, shape: Shape, query: Any, rows: List[Values], bound: List[Values]) -> int:
        """Executes for all rows, but for those that the database refuses. How many it took."""
        connection = self.there.connection
        try:
            with self.made.begin_nested():
                return int(self.made.execute(query, bound).rowcount)
        except (self.sa.exc.SQLAlchemyError, ValueError) as error:
            if not isinstance(error, ValueError) and not connection.is_refusal(error):
                raise connection.error(error) from None
            if len(rows) == 1:
                self._refuse(shape, rows[0], connection.reason(error))
                return 1
        half = len(rows) // 2
        done = self._try(shape, query, rows[:half], bound[:half])
        return done + self._try(shape, query, rows[half:], bound[half:])

    def _refuse(self, shape: Shape, row: Values, reason: str) -> None:
        """A thing with such a row is left out as a whole; a measurement alone."""
        table = schema.table_of(shape.name)
        told = f"{shape.name}: {reason}"
        if table.rule == schema.APPEND:
            self._tell(shape, row, told)
        else:
            self.unfit[table.owner, row[table.owner_column]] = told

    def stop_if_unfit(self) -> None:
        if self.unfit:
            raise Unfit(self.unfit)

    def _tell(self, shape: Shape, row: Mapping[str, object], reason: str) -> None:
        key = "/".join(str(row.get(name)) for name in schema.table_of(shape.name).key)
        self.refused.append(Refusal(shape.name, key, reason))

    def _tell_lost(self, shape: Shape, rows: List[Values]) -> None:
        """MySQL takes some keys for the same that aren't: `Loss` and `loss`."""
        for part in parts(rows, 500):
            names = [name for name in shape.key if name in part[0]]
            keys = [tuple(row[name] for name in names) for row in part]
            there = self._keys_there(shape, names, keys)
            for row, key in zip(part, keys):
                if key not in there:
                    self._tell(shape, row, "the database takes its key for that of another")

    def _keys_there(
        self, shape: Shape, names: Sequence[str], keys: Sequence[Row]
    ) -> Set[Tuple[object, ...]]:
        places = [self.there.tables[shape.name].index(name) for name in names]
        found = self.there.same_rows(shape.name, names, keys)
        return {tuple(row[place] for place in places) for row in found}

    def _key(self, shape: Shape) -> List[Any]:
        table = self.there.made[shape.name]
        bind = self.sa.bindparam
        return [
            table.c[name] == bind(f"key_{name}", type_=table.c[name].type) for name in shape.key
        ]

    def _leave_numbers(self, rows: List[Values]) -> List[Values]:
        """PostgreSQL counts on its own: MLflow's next experiment must get a number after ours."""
        numbers = [int(str(row["experiment_id"])) for row in rows]
        if not self.there.connection.is_mysql and numbers:
            move = self.sa.text(
                "SELECT setval(s, greatest(:last, coalesce(pg_sequence_last_value(s), 1)))"
                " FROM (SELECT pg_get_serial_sequence('experiments', 'experiment_id')"
                "::regclass AS s) q WHERE s IS NOT NULL"
            )
            with self.there.connection.told():
                self.made.execute(move, {"last": max(numbers)})
        return rows


def _bound(shape: Shape, row: Mapping[str, object]) -> Values:
    return {f"key_{name}": row[name] for name in shape.key}


def _names(columns: Sequence[str], row: str = "a") -> str:
    return ", ".join(f'{row}."{column}"' for column in columns)


def _same(shape: Shape, other: str) -> str:
    on = " AND ".join(f'b."{name}" = a."{name}"' for name in shape.key)
    return f'(SELECT 1 FROM {other}."{shape.name}" b WHERE {on})'
