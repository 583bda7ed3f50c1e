"""Dataclasses as JSON and back: what fits comes through unchanged, what doesn't is named."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from remote.errors import ProtocolError
from remote.job.fields import (
    any_json,
    choice,
    flag,
    from_json,
    integer,
    list_of,
    load,
    mapping_of,
    nested,
    number,
    optional,
    save,
    text,
    to_json,
)


@dataclass(frozen=True)
class Wheel:
    size: int = field(metadata=integer(1, 30))
    maker: str = field(default="", metadata=text(8, re.compile("[a-z]+")))


@dataclass(frozen=True)
class Car:
    name: str = field(metadata=text(10))
    wheels: tuple[Wheel, ...] = field(default=(), metadata=list_of(nested(Wheel), 4))
    speed: float = field(default=0.0, metadata=number(-10, 300))
    colour: str = field(default="red", metadata=choice("red", "blue"))
    sold: bool = field(default=False, metadata=flag())
    owner: str | None = field(default=None, metadata=optional(text(5)))
    notes: Mapping[str, Any] = field(default_factory=dict, metadata=mapping_of(any_json(20), 2))


WHOLE = {
    "name": "日本 \n",
    "wheels": [{"size": 16, "maker": "acme"}, {"size": 1}],
    "speed": 1.5,
    "colour": "blue",
    "sold": True,
    "owner": "ada",
    "notes": {"a": [1, {"b": None}]},
}


def test_what_fits_comes_back_as_it_was() -> None:
    car = from_json(Car, json.loads(json.dumps(WHOLE)), "car")
    assert car.wheels == (Wheel(16, "acme"), Wheel(1)) and car.notes == WHOLE["notes"]
    assert to_json(car) == WHOLE


def test_a_default_is_neither_written_nor_needed() -> None:
    assert to_json(Car("x")) == {"name": "x"}
    assert from_json(Car, {"name": "x"}, "car") == Car("x")


def test_a_default_fits_whatever_its_pattern_says() -> None:
    assert from_json(Wheel, {"size": 3, "maker": ""}, "wheel") == Wheel(3)


def test_names_of_a_newer_version_are_passed_over() -> None:
    assert from_json(Car, {"name": "x", "autopilot": {"level": 5}}, "car") == Car("x")


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"name": 5}, "car.name: text is expected, not 5"),
        ({"name": None}, "car.name"),
        ({"name": "x" * 11}, "car.name: it is longer than 10 characters"),
        ({"wheels": {}}, "car.wheels: a list is expected"),
        ({"wheels": [{"size": 1}] * 5}, "car.wheels: it has more than 4 items"),
        ({"wheels": [{"size": 1}, {"size": 99}]}, "car.wheels[1].size: a whole number from 1"),
        ({"wheels": [{"size": 1.0}]}, "car.wheels[0].size"),
        ({"wheels": [{"size": True}]}, "car.wheels[0].size"),
        ({"wheels": [{}]}, "car.wheels[0]: it lacks size"),
        ({"wheels": [{"size": 1, "maker": "a\n"}]}, "car.wheels[0].maker"),
        ({"wheels": ["round"]}, "car.wheels[0]: an object is expected"),
        ({"speed": float("nan")}, "car.speed"),
        ({"speed": float("inf")}, "car.speed"),
        ({"speed": 301}, "car.speed: a number from -10 to 300"),
        ({"speed": "1"}, "car.speed"),
        ({"speed": False}, "car.speed"),
        ({"colour": "pink"}, "car.colour: 'pink' is none of red, blue"),
        ({"colour": ["red"]}, "car.colour"),
        ({"sold": 1}, "car.sold: true or false"),
        ({"sold": 0}, "car.sold"),
        ({"owner": "too long"}, "car.owner"),
        ({"notes": {"a": "x" * 30}}, "car.notes['a']"),
        ({"notes": {"a": 1, "b": 2, "c": 3}}, "car.notes: it has more than 2 names"),
        ({"notes": [1]}, "car.notes"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_place(changes: dict[str, Any], path: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        from_json(Car, {**WHOLE, **changes}, "car")
    assert caught.value.message.startswith(path)


@pytest.mark.parametrize("document", [None, [], "x", 5])
def test_what_is_no_object_is_refused(document: Any) -> None:
    with pytest.raises(ProtocolError, match="car: an object is expected"):
        from_json(Car, document, "car")


def test_an_error_shows_no_control_characters_and_is_short() -> None:
    with pytest.raises(ProtocolError) as caught:
        from_json(Car, {"name": "x", "colour": "\x1b[2J" + "x" * 9999}, "car")
    assert caught.value.message.isprintable() and len(caught.value.message) < 200


def test_what_is_too_deep_is_refused_and_no_bug() -> None:
    deep: Any = 1
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(ProtocolError, match="car.notes"):
        from_json(Car, {"name": "x", "notes": {"a": deep}}, "car")


def test_files(tmp_path: Path) -> None:
    file = tmp_path / "car.json"
    assert load(Car, file) is None
    save(file, Car("x", sold=True), mode=0o600)
    assert load(Car, file) == Car("x", sold=True) and file.stat().st_mode & 0o777 == 0o600
    file.write_text("{ half")
    assert load(Car, file) is None
    file.write_text("{}")
    with pytest.raises(ProtocolError, match="car.json: it lacks name"):
        load(Car, file)
