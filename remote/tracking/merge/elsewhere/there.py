"""Where rows are read from."""

from __future__ import annotations

from typing import Dict, Iterable, Iterator, List, Sequence, Tuple, TypeVar

from remote.tracking import schema

Row = Sequence[object]
Value = TypeVar("Value")


class There:
    """Where the rows are. Read-only; see `database` for one that can be written to."""

    tables: Dict[str, List[str]]
    """The columns of each of MLflow's tables that are there, but for the computed ones."""
    rewrites_json: Tuple[Tuple[str, str], ...] = ()
    """Columns (table, column) that come back as other text of the same content."""

    def statements(self, where: str) -> Iterator[str]:
        """They make these tables in one of SQLite's schemas."""
        raise NotImplementedError

    def rows(self, table: str, column: str, ids: Sequence[object], *, lock: bool) -> Iterator[Row]:
        """Those whose `column` is one of `ids`."""
        raise NotImplementedError

    def all_rows(self, table: str, *, lock: bool) -> Iterator[Row]:
        raise NotImplementedError

    def same_rows(self, table: str, key: Sequence[str], values: Sequence[Row]) -> Iterator[Row]:
        """Those whose `key` is one of `values`."""
        raise NotImplementedError

    def present(self, table: str, column: str, ids: Sequence[object]) -> Iterator[object]:
        """Which of `ids` are in `column`."""
        raise NotImplementedError

    def count(self, table: str, column: str, ids: Sequence[object]) -> int:
        """How many rows have one of `ids`, all of them present, in `column`."""
        raise NotImplementedError

    def rest(self) -> None:
        """What was read may change now."""

    def close(self) -> None:
        raise NotImplementedError


def amount(table: str, usual: int) -> int:
    """How many rows are held at once: fewer where they may be large."""
    return 4 if schema.table_of(table).unsigned else usual


def parts(values: Iterable[Value], size: int) -> Iterator[List[Value]]:
    """The values, some at a time."""
    part: List[Value] = []
    for value in values:
        part.append(value)
        if len(part) == size:
            yield part
            part = []
    if part:
        yield part
