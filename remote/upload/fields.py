"""The three-way rule for what can be changed on both sides. Pure.

A thing is a flat mapping: `name`, `end`, `lifecycle`, `tag:colour`, `param:lr`. Its base is what it
was at the source when we last wrote it, and what was being written when an upload was stopped:
whichever of the two the server has, nobody else changed it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Fields = Mapping[str, Any]

_DROPPABLE = ("tag:", "assessment:")


@dataclass(frozen=True)
class Known:
    """A field in the base: each a tuple of one value or none."""

    was: tuple[Any, ...] = ()
    writing: tuple[Any, ...] = ()

    def holds(self, value: Any) -> bool:
        return value in self.was or value in self.writing


@dataclass
class Change:
    """What is to be written to the server, and what to be removed there."""

    write: dict[str, Any] = field(default_factory=dict)
    drop: list[str] = field(default_factory=list)
    conflicts: list[tuple[str, Any, Any]] = field(default_factory=list)
    """(field, ours: what the server has, theirs: what the source has)"""


def three_way(
    theirs: Fields,
    ours: Fields,
    base: Mapping[str, Known],
    *,
    provisional: Mapping[str, Any] | None = None,
) -> Change:
    """`provisional` are first parts of values that give way when nothing is known of the past.

    A `param:` is written once and never changed.
    """
    change = Change()
    for name, value in theirs.items():
        known = base.get(name, Known())
        if name not in ours:
            if not known.was:
                change.write[name] = value
        elif ours[name] != value:
            gives_way = known.holds(ours[name]) or (
                known == Known() and _is_provisional(ours[name], name, provisional or {})
            )
            if gives_way and not name.startswith("param:"):
                change.write[name] = value
            elif (value,) != known.was:
                change.conflicts.append((name, ours[name], value))
    for name, known in base.items():
        if name not in theirs and name in ours and name.startswith(_DROPPABLE):
            if known.holds(ours[name]):
                change.drop.append(name)
            else:
                change.conflicts.append((name, ours[name], None))
    return change


def _is_provisional(value: Any, name: str, provisional: Mapping[str, Any]) -> bool:
    return name in provisional and bool(value[0] == provisional[name])


def below(fields: Fields, prefix: str) -> dict[str, Any]:
    """The fields that begin with `prefix`, without it."""
    return {name[len(prefix) :]: fields[name] for name in fields if name.startswith(prefix)}
