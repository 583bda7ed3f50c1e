"""Frozen dataclasses as JSON and back: what a field may hold stands beside its name.

    @dataclass(frozen=True)
    class Gpu:
        index: int = field(metadata=integer(0, 1023))
        name: str = field(default="", metadata=text(256))

`to_json` leaves out what holds its default, and `from_json` takes the default for what is missing:
so files of older versions stay readable. Names that a class doesn't know, a newer version's, are
passed over. Everything else must fit, or `from_json` raises ProtocolError with the field's path.
A field's own default always fits, whatever its pattern says.

What a class demands is worked out once and kept: a listing holds thousands of jobs.
"""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Pattern, Type, TypeVar

from remote.errors import ProtocolError
from remote.files import read_json, write_json

Value = TypeVar("Value")


class Codec(NamedTuple):
    """`read` checks a JSON value and makes the field's value of it; `write` goes back."""

    read: Callable[[Any], Any]
    write: Optional[Callable[[Any], Any]] = None
    """None where the field's value is its own JSON."""


#: What `dataclasses.field` takes as `metadata`.
Metadata = Dict[str, Codec]

_KEY = "json"


class Misfit(Exception):
    """A value that doesn't fit; `path` is where it stands, the innermost part first."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.path: List[str] = []

    def is_at(self, part: str) -> None:
        """Note where it stands, seen from one level further out."""
        self.path.append(part)


def text(limit: int, pattern: Optional[Pattern[str]] = None) -> Metadata:
    """Text of at most `limit` characters which as a whole matches `pattern`."""
    match = pattern.fullmatch if pattern else None

    def read(value: Any) -> str:
        if type(value) is not str:
            raise Misfit(f"text is expected, not {_shown(value)}")
        if len(value) > limit:
            raise Misfit(f"it is longer than {limit} characters")
        if match and not match(value):
            raise Misfit(f"{_shown(value)} is not of the form that is expected")
        return value

    return {_KEY: Codec(read)}


def choice(*values: str) -> Metadata:
    """One of these words."""
    allowed = frozenset(values)

    def read(value: Any) -> str:
        if type(value) is not str or value not in allowed:
            raise Misfit(f"{_shown(value)} is none of {', '.join(values)}")
        return value

    return {_KEY: Codec(read)}


def flag() -> Metadata:
    """True or false."""

    def read(value: Any) -> bool:
        if type(value) is not bool:
            raise Misfit(f"true or false is expected, not {_shown(value)}")
        return value

    return {_KEY: Codec(read)}


def integer(low: int, high: int) -> Metadata:
    """A whole number, both ends included."""

    def read(value: Any) -> int:
        # bool is a kind of int in Python, not in JSON.
        if type(value) is not int or not low <= value <= high:
            raise Misfit(f"a whole number from {low} to {high} is expected, not {_shown(value)}")
        return value

    return {_KEY: Codec(read)}


def number(low: float, high: float) -> Metadata:
    """A finite number, both ends included."""

    def read(value: Any) -> float:
        if type(value) not in (int, float) or not low <= value <= high or not math.isfinite(value):
            raise Misfit(f"a number from {low:g} to {high:g} is expected, not {_shown(value)}")
        return float(value)

    return {_KEY: Codec(read)}


def list_of(item: Metadata, limit: int) -> Metadata:
    """At most `limit` items; a tuple in Python."""
    codec = item[_KEY]

    def read(value: Any) -> Any:
        if type(value) is not list:
            raise Misfit(f"a list is expected, not {_shown(value)}")
        if len(value) > limit:
            raise Misfit(f"it has more than {limit} items")
        return tuple([_read_part(codec, at, each) for at, each in enumerate(value)])

    return {_KEY: Codec(read, lambda values: [_written(codec, value) for value in values])}


def mapping_of(item: Metadata, limit: int, key: Optional[Metadata] = None) -> Metadata:
    """An object of at most `limit` names with values of one kind; names are `key`s."""
    codec, name_codec = item[_KEY], (key or text(1024))[_KEY]

    def read(value: Any) -> Dict[str, Any]:
        if type(value) is not dict:
            raise Misfit(f"an object is expected, not {_shown(value)}")
        if len(value) > limit:
            raise Misfit(f"it has more than {limit} names")
        return {
            _read_part(name_codec, name, name): _read_part(codec, name, each)
            for name, each in value.items()
        }

    return {
        _KEY: Codec(
            read, lambda values: {name: _written(codec, value) for name, value in values.items()}
        )
    }


def optional(item: Metadata) -> Metadata:
    """The same, or null."""
    codec = item[_KEY]
    return {
        _KEY: Codec(
            lambda value: None if value is None else codec.read(value),
            lambda value: None if value is None else _written(codec, value),
        )
    }


def nested(cls: Type[Any]) -> Metadata:
    """An object of another class."""
    return {_KEY: Codec(lambda value: _read_object(cls, value), to_json)}


def any_json(limit: int) -> Metadata:
    """Whatever JSON can say, in at most `limit` characters: a user's own parameters."""

    def read(value: Any) -> Any:
        try:
            fits = len(json.dumps(value)) <= limit
        except RecursionError:
            fits = False
        if not fits:
            raise Misfit(f"it is longer than {limit} characters, or too deep")
        return value

    return {_KEY: Codec(read)}


class _Member(NamedTuple):
    """A field of a class. `default` is MISSING where the field must be given."""

    name: str
    codec: Codec
    default: Any


_members_of: Dict[Type[Any], List[_Member]] = {}


def _members(cls: Type[Any]) -> List[_Member]:
    members = _members_of.get(cls)
    if members is None:
        members = [
            _Member(field.name, field.metadata[_KEY], _default(field))
            for field in dataclasses.fields(cls)
        ]
        _members_of[cls] = members
    return members


def _default(field: Any) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def to_json(value: Any) -> Dict[str, Any]:
    """What `json.dumps` takes; what holds its default is left out."""
    document = {}
    for name, codec, default in _members(type(value)):
        content = getattr(value, name)
        if content is not default and content != default:
            document[name] = codec.write(content) if codec.write else content
    return document


def from_json(cls: Type[Value], value: Any, where: str) -> Value:
    """The object that `value` tells of; `where` is what its place is called in the error.

    Raises ProtocolError with the path of the first field that doesn't fit.
    """
    try:
        result: Value = _read_object(cls, value)
    except Misfit as misfit:
        path = where + "".join(reversed(misfit.path))
        raise ProtocolError(f"{path}: {misfit.reason}.") from None
    return result


def _read_object(cls: Type[Any], value: Any) -> Any:
    if type(value) is not dict:
        raise Misfit(f"an object is expected, not {_shown(value)}")
    contents = {}
    for name, codec, default in _members(cls):
        if name in value:
            content = value[name]
            try:
                contents[name] = codec.read(content)
            except Misfit as misfit:
                # Compared only now: most values fit, and this costs.
                if type(content) is not type(default) or content != default:
                    misfit.is_at(f".{name}")
                    raise
                contents[name] = default
        elif default is dataclasses.MISSING:
            raise Misfit(f"it lacks {name}")
    return cls(**contents)


def _read_part(codec: Codec, part: object, value: Any) -> Any:
    """Read an item of a list, or what stands by a name."""
    try:
        return codec.read(value)
    except Misfit as misfit:
        misfit.is_at(f"[{_shown(part)}]")
        raise


def _written(codec: Codec, value: Any) -> Any:
    return codec.write(value) if codec.write else value


def _shown(value: Any) -> str:
    """A value in an error: plain letters, not long, whoever sent it."""
    if isinstance(value, (dict, list)):
        return "an object" if isinstance(value, dict) else "a list"
    # Cut before it is escaped: it may be as long as an answer.
    cut = isinstance(value, str) and len(value) > 60
    return ascii(value[:57]) + "..." if cut else ascii(value)[:60]


def load(cls: Type[Value], path: Path) -> Optional[Value]:
    """What a JSON file tells of; None where there is none, or it is no JSON.

    Raises ProtocolError where it is JSON and doesn't fit.
    """
    document = read_json(path)
    return None if document is None else from_json(cls, document, path.name)


def save(path: Path, value: Any, *, mode: int = 0o644) -> None:
    """Write a value as a JSON file, atomically."""
    write_json(path, to_json(value), mode=mode)
