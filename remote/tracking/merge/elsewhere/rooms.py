"""What a column of SQLAlchemy's can hold. Pure."""

from __future__ import annotations

from typing import Any, Dict, Optional, Tuple

from remote.tracking.merge.elsewhere.shapes import Room

_CODECS = {
    "utf8mb4": ("utf-8", 0x10FFFF),
    "utf8mb3": ("utf-8", 0xFFFF),
    "utf8": ("utf-8", 0x10FFFF),
    "latin1": ("cp1252", 0x10FFFF),
    "sql_ascii": ("ascii", 0x10FFFF),
}
"""Character sets by their names there: Python's codec, and the greatest character."""
_OCTETS = {
    "TINYTEXT": 2**8 - 1,
    "TEXT": 2**16 - 1,
    "MEDIUMTEXT": 2**24 - 1,
    "LONGTEXT": 2**32 - 1,
}
"""What MySQL's texts hold."""


def room_of(sa: Any, is_mysql: bool, column: Any, charset: str) -> Room:
    kind = column.type
    required = not column.nullable
    if isinstance(kind, sa.Boolean):
        return Room("INT", lowest=0, highest=1, required=required)
    if isinstance(kind, sa.Integer):
        low, high = _range(sa, kind)
        return Room("INT", lowest=low, highest=high, required=required)
    if isinstance(kind, (sa.Numeric, sa.Float)):
        return Room("REAL", infinite=not is_mysql, required=required)
    codec, plane = _codec(charset, is_mysql)
    return Room(
        characters=None if _octets(is_mysql, kind) else getattr(kind, "length", None),
        octets=_octets(is_mysql, kind),
        codec=codec,
        plane=plane,
        null_character=is_mysql,
        json=isinstance(kind, sa.JSON),
        required=required,
    )


def _range(sa: Any, kind: Any) -> Tuple[int, int]:
    bits = 32
    if isinstance(kind, sa.BigInteger):
        bits = 64
    elif isinstance(kind, sa.SmallInteger):
        bits = 16
    elif type(kind).__name__ == "TINYINT":
        bits = 8
    return -(2 ** (bits - 1)), 2 ** (bits - 1) - 1


def _octets(is_mysql: bool, kind: Any) -> Optional[int]:
    octets: Dict[str, int] = _OCTETS if is_mysql else {}
    return octets.get(type(kind).__name__)


def _codec(charset: str, is_mysql: bool) -> Tuple[str, int]:
    """Of an unknown character set only what all have is taken."""
    name = charset.lower()
    if name == "utf8" and is_mysql:
        name = "utf8mb3"
    return _CODECS.get(name, ("ascii", 0x10FFFF))
