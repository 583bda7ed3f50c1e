"""Rows as one parameter for each column, as PostgreSQL takes them: much faster than row by row."""

from __future__ import annotations

from typing import Any, Sequence


def unnested(sa: Any, columns: Sequence[Any], rows: Sequence[Sequence[object]]) -> Any:
    """Something to select from, with the names of `columns`."""
    from sqlalchemy.dialects.postgresql import ARRAY

    arrays = []
    for column, values in zip(columns, zip(*rows)):
        kind = _loose(sa, column.type)
        given = list(values)
        if isinstance(kind, sa.Boolean):
            given = [None if value is None else bool(value) for value in values]
        arrays.append(sa.cast(sa.bindparam(None, given, type_=ARRAY(kind)), ARRAY(kind)))
    names = [column.name for column in columns]
    return sa.func.unnest(*arrays).table_valued(*names, name="given").render_derived()


def selected(sa: Any, columns: Sequence[Any], given: Any) -> Any:
    """A query for all of it, in the types of `columns`."""
    return sa.select(*(_as_column(sa, column, given.c[column.name]) for column in columns))


def _as_column(sa: Any, column: Any, value: Any) -> Any:
    """Text isn't cast: that would cut it to the column's length without a word."""
    return sa.cast(value, column.type) if isinstance(column.type, sa.JSON) else value


def _loose(sa: Any, kind: Any) -> Any:
    """The widest type of the column's kind."""
    if isinstance(kind, sa.Boolean):
        return sa.Boolean()
    if isinstance(kind, sa.Integer):
        return sa.BigInteger()
    if isinstance(kind, (sa.Numeric, sa.Float)):
        return sa.Double()
    return sa.Text()
