"""What a check found, as data: what is wrong, and the statements that mend it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Change:
    """One statement that mends something, and its values."""

    query: str
    values: tuple[object, ...] = ()


@dataclass(frozen=True)
class Finding:
    """A group of problems of one kind.

    `summary` is one line with the count, `items` name every single one. `step` is what the user has to
    do; `changes` is what mending does, `mend_after` that there is something to mend after `step`.
    """

    name: str
    summary: str
    items: tuple[str, ...] = ()
    step: str = ""
    changes: tuple[Change, ...] = ()
    mend_after: bool = False
    note: bool = False
    """Worth knowing, and nothing wrong with the store."""
    details: tuple[str, ...] = ()
    """The items at length, where their names say too little."""
