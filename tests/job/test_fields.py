"""Dataclasses as JSON and back: what fits comes through unchanged, what doesn't is named."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from remote.errors import ProtocolError
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


def test_what_fits_comes_back_as_it_was() -> None:
    car = Car.from_json(json.loads(json.dumps(WHOLE)), "car")
    assert car.wheels == (Wheel(16, "acme"), Wheel(1)) and car.notes == WHOLE["notes"]
    assert car.to_json() == WHOLE


def test_a_default_is_neither_written_nor_needed() -> None:
    assert Car("x").to_json() == {"name": "x"}
    assert Car.from_json({"name": "x"}, "car") == Car("x")


def test_a_default_fits_whatever_its_pattern_says() -> None:
    assert Wheel.from_json({"size": 3, "maker": ""}, "wheel") == Wheel(3)


def test_names_of_a_newer_version_are_passed_over() -> None:
    assert Car.from_json({"name": "x", "autopilot": {"level": 5}}, "car") == Car("x")


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
        Car.from_json({**WHOLE, **changes}, "car")
    assert caught.value.message.startswith(path)


@pytest.mark.parametrize("document", [None, [], "x", 5])
def test_what_is_no_object_is_refused(document: Any) -> None:
    with pytest.raises(ProtocolError, match="car: an object is expected"):
        Car.from_json(document, "car")


def test_an_error_shows_no_control_characters_and_is_short() -> None:
    with pytest.raises(ProtocolError) as caught:
        Car.from_json({"name": "x", "colour": "\x1b[2J" + "x" * 9999}, "car")
    assert caught.value.message.isprintable() and len(caught.value.message) < 200


def test_what_is_too_deep_is_refused_and_no_bug() -> None:
    deep: Any = 1
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(ProtocolError, match="car.notes"):
        Car.from_json({"name": "x", "notes": {"a": deep}}, "car")


def test_files(tmp_path: Path) -> None:
    file = tmp_path / "car.json"
    assert Car.from_file(file) is None
    Car("x", sold=True).to_file(file, mode=0o600)
    assert Car.from_file(file) == Car("x", sold=True) and file.stat().st_mode & 0o777 == 0o600
    file.write_text("{ half")
    assert Car.from_file(file) is None
    file.write_text("{}")
    with pytest.raises(ProtocolError, match="car.json: it lacks name"):
        Car.from_file(file)
