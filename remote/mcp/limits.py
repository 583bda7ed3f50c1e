"""An answer that a model reads: of a length that it can take, and with nothing in it that steers.

Servers and stores write most of what is in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from remote.output import printable_lines

#: Letters of a whole answer and of one text in it, and members of one list.
LONGEST = 60_000
LONGEST_TEXT = 30_000
MOST = 100


def limited(answer: Mapping[str, Any]) -> dict[str, Any]:
    """The answer as far as it may be; what is left out is counted at its place."""
    return _Room(LONGEST).object(answer)


@dataclass
class _Room:
    left: int

    def object(self, value: Mapping[str, Any]) -> dict[str, Any]:
        fit: dict[str, Any] = {}
        for number, (name, member) in enumerate(value.items()):
            if self.left <= 0:
                fit["…"] = _rest(len(value) - number)
                break
            plain = self.text(name)
            fit[plain] = self.any(member)
        return fit

    def list(self, value: list[Any]) -> list[Any]:
        fit: list[Any] = []
        for number, member in enumerate(value):
            if self.left <= 0 or number == MOST:
                return [*fit, _rest(len(value) - number)]
            fit.append(self.any(member))
        return fit

    def text(self, value: str) -> str:
        room = max(0, min(LONGEST_TEXT, self.left))
        # As a whole: half of an address wouldn't have its password masked.
        plain = printable_lines(value)
        self.left -= min(len(plain), room)
        return plain if len(plain) <= room else f"{plain[:room]}…"

    def any(self, value: Any) -> Any:
        # Quotes and commas.
        self.left -= 4
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return self.object(value)
        if isinstance(value, list):
            return self.list(value)
        self.left -= len(str(value))
        return value


def _rest(count: int) -> str:
    return f"… and {count} more"
