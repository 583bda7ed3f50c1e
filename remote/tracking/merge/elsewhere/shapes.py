"""What a table of another database looks like, and what has room in its columns. Pure."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Mapping, Optional, Tuple


@dataclass(frozen=True)
class Room:
    """What a column can hold. None: no limit."""

    affinity: str = "TEXT"
    """How SQLite would treat such a column."""
    characters: Optional[int] = None
    octets: Optional[int] = None
    codec: str = "utf-8"
    plane: int = 0x10FFFF
    """The greatest character."""
    null_character: bool = True
    lowest: Optional[int] = None
    highest: Optional[int] = None
    infinite: bool = True
    json: bool = False
    required: bool = False

    def problem(self, value: object) -> Optional[str]:
        if value is None:
            return "there must be a value" if self.required else None
        if isinstance(value, str):
            return self._text(value) if self.affinity == "TEXT" else "it isn't a number"
        if self.affinity == "TEXT" or isinstance(value, bytes):
            return "it isn't text" if isinstance(value, bytes) or self.json else None
        if isinstance(value, float):
            if self.affinity == "INT":
                return "it isn't a whole number"
            return None if self.infinite or math.isfinite(value) else "it isn't finite"
        return self._number(value)

    def may_hold(self, value: object) -> bool:
        """False for what can't be in the column, so that nobody need look for it."""
        if self.affinity == "TEXT" and not isinstance(value, str):
            return False
        return value is not None and self.problem(value) is None

    def _text(self, value: str) -> Optional[str]:
        if self.characters is not None and len(value) > self.characters:
            return f"{len(value)} characters, there is room for {self.characters}"
        if not self.null_character and "\x00" in value:
            return "it has a NUL character"
        try:
            size = len(value.encode(self.codec))
        except UnicodeError:
            return "it has characters that the database doesn't know"
        if self.octets is not None and size > self.octets:
            return f"{size} bytes, there is room for {self.octets}"
        if size > len(value) and ord(max(value)) > self.plane:
            return "it has characters that the database doesn't know"
        return "it isn't JSON" if self.json and not _is_json(value) else None

    def _number(self, value: object) -> Optional[str]:
        if self.affinity == "INT" and isinstance(value, int):
            low, high = self.lowest, self.highest
            if low is not None and high is not None and not low <= value <= high:
                return f"{value} isn't between {low} and {high}"
        return None


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
        return True
    except ValueError:
        return False


def same_json(one: object, other: object) -> bool:
    """True for two texts of the same content; some databases write it anew."""
    if not isinstance(one, str) or not isinstance(other, str):
        return one == other
    try:
        return bool(json.loads(one) == json.loads(other))
    except ValueError:
        return one == other


@dataclass(frozen=True)
class Shape:
    """One table."""

    name: str
    key: Tuple[str, ...]
    """The columns that tell its rows from each other."""
    columns: Mapping[str, Room]
    computed: Tuple[str, ...] = ()
    unique: Tuple[Tuple[str, ...], ...] = ()
    defaulted: Tuple[str, ...] = ()
    """Columns whose value the database makes where none is given."""

    def statement(self, schema: str) -> str:
        """Makes such a table in SQLite."""
        parts = [
            f'"{name}" {room.affinity}'
            + (" NOT NULL" if room.required and name not in self.defaulted else "")
            for name, room in self.columns.items()
        ]
        parts += [f'"{name}" GENERATED ALWAYS AS (NULL)' for name in self.computed]
        parts += [f"UNIQUE ({_names(each)})" for each in {self.key, *self.unique}]
        return f'CREATE TABLE {schema}."{self.name}" ({", ".join(parts)})'

    def problem(self, row: Mapping[str, object]) -> Optional[str]:
        """Why a row can't be stored, by the first of its values that has no room."""
        for name, value in row.items():
            if name in self.defaulted and value is None:
                continue
            found = self.columns[name].problem(value) if name in self.columns else None
            if found:
                return f"{self.name}.{name}: {found}"
        return None


def _names(columns: Tuple[str, ...]) -> str:
    return ", ".join(f'"{column}"' for column in columns)
