"""What a command answers, as data: what `--json` prints, and what programs make of remote.api's objects.

An answer is one object (docs/json.md). What is in it are the dataclasses and messages that the
operations give; `data_of` alone decides how these become JSON.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from remote.errors import RemoteError
from remote.job.struct import Struct
from remote.next_steps import complete
from remote.operations.pool import Reply
from remote.session import TargetSession
from remote.transport.rsync_problems import Problem


def data_of(value: Any) -> Any:
    """What `json.dumps` takes: an object for whatever has fields, with all of them.

    What JSON lacks becomes text: paths, and numbers that are none.
    """
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, RemoteError):
        return _error(value.message, value.hint)
    if isinstance(value, Problem):
        return {**_fields(value), "text": value.text}
    if isinstance(value, Reply):
        error, label = value.error, value.server.target.label
        told = {"error": _error(error.message, error.hint, label)} if error else value.answer
        return of_target(value.server, told)
    if isinstance(value, Mapping):
        return {str(name): data_of(member) for name, member in value.items()}
    members = _fields(value)
    if members is not None:
        return members
    return [data_of(each) for each in value] if isinstance(value, Iterable) else str(value)


def _fields(value: Any) -> Any:
    """The fields of an object by their names; None where it has none."""
    if isinstance(value, Struct):
        return data_of(vars(value))
    if is_dataclass(value):
        return {each.name: data_of(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return data_of(value._asdict())
    return None


def of_target(server: TargetSession, answer: Any, **more: Any) -> dict[str, Any]:
    """What a target answered, or the error that came in its place, and which target that is."""
    told = {"error": answer} if isinstance(answer, RemoteError) else data_of(answer)
    place = {"target": server.target.label, "address": str(server.target), "error": None}
    return {**place, **data_of(told), **data_of(more)}


def error_of(text: str) -> dict[str, str]:
    """An error out of its words, of which the first line says what is wrong."""
    message, _, hint = text.partition("\n")
    return _error(message, hint)


def _error(message: str, hint: str, target: str = "") -> dict[str, str]:
    return {"message": complete(message, target), "next": complete(hint, target)}
