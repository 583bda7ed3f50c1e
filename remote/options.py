"""One row for each flag: a dataclass field that says how it is typed, read and explained. Pure.

    @dataclass(frozen=True)
    class RunOptions:
        timeout: int = option("--timeout", "end the code after this time", 0, parse=units.seconds)

A task that is given such a class gets its flags, their help and an object of the class from it; see
`remote.tasks.arguments`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields
from typing import Any

_KEY = "option"


@dataclass(frozen=True)
class Option:
    """How one flag is typed.

    `parse` makes a value of the text and raises RemoteError that names the flag, its second
    argument. A flag with `collect` may come again, and all its values become one by it. A `switch`
    takes no value.
    """

    flag: str
    help: str = ""
    parse: Callable[[str, str], Any] | None = None
    collect: Callable[[Iterable[Any]], Any] | None = None
    switch: bool = False


def option(
    flag: str,
    help: str,
    default: Any = "",
    *,
    parse: Callable[[str, str], Any] | None = None,
    collect: Callable[[Iterable[Any]], Any] | None = None,
) -> Any:
    """A field of an options class; its default is `default`, or what `collect` makes of nothing."""
    row = Option(flag, help, parse, collect, switch=isinstance(default, bool))
    if collect:
        return field(default_factory=lambda: collect(()), metadata={_KEY: row})
    return field(default=default, metadata={_KEY: row})


def options_of(kind: type) -> dict[str, Option]:
    """The rows of an options class, by the names of their fields."""
    return {member.name: member.metadata[_KEY] for member in fields(kind)}
