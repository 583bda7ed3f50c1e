"""Which fields of a run, model or experiment an export writes. Pure.

A field is a name and a text: `name`, `status`, `tag:colour`, `param:lr`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Dict, FrozenSet, List, Mapping

NAME, STATUS, TAG, PARAM = "name", "status", "tag:", "param:"


@dataclass(frozen=True)
class Written:
    """What the record knows of one field.

    `values` are those that may be on the server because we sent them: more than one where an export
    was stopped between the request and its answer. `settled` says that one surely arrived.
    """

    values: FrozenSet[str] = frozenset()
    settled: bool = False


@dataclass(frozen=True)
class FieldChanges:
    """What to write and to remove; `kept` are the fields whose value on the server isn't ours."""

    write: Dict[str, str] = field(default_factory=dict)
    remove: List[str] = field(default_factory=list)
    kept: List[str] = field(default_factory=list)


def field_changes(
    local: Mapping[str, str], server: Mapping[str, str], written: Mapping[str, Written]
) -> FieldChanges:
    """Write what is absent on the server or still holds what was written last, and nothing else.

    A field that was written and is gone was removed by somebody on the server: it stays removed.
    A parameter never changes on an MLflow server. How something ended (the field `status` alone) is
    written apart from the rest.
    """
    changes = FieldChanges()
    for name, value in local.items():
        past = written.get(name, Written())
        if name not in server:
            if not past.settled:
                changes.write[name] = value
        elif server[name] != value:
            if server[name] in past.values and not name.startswith(PARAM):
                changes.write[name] = value
            elif value not in past.values:
                changes.kept.append(name)
    for name, past in written.items() if STATUS not in local else ():
        if name.startswith(TAG) and name not in local and server.get(name) in past.values:
            changes.remove.append(name)
    return changes


def with_prefix(prefix: str, values: Mapping[str, str]) -> Dict[str, str]:
    """Tags or parameters as fields."""
    return {prefix + key: value for key, value in values.items()}


def pairs_of(prefix: str, fields: Mapping[str, str]) -> Dict[str, str]:
    """The tags, or the parameters, among fields."""
    return {name[len(prefix) :]: fields[name] for name in fields if name.startswith(prefix)}
