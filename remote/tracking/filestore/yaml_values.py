"""What stands in a meta.yaml, as the value of a column. Each raises Unreadable."""

from __future__ import annotations

import math
from typing import Any, Mapping, Optional

from remote.tracking.filestore.scan import Unreadable


def text(meta: Mapping[str, Any], *names: str, default: Optional[str] = None) -> Optional[str]:
    """The first of several fields that has a value; a number counts as its text."""
    value = next((meta[name] for name in names if meta.get(name) not in (None, "")), None)
    if value is None:
        return "" if any(meta.get(name) == "" for name in names) else default
    if isinstance(value, (dict, list, tuple, set, bytes)):
        raise Unreadable(f"its {names[0]} isn't text")
    return storable(str(value), names[0])


def storable(value: str, name: str) -> str:
    """Half a surrogate pair can be written in YAML, and in no database."""
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise Unreadable(f"its {name} isn't text") from error
    return value


def whole(meta: Mapping[str, Any], *names: str, default: Optional[int] = None) -> Optional[int]:
    """The first of several fields that has a value."""
    value = next((meta[name] for name in names if meta.get(name) is not None), default)
    if value is None:
        return None
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise Unreadable(f"its {names[0]} isn't a number") from error
    if not fits(number):
        raise Unreadable(f"its {names[0]} isn't a number")
    return number


def fits(number: int) -> bool:
    """True for what SQLite's integers hold."""
    return -(2**63) <= number < 2**63


def finite(value: float) -> float:
    """As MLflow's database store keeps values: 0 for NaN, the greatest numbers for infinity."""
    if math.isnan(value):
        return 0.0
    return min(max(value, -1.7976931348623157e308), 1.7976931348623157e308)


def lifecycle(meta: Mapping[str, Any]) -> str:
    return "deleted" if meta.get("lifecycle_stage") == "deleted" else "active"
