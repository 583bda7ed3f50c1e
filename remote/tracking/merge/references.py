"""Which things are here: what hangs on others comes in only with all of them.

Some things are named by two columns, a type and an id, and no foreign key (schema.ENDS).
"""

from __future__ import annotations

from typing import List

from remote.tracking import schema
from remote.tracking.merge.merge_session import MergeSession


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
