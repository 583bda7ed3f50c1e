"""Fields of the protocol: what each may hold, and the patterns and limits that they share.

    index: int = fields.integer(0, 1023)
    name: str = fields.text(256, default="")

What the toolkit or the system makes (ids, versions, states) has a pattern. What users name freely
(paths, parameters, experiments) has a limit alone: it is escaped where it is printed. Lengths are in
characters.
"""

from __future__ import annotations

import json
import math
import re
from functools import partial
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Pattern, Type, Union

#: A name, a path, a cause; a whole message; a value that a user typed, which Linux limits likewise
#: (MAX_ARG_STRLEN, execve(2)).
NAME = 4096
MESSAGE = 1 << 16
VALUE = 1 << 20

#: What code may have beyond its commit.
DIFF = 16 << 20

#: How many of something one job may have: arguments, variables, tags, parameters.
MANY = 10_000

#: Jobs, files or records in one answer.
VERY_MANY = 1_000_000

ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
HEX = re.compile(r"[0-9a-f]+")
WORD = re.compile(r"[A-Za-z0-9_.+-]+")

#: A line without control characters, such as a host's name or a version as a program tells it.
LINE = re.compile(r"[^\x00-\x1f\x7f-\x9f]*")

#: A path below a folder, each part of it a name; the only lone surrogates are those that stand for
#: bytes which are no text (os.fsencode).
_PART = r"(?!\.{1,2}(?:/|\Z))[^/\x00\ud800-\udc7f\udd00-\udfff]+"
PATH = f"{_PART}(?:/{_PART})*"

#: What SQLite takes for a whole number.
INTEGER = (1 << 63) - 1

#: How deep a value that may be any JSON is nested.
DEEPEST = 50

#: The default of a field that must be given.
REQUIRED = object()


class Field(NamedTuple):
    """`read` checks a JSON value and makes the field's value of it; `write` goes back.

    A `default` that is an empty dictionary is copied for each object.
    """

    read: Callable[[Any], Any]
    write: Callable[[Any], Any] = lambda value: value
    default: Any = REQUIRED


class Misfit(Exception):
    """A value that doesn't fit; `path` is where it stands, the innermost part first."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.path: List[str] = []

    def is_at(self, part: str) -> None:
        """Note where it stands, seen from one level further out."""
        self.path.append(part)


def shown(value: Any) -> str:
    """A value in an error: plain letters, not long, whoever sent it."""
    if isinstance(value, (dict, list)):
        return "an object" if isinstance(value, dict) else "a list"
    # Cut before it is escaped: it may be as long as an answer.
    cut = isinstance(value, str) and len(value) > 60
    return ascii(value[:57]) + "..." if cut else ascii(value)[:60]


def text(
    limit: int, pattern: Union[Pattern[str], str, None] = None, *, default: Any = REQUIRED
) -> Any:
    """Text of at most `limit` characters which as a whole matches `pattern`: one that takes long to
    compile is a string, since most processes read no such field."""
    match = partial(re.fullmatch, pattern) if pattern else None

    def read(value: Any) -> str:
        if type(value) is not str:
            raise Misfit(f"text is expected, not {shown(value)}")
        if len(value) > limit:
            raise Misfit(f"it is longer than {limit} characters")
        if match and not match(value):
            raise Misfit(f"{shown(value)} is not of the form that is expected")
        return value

    return Field(read, default=default)


def choice(*values: str, default: Any = REQUIRED) -> Any:
    """One of these words."""
    allowed = frozenset(values)

    def read(value: Any) -> str:
        if type(value) is not str or value not in allowed:
            raise Misfit(f"{shown(value)} is none of {', '.join(values)}")
        return value

    return Field(read, default=default)


def flag(*, default: Any = REQUIRED) -> Any:
    """True or false."""

    def read(value: Any) -> bool:
        if type(value) is not bool:
            raise Misfit(f"true or false is expected, not {shown(value)}")
        return value

    return Field(read, default=default)


def integer(low: int, high: int, *, default: Any = REQUIRED) -> Any:
    """A whole number, both ends included."""

    def read(value: Any) -> int:
        # bool is a kind of int in Python, not in JSON.
        if type(value) is not int or not low <= value <= high:
            raise Misfit(f"a whole number from {low} to {high} is expected, not {shown(value)}")
        return value

    return Field(read, default=default)


def number(low: float, high: float, *, default: Any = REQUIRED) -> Any:
    """A finite number, both ends included."""

    def read(value: Any) -> float:
        if type(value) not in (int, float) or not low <= value <= high or not math.isfinite(value):
            raise Misfit(f"a number from {low:g} to {high:g} is expected, not {shown(value)}")
        return float(value)

    return Field(read, default=default)


def list_of(item: Field, limit: int, *, default: Any = REQUIRED) -> Any:
    """At most `limit` items; a tuple in Python."""

    def read(value: Any) -> Any:
        if type(value) is not list:
            raise Misfit(f"a list is expected, not {shown(value)}")
        if len(value) > limit:
            raise Misfit(f"it has more than {limit} items")
        return tuple([_read_part(item, at, part) for at, part in enumerate(value)])

    return Field(read, lambda values: [item.write(value) for value in values], default)


def mapping_of(
    item: Field, limit: int, key: Optional[Field] = None, *, default: Any = REQUIRED
) -> Any:
    """An object of at most `limit` names with values of one kind; names are `key`s."""
    names = key or text(1024)

    def read(value: Any) -> Dict[str, Any]:
        if type(value) is not dict:
            raise Misfit(f"an object is expected, not {shown(value)}")
        if len(value) > limit:
            raise Misfit(f"it has more than {limit} names")
        return {
            _read_part(names, name, name): _read_part(item, name, part)
            for name, part in value.items()
        }

    return Field(
        read, lambda values: {name: item.write(part) for name, part in values.items()}, default
    )


def _read_part(field: Field, at: object, value: Any) -> Any:
    """Read an item of a list, or what stands by a name."""
    try:
        return field.read(value)
    except Misfit as misfit:
        misfit.is_at(f"[{shown(at)}]")
        raise


def optional(item: Field, *, default: Any = REQUIRED) -> Any:
    """The same, or null."""
    return Field(
        lambda value: None if value is None else item.read(value),
        lambda value: None if value is None else item.write(value),
        default,
    )


def nested(cls: Type[Any], *, default: Any = REQUIRED) -> Any:
    """An object of another class."""
    return Field(cls.read, cls.to_json, default)


def any_json(limit: Optional[int], *, default: Any = REQUIRED) -> Any:
    """Whatever JSON can say, in at most `limit` characters: a user's own parameters.

    None is for what has no other limit than the whole message: to measure a long one takes time.
    """

    def read(value: Any) -> Any:
        if _is_deeper(value, DEEPEST):
            raise Misfit("it is too deep")
        if limit is not None and len(json.dumps(value)) > limit:
            raise Misfit(f"it is longer than {limit} characters")
        return value

    return Field(read, default=default)


def _is_deeper(value: Any, levels: int) -> bool:
    parts = value.values() if type(value) is dict else value if type(value) is list else ()
    return levels < 0 or any(
        _is_deeper(part, levels - 1) for part in parts if type(part) in (dict, list)
    )


def names(*, default: Any = REQUIRED) -> Any:
    """Names and paths, any number of them."""
    return list_of(text(NAME), VERY_MANY, default=default)


def path() -> Any:
    """A path that leads nowhere but below the folder that it counts from."""
    return text(NAME, PATH)


def job_id(*, default: Any = REQUIRED) -> Any:
    """The id of a job, which names its folder and its tmux session."""
    return text(128, ID, default=default)


def run_id(*, default: Any = REQUIRED) -> Any:
    """The id of an MLflow run."""
    return text(32, HEX, default=default)


def line(limit: int = 256, *, default: Any = REQUIRED) -> Any:
    """One line that a program or a system says."""
    return text(limit, LINE, default=default)


def moment(*, default: Any = REQUIRED) -> Any:
    """Seconds since 1970, by the server's clock."""
    return number(0, 1e12, default=default)
