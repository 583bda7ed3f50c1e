"""Something with fields of every sort."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from remote.job.fields import (
    any_json,
    choice,
    flag,
    integer,
    list_of,
    mapping_of,
    nested,
    number,
    optional,
    text,
)
from remote.job.struct import Struct


class Wheel(Struct):
    size: int = integer(1, 30)
    maker: str = text(8, re.compile("[a-z]+"), default="")


class Car(Struct):
    name: str = text(10)
    wheels: tuple[Wheel, ...] = list_of(nested(Wheel), 4, default=())
    speed: float = number(-10, 300, default=0.0)
    colour: str = choice("red", "blue", default="red")
    sold: bool = flag(default=False)
    owner: str | None = optional(text(5), default=None)
    notes: Mapping[str, Any] = mapping_of(any_json(20), 2, default={})


WHOLE = {
    "name": "日本 \n",
    "wheels": [{"size": 16, "maker": "acme"}, {"size": 1}],
    "speed": 1.5,
    "colour": "blue",
    "sold": True,
    "owner": "ada",
    "notes": {"a": [1, {"b": None}]},
}
