"""Does in another database what the merge did in `main`."""

from __future__ import annotations

from typing import Any, Callable, Dict, Iterator, List, Mapping, Sequence, Tuple

from remote.tracking import schema
from remote.tracking.merge.elsewhere.arrays import selected, unnested
from remote.tracking.merge.elsewhere.changes import Changes, Values
from remote.tracking.merge.elsewhere.database import Database, Judge
from remote.tracking.merge.elsewhere.shapes import Shape
from remote.tracking.merge.elsewhere.there import Row, amount, parts
from remote.tracking.merge.local_store import Unfit
from remote.tracking.merge.summary import Refusal

_FEW, _MANY = 200, 5000
"""Rows that are written at once."""


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
        changes = Changes(self.database)
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


class _Write:
    """Executes; nothing of it counts before the commit."""

    def __init__(self, there: Database, refused: List[Refusal]) -> None:
        self.there, self.refused = there, refused
        self.sa, self.made = there.connection.sa, there.connection.made
        self.unfit: Dict[Tuple[str, object], str] = {}

    def delete(self, shape: Shape, rows: Iterator[Values]) -> None:
        query = self.sa.delete(self.there.made[shape.name]).where(*self._key(shape))
        for part in parts(rows, _FEW):
            with self.there.connection.told():
                self.made.execute(query, [_bound(shape, row) for row in part])

    def update(self, shape: Shape, rows: Iterator[Tuple[Values, Values]]) -> None:
        """One after the other, as a name may pass from one row to the next."""
        table = self.there.made[shape.name]
        for old, values in rows:
            new = {table.c[name]: value for name, value in values.items()}
            query = self.sa.update(table).where(*self._key(shape)).values(new)
            bound = _bound(shape, old)
            whole = tuple(old.values())
            self._try(shape, tuple(old), [whole], lambda _: self.made.execute(query, bound))

    def insert(self, shape: Shape, rows: Iterator[Row]) -> None:
        """What is there already is left alone."""
        if shape.name == "experiments":
            rows = iter(self._leave_numbers(shape, list(rows)))
        usual = _MANY if schema.table_of(shape.name).rule == schema.APPEND else _FEW
        for part in parts(rows, amount(shape.name, usual)):
            for names, given in _by_given(shape, part):
                done = self._try(shape, names, given, lambda some: self._add(shape, names, some))
                if self.there.folds and done < len(given):
                    self._tell_lost(shape, names, given)

    def _add(self, shape: Shape, names: Sequence[str], rows: Sequence[Row]) -> Any:
        """That an experiment is there already is an error: its number was just given to another."""
        table, new = self.there.made[shape.name], shape.name == "experiments"
        if self.there.connection.is_mysql:
            from sqlalchemy.dialects.mysql import insert as mysql_insert

            query, first = mysql_insert(table), table.c[shape.key[0]]
            query = query if new else query.on_duplicate_key_update({first.name: first})
            return self.made.execute(query, [dict(zip(names, row)) for row in rows])
        from sqlalchemy.dialects.postgresql import insert

        columns = [table.c[name] for name in names]
        given = unnested(self.sa, columns, rows)
        chosen = insert(table).from_select(columns, selected(self.sa, columns, given))
        return self.made.execute(chosen if new else chosen.on_conflict_do_nothing())

    def _try(
        self,
        shape: Shape,
        names: Sequence[str],
        rows: Sequence[Row],
        execute: Callable[[Sequence[Row]], Any],
    ) -> int:
        """Executes for all rows, but for those that the database refuses. How many it took."""
        connection = self.there.connection
        try:
            with self.made.begin_nested():
                return int(execute(rows).rowcount)
        except (self.sa.exc.SQLAlchemyError, ValueError) as error:
            if not isinstance(error, ValueError) and not connection.is_refusal(error):
                raise connection.error(error) from None
            if len(rows) == 1:
                self._refuse(shape, dict(zip(names, rows[0])), connection.reason(error))
                return 1
        half = len(rows) // 2
        done = self._try(shape, names, rows[:half], execute)
        return done + self._try(shape, names, rows[half:], execute)

    def _refuse(self, shape: Shape, row: Values, reason: str) -> None:
        """A thing with such a row is left out as a whole; a measurement alone."""
        table = schema.table_of(shape.name)
        told = f"{shape.name}: {reason}"
        if table.rule == schema.APPEND:
            self._tell(table, row, told)
        else:
            self.unfit[table.owner, row[table.owner_column]] = told

    def stop_if_unfit(self) -> None:
        if self.unfit:
            raise Unfit(self.unfit)

    def _tell(self, table: schema.Table, row: Values, reason: str) -> None:
        key = "/".join(str(row.get(name)) for name in table.key)
        self.refused.append(Refusal(table.name, key, reason))

    def _tell_lost(self, shape: Shape, names: Sequence[str], rows: Sequence[Row]) -> None:
        """MySQL takes some keys for the same that aren't: `Loss` and `loss`."""
        key = [name for name in shape.key if name in names]
        columns = self.there.tables[shape.name]
        for part in parts(rows, _FEW):
            asked = [tuple(row[names.index(name)] for name in key) for row in part]
            found = self.there.same_rows(shape.name, key, asked)
            there = {tuple(row[columns.index(name)] for name in key) for row in found}
            for row, values in zip(part, asked):
                if values not in there:
                    told = "the database takes its key for that of another"
                    self._tell(schema.table_of(shape.name), dict(zip(names, row)), told)

    def _key(self, shape: Shape) -> List[Any]:
        table = self.there.made[shape.name]
        bind = self.sa.bindparam
        return [
            table.c[name] == bind(f"key_{name}", type_=table.c[name].type) for name in shape.key
        ]

    def _leave_numbers(self, shape: Shape, rows: List[Row]) -> List[Row]:
        """PostgreSQL counts on its own: MLflow's next experiment must get a number after ours."""
        place = list(shape.columns).index("experiment_id")
        if rows and not self.there.connection.is_mysql:
            move = self.sa.text(
                "SELECT setval(s, greatest(:last, coalesce(pg_sequence_last_value(s), 1)))"
                " FROM (SELECT pg_get_serial_sequence('experiments', 'experiment_id')"
                "::regclass AS s) q WHERE s IS NOT NULL"
            )
            with self.there.connection.told():
                self.made.execute(move, {"last": max(int(str(row[place])) for row in rows)})
        return rows


def _by_given(shape: Shape, rows: Sequence[Row]) -> Iterator[Tuple[List[str], Sequence[Row]]]:
    """The rows, by the columns that have a value: the database makes the others'."""
    columns = list(shape.columns)
    left = [place for place, name in enumerate(columns) if name in shape.defaulted]
    missing = [tuple(place for place in left if row[place] is None) for row in rows]
    for gap in dict.fromkeys(missing):
        same = [row for row, its in zip(rows, missing) if its == gap]
        if gap:
            same = [[v for place, v in enumerate(row) if place not in gap] for row in same]
        yield [name for place, name in enumerate(columns) if place not in gap], same


def _bound(shape: Shape, row: Mapping[str, object]) -> Values:
    return {f"key_{name}": row[name] for name in shape.key}
