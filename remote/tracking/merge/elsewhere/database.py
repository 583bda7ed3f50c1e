"""PostgreSQL, MySQL or MariaDB, read through SQLAlchemy (which is imported only here)."""

from __future__ import annotations

import unicodedata
from typing import Any, Dict, Iterator, List, Sequence, Tuple

from remote.errors import StoreError
from remote.tracking import schema
from remote.tracking.merge.elsewhere.arrays import unnested
from remote.tracking.merge.elsewhere.connect import Connection
from remote.tracking.merge.elsewhere.rooms import room_of
from remote.tracking.merge.elsewhere.scratch import Scratch
from remote.tracking.merge.elsewhere.shapes import Shape
from remote.tracking.merge.elsewhere.there import Row, There, amount
from remote.tracking.merge.local_store import Ours, Problem

_NEEDED = ("alembic_version", "experiments", "runs", "tags", "params", "metrics")
_ROWS = 500
"""Rows that the driver holds at once."""


class Database(There):
    """Rows come as SQLite would give them."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        with connection.told():
            self._look()
        self.tables = {name: list(shape.columns) for name, shape in self.shapes.items()}

    def _look(self) -> None:
        sa, made = self.connection.sa, self.connection.made
        there = set(sa.inspect(made).get_table_names())
        if not there.issuperset(_NEEDED):
            raise StoreError(
                f"{self.connection.name} has no MLflow tables.",
                f"mlflow db upgrade '{self.connection.name}'",
            )
        wanted = [table.name for table in schema.TABLES if table.name in there]
        metadata = sa.MetaData()
        metadata.reflect(made, only=wanted, resolve_fks=False)
        self.made: Dict[str, Any] = {name: metadata.tables[name] for name in wanted}
        codecs = self._codecs()
        self.shapes: Dict[str, Shape] = {}
        rewritten: List[Tuple[str, str]] = []
        for name, table in self.made.items():
            shape, json = _shape(self.connection, table, codecs)
            self.shapes[name] = shape
            rewritten += [(name, column) for column in json]
        # MySQL keeps JSON in a form of its own; PostgreSQL's `json` is the text itself.
        self.rewrites_json = tuple(rewritten) if self.connection.is_mysql else ()
        self.folds = self.connection.is_mysql
        self.rest()

    def _codecs(self) -> Dict[Tuple[str, str], str]:
        """The character set of each column, as the database calls it; ("", "") is all others'."""
        made = self.connection.made
        if not self.connection.is_mysql:
            return {("", ""): made.exec_driver_sql("SHOW server_encoding").scalar()}
        found = made.exec_driver_sql(
            "SELECT table_name, column_name, character_set_name FROM information_schema.columns"
            " WHERE table_schema = database() AND character_set_name IS NOT NULL"
        )
        return {(table, column): codec for table, column, codec in found}

    def statements(self, where: str) -> Iterator[str]:
        for shape in self.shapes.values():
            yield shape.statement(where)

    def rows(self, table: str, column: str, ids: Sequence[object], *, lock: bool) -> Iterator[Row]:
        made = self.made[table]
        room = self.shapes[table].columns[column]
        sound = [each for each in ids if room.may_hold(each)]
        query = self._select(table).where(made.c[column].in_(sound))
        if lock and schema.table_of(table).rule != schema.APPEND:
            query = _locked(query)
        return self._read(table, query) if sound else iter(())

    def all_rows(self, table: str, *, lock: bool) -> Iterator[Row]:
        query = self._select(table)
        return self._read(table, _locked(query) if lock else query)

    def same_rows(self, table: str, key: Sequence[str], values: Sequence[Row]) -> Iterator[Row]:
        rooms = [self.shapes[table].columns[name] for name in key]
        sound = [
            tuple(row)
            for row in values
            if all(room.may_hold(value) for room, value in zip(rooms, row))
        ]
        if not sound:
            return iter(())
        sa, columns = self.connection.sa, [self.made[table].c[name] for name in key]
        if self.connection.is_mysql:
            return self._read(table, self._select(table).where(sa.tuple_(*columns).in_(sound)))
        given = unnested(sa, columns, sound)
        same = [column == given.c[column.name] for column in columns]
        return self._read(table, self._select(table).where(*same))

    def count(self, table: str, column: str, ids: Sequence[object]) -> int:
        sa, made = self.connection.sa, self.made[table]
        query = sa.select(sa.func.count()).select_from(made).where(made.c[column].in_(ids))
        with self.connection.told():
            return int(self.connection.made.execute(query).scalar())

    def present(self, table: str, column: str, ids: Sequence[object]) -> Iterator[object]:
        made = self.made[table].c[column]
        room = self.shapes[table].columns[column]
        sound = [each for each in ids if room.may_hold(each)]
        query = self.connection.sa.select(made).where(made.in_(sound)).distinct()
        return (row[0] for row in self._read(table, query)) if sound else iter(())

    def _select(self, table: str) -> Any:
        made = self.made[table]
        return self.connection.sa.select(*(made.c[name] for name in self.tables[table]))

    def _read(self, table: str, query: Any) -> Iterator[Row]:
        with self.connection.told():
            streamed = {"yield_per": amount(table, _ROWS)}
            for row in self.connection.made.execute(query, execution_options=streamed):
                yield tuple(row)

    def rest(self) -> None:
        with self.connection.told():
            self.connection.made.rollback()

    def close(self) -> None:
        self.connection.close()


class Judge(Scratch):
    """Knows what has room there."""

    there: Database

    def __init__(self, there: Database) -> None:
        self.exact = not there.folds
        super().__init__(there)

    def problem(self, table: str) -> "Problem | None":
        shape = self.there.shapes.get(table)
        return shape.problem if shape else None

    def same_name(self, name: str) -> str:
        """MySQL's usual collations see neither case, accents nor spaces at the end."""
        plain = unicodedata.normalize("NFKD", name.casefold())
        return "".join(each for each in plain if not unicodedata.combining(each)).rstrip(" ")


def _locked(query: Any) -> Any:
    """Others may still add what hangs on these rows."""
    return query.with_for_update(key_share=True)


def open_database(address: str, *, dry_run: bool) -> Ours:
    """Raises StoreError where there is no MLflow store."""
    from remote.tracking.merge.elsewhere.writing import Elsewhere

    connection = Connection(address, dry_run=dry_run)
    try:
        there = Database(connection)
        return Judge(there) if dry_run else Elsewhere(there)
    except BaseException:
        connection.close()
        raise


def _shape(
    connection: Connection, made: Any, codecs: Dict[Tuple[str, str], str]
) -> Tuple[Shape, List[str]]:
    """The table's shape, and its columns of JSON. Makes the types give what SQLite would."""
    sa = connection.sa
    columns, computed, defaulted, json = {}, [], [], []
    for column in made.columns:
        if column.computed is not None:
            computed.append(column.name)
            continue
        if isinstance(column.type, sa.JSON):
            # None is no value; the value null is the text "null".
            column.type.none_as_null = True
            json.append(column.name)
        if isinstance(column.type, (sa.Numeric, sa.Float)):
            column.type.asdecimal = False
        codec = codecs.get((made.name, column.name)) or codecs.get(("", ""), "utf8mb4")
        columns[column.name] = room_of(sa, connection.is_mysql, column, codec)
        if column.server_default is not None:
            defaulted.append(column.name)
    unique = [
        tuple(each.columns.keys())
        for each in made.constraints
        if isinstance(each, sa.UniqueConstraint)
    ]
    unique += [tuple(each.columns.keys()) for each in made.indexes if each.unique]
    unique.append(schema.table_of(made.name).key)
    key = tuple(made.primary_key.columns.keys()) or unique[-1]
    return Shape(made.name, key, columns, tuple(computed), tuple(unique), tuple(defaulted)), json
