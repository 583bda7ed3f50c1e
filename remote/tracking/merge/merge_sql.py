"""The statements of a three-way merge, made from the table of tables. Pure.

Four rows are compared by key: `theirs` (temp."theirs_<table>", already in local ids and paths),
ours (main."<table>"), and base (base."<table>", theirs as last pulled). Written for SQLite 3.22:
no UPSERT, no UPDATE FROM.
"""

from __future__ import annotations

from typing import Iterator, List, Sequence, Tuple

from remote.tracking.schema import KINDS, REPLACE, Group, Table


def names(columns: Sequence[str], alias: str = "") -> str:
    dot = f"{alias}." if alias else ""
    return ", ".join(f'{dot}"{column}"' for column in columns)


def staged(table: Table) -> str:
    return f'temp."theirs_{table.name}"'


def insert_new(table: Table, columns: Sequence[str]) -> str:
    """Rows that are only there. One that was pulled before was deleted here: it stays so."""
    before = ""
    if table.rule != REPLACE:
        before = f'SELECT 1 FROM base."{table.name}" b WHERE {_is_base(table)}'
    elif KINDS[table.owner].table == table.name:
        kind = f"b.kind = '{table.owner}'"
        before = f'SELECT 1 FROM base.entity b WHERE {kind} AND b.id = t."{table.owner_column}"'
    return (
        f'INSERT OR IGNORE INTO main."{table.name}" ({names(columns)})'
        f' SELECT {names(columns, "t")} FROM {staged(table)} t'
        f" WHERE NOT EXISTS (SELECT 1 FROM main.\"{table.name}\" o WHERE {_same_key(table, 't', 'o')})"
        + (f" AND NOT EXISTS ({before})" if before else "")
        + _owner_lives(table)
    )


def take_theirs(table: Table, columns: Sequence[str]) -> Iterator[str]:
    """One statement for each group of columns: changed there, not here. One for what was removed.

    Of rows that only programs write, those that differ.
    """
    if table.rule == REPLACE:
        values = [column for column in columns if column not in table.key]
        yield _update(table, values, f"{_both(table)} WHERE NOT {_equal(values, 't', 'o')}")
        return
    for group in groups(table, columns):
        changed = f"NOT {_equal(group.columns, 't', 'o')} AND {_unchanged_here(table, group)}"
        yield _update(table, group.columns, f"{_three(table)} WHERE {changed}")
    if table.droppable:
        untouched = _equal(value_columns(table, columns), "o", "b")
        yield (
            f'DELETE FROM main."{table.name}" WHERE rowid IN'
            f" (SELECT o.rowid {_removed(table)} AND {untouched})"
        )


def ask_conflicts(table: Table, columns: Sequence[str]) -> Iterator[Tuple[str, str]]:
    """(column, SELECT of the columns of the key, ours, theirs): the conflicts of each column.

    Changed on both sides, or different and nothing known of the past; removed there, changed here.
    """
    for group in groups(table, columns):
        both = (
            f"NOT {_equal(group.columns, 't', 'o')} AND NOT {_unchanged_here(table, group)}"
            f" AND (NOT {_is_known(table)} OR NOT {_equal(group.columns, 't', 'b')})"
        )
        for column in group.columns:
            if column not in table.quiet:
                yield column, (
                    f'SELECT {names(table.key, "t")}, o."{column}", t."{column}" {_three(table)}'
                    f' WHERE {both} AND o."{column}" IS NOT t."{column}"'
                )
    if table.droppable:
        values = value_columns(table, columns)
        yield values[0], (
            f'SELECT {names(table.key, "o")}, o."{values[0]}", NULL {_removed(table)}'
            f" AND NOT {_equal(values, 'o', 'b')}"
        )


def take_later(table: Table, columns: Sequence[str]) -> str:
    """MLflow's rule for the latest metrics: the greater (step, timestamp, value)."""
    order = ("step", "timestamp", "value")
    return (
        f'INSERT OR REPLACE INTO main."{table.name}" ({names(columns)})'
        f' SELECT {names(columns, "t")} FROM {staged(table)} t'
        f" LEFT JOIN main.\"{table.name}\" o ON {_same_key(table, 't', 'o')}"
        f' WHERE (o."{table.key[0]}" IS NULL'
        f' OR ({names(order, "t")}) > ({names(order, "o")})){_owner_lives(table)}'
    )


def agree(table: Table, columns: Sequence[str]) -> str:
    """What is here now becomes the base."""
    return (
        f'INSERT OR REPLACE INTO base."{table.name}" ({names(columns)})'
        f' SELECT {names(columns)} FROM main."{table.name}"'
        f' WHERE "{table.owner_column}" IN (SELECT id FROM temp.batch)'
    )


def rebase(table: Table, columns: Sequence[str]) -> Tuple[str, str]:
    """What is there now becomes the base."""
    return (
        f'DELETE FROM base."{table.name}" WHERE "{table.owner_column}" IN'
        " (SELECT id FROM temp.batch)",
        f'INSERT OR IGNORE INTO base."{table.name}" ({names(columns)})'
        f" SELECT {names(columns)} FROM {staged(table)}",
    )


def pass_over_ours(table: Table) -> str:
    """Rows that are here and weren't there when anything was last pulled were made here: by staying
    out of the base, they stay ours to change."""
    return (
        f"DELETE FROM {staged(table)} AS t WHERE EXISTS"
        f" (SELECT 1 FROM main.\"{table.name}\" o WHERE {_same_key(table, 't', 'o')})"
        f' AND NOT EXISTS (SELECT 1 FROM base."{table.name}" b WHERE {_is_base(table)})'
    )


def groups(table: Table, columns: Sequence[str]) -> List[Group]:
    """The table's groups as far as both sides have them, and one for each other column."""
    free = value_columns(table, columns)
    shared = []
    for group in table.groups:
        members = tuple(column for column in group.columns if column in free)
        if members:
            shared.append(Group(members, group.provisional))
        free = [column for column in free if column not in members]
    return shared + [Group((column,)) for column in free]


def value_columns(table: Table, columns: Sequence[str]) -> List[str]:
    """Those that merge: not the key, ids, paths, and what never changes."""
    still = {*table.key, table.owner_column, *table.links, *table.sources, *table.fixed}
    if not table.path_keys:
        still.add(table.path)
    return [column for column in columns if column not in still]


def _update(table: Table, columns: Sequence[str], which: str) -> str:
    """Sets `columns` to theirs in those rows `o` that the rest of a SELECT, `which`, finds."""
    return (
        f'UPDATE OR IGNORE main."{table.name}" SET ({names(columns)}) = (SELECT {names(columns, "t")}'
        f" FROM {staged(table)} t WHERE {_same_key(table, 't', table.name)})"
        f" WHERE rowid IN (SELECT o.rowid {which})"
    )


def _both(table: Table) -> str:
    return (
        f'FROM {staged(table)} t CROSS JOIN main."{table.name}" o'
        f" ON {_same_key(table, 't', 'o')}"
    )


def _three(table: Table) -> str:
    return f'{_both(table)} LEFT JOIN base."{table.name}" b ON {_is_base(table)}'


def _removed(table: Table) -> str:
    """Rows that were pulled and are here, of owners that are still there (the staged ones)."""
    return (
        f"FROM base.\"{table.name}\" b JOIN main.\"{table.name}\" o ON {_same_key(table, 'b', 'o')}"
        f' WHERE b."{table.owner_column}" IN (SELECT id FROM temp.batch) AND NOT EXISTS'
        f" (SELECT 1 FROM {staged(table)} t WHERE {_same_key(table, 'b', 't')})"
    )


def _unchanged_here(table: Table, group: Group) -> str:
    known = _is_known(table)
    same = f"({known} AND {_equal(group.columns, 'o', 'b')})"
    if not group.provisional:
        return same
    return f"({same} OR (NOT {known} AND o.\"{group.columns[0]}\" = '{group.provisional}'))"


def _is_base(table: Table) -> str:
    """`+` takes the type from a column: the base's have none, and its key serves no typed value."""
    return " AND ".join(f'+t."{column}" = b."{column}"' for column in table.key)


def _is_known(table: Table) -> str:
    """Of IS NOT NULL, SQLite would make an inner join, and begin it with all of the base."""
    return f'NOT (b."{table.key[0]}" IS NULL)'


def _owner_lives(table: Table) -> str:
    owner = KINDS[table.owner]
    if owner.table == table.name:
        return ""
    return (
        f' AND EXISTS (SELECT 1 FROM main."{owner.table}" w'
        f' WHERE w."{owner.column}" = t."{table.owner_column}")'
    )


def _equal(columns: Sequence[str], one: str, other: str) -> str:
    pairs = (f'{one}."{column}" IS {other}."{column}"' for column in columns)
    return f"({' AND '.join(pairs)})"


def _same_key(table: Table, one: str, other: str) -> str:
    return " AND ".join(f'{one}."{column}" = {other}."{column}"' for column in table.key)
