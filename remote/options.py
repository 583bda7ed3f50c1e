"""One row for each flag: a dataclass field that says how it is typed, read and explained. Pure.

    @dataclass(frozen=True)
    class RunOptions:
        timeout: int = option("--timeout", "end the code after this time", 0, parse=seconds)

A task that is given such a class gets its flags, their help and an object of the class from it; see
`remote.tasks.arguments`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields
from typing import Any

from remote.errors import RemoteError

_KEY = "option"


@dataclass(frozen=True)
class Option:
    """How one flag is typed.

    `parse` makes a value of the text and raises RemoteError that names the flag, its second
    argument. A flag with `collect` may come again, and all its values become one by it. A `switch`
    takes no value, and means `constant`.
    """

    flag: str
    help: str = ""
    parse: Callable[[str, str], Any] | None = None
    collect: Callable[[Iterable[Any]], Any] | None = None
    switch: bool = False
    constant: bool = True


def option(
    flag: str,
    help: str,
    default: Any = "",
    *,
    parse: Callable[[str, str], Any] | None = None,
    collect: Callable[[Iterable[Any]], Any] | None = None,
) -> Any:
    """A field of an options class; its default is `default`, or what `collect` makes of nothing."""
    row = Option(flag, help, parse, collect, isinstance(default, bool), constant=not default)
    if collect:
        return field(default_factory=lambda: collect(()), metadata={_KEY: row})
    return field(default=default, metadata={_KEY: row})


def options_of(kind: type) -> dict[str, Option]:
    """The rows of an options class, by the names of their fields."""
    return {member.name: member.metadata[_KEY] for member in fields(kind)}


_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_MEBIBYTES = {"M": 1, "G": 1024, "T": 1024 * 1024}


#: Seconds that every clock and every sleep can be asked for.
_LONGEST = 100 * 365 * 86400


class UnitError(RemoteError):
    """A text is no amount."""


def seconds(text: str, flag: str) -> int:
    """What a duration such as `90s`, `8h` or `1h30m` means; raises UnitError that names `flag`.

    A number alone is refused: days, hours and seconds are meant by it alike.
    """
    amount = text.lower()
    if amount.isdecimal():
        raise UnitError(
            f"{flag} {text}: a time needs a unit.",
            f"Such as {text}s, {text}m, {text}h or {text}d.",
        )
    examples = "Such as 90s, 20m, 8h or 1h30m."
    if not re.fullmatch("([0-9]{1,12}[smhdw])+", amount):
        raise UnitError(f"{flag} takes a time, not {text!r}.", examples)
    total = sum(int(part[:-1]) * _SECONDS[part[-1]] for part in re.findall("[0-9]+.", amount))
    if total == 0:
        raise UnitError(f"{flag} takes a time longer than 0.", examples)
    if total > _LONGEST:
        raise UnitError(f"{flag} takes a time of 100 years at most, not {text}.", examples)
    return total


def count(text: str, flag: str) -> int:
    """What a number of things means, 0 included; raises UnitError that names `flag`."""
    if not re.fullmatch("[0-9]{1,9}", text):
        raise UnitError(f"{flag} takes a number, not {text!r}.")
    return int(text)


def several(text: str, flag: str) -> int:
    """The same, from 1 on."""
    number = count(text, flag)
    if not number:
        raise UnitError(
            f"{flag} takes a number from 1 on, not {text!r}.", f"Without {flag}: as usual."
        )
    return number


def mebibytes(text: str, flag: str) -> int:
    """What a size such as `20G` or `20GB` means, in MiB; raises UnitError that names `flag`.

    GPUs are sold by powers of two: `G` is 1024 MiB, as `nvidia-smi` counts.
    """
    match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]+)?)\s*([MGT])(?:i?B)?", text, re.IGNORECASE)
    if not match or float(match[1]) == 0:
        raise UnitError(f"{flag} takes a size, not {text!r}.", "Such as 20G or 500M.")
    return round(float(match[1]) * _MEBIBYTES[match[2].upper()])
