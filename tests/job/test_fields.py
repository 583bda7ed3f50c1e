"""Fields: what doesn't fit is refused with its place."""

from __future__ import annotations

from typing import Any

import pytest

from remote.errors import ProtocolError
from tests.job.cars import WHOLE, Car


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
