"""Structs as JSON and back: what fits comes through unchanged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from remote.errors import ProtocolError
from remote.job.fields import (
    integer,
)
from tests.job.cars import WHOLE, Car, Wheel


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


@pytest.mark.parametrize("document", [None, [], "x", 5])
def test_what_is_no_object_is_refused(document: Any) -> None:
    with pytest.raises(ProtocolError, match="car: an object is expected"):
        Car.from_json(document, "car")


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


def test_a_file_that_can_not_be_read_is_not_taken_for_none(tmp_path: Path) -> None:
    with pytest.raises(ProtocolError, match="can't be read: Is a directory") as told:
        Car.from_file(tmp_path)
    assert told.value.hint == f"Check its owner: ls -l {tmp_path}"


def test_values_are_given_by_place_or_by_name_each_once() -> None:
    assert Wheel(3, "acme") == Wheel(size=3, maker="acme") == Wheel(3, maker="acme")
    for wrong in (lambda: Wheel(), lambda: Wheel(3, size=3), lambda: Wheel(3, tyre=1)):
        with pytest.raises(TypeError, match="Wheel"):
            wrong()
    with pytest.raises(TypeError, match="size, maker"):
        Wheel(3, "acme", 5)


def test_they_are_equal_and_hashed_by_what_they_hold_and_by_their_class() -> None:
    class Hub(Wheel):
        bolts: int = integer(0, 9, default=5)

    assert len({Wheel(3), Wheel(3, ""), Wheel(4)}) == 2
    assert Wheel(3) != Hub(3) and Hub(3) == Hub(size=3, bolts=5)
    assert Hub(3).to_json() == {"size": 3} and repr(Hub(3)) == "Hub(size=3, maker='', bolts=5)"


def test_a_changed_one_is_another_one() -> None:
    wheel = Wheel(3, "acme")
    assert wheel.replace(size=4) == Wheel(4, "acme") and wheel.size == 3
    with pytest.raises(TypeError):
        wheel.replace(tyre=1)
    with pytest.raises(AttributeError, match="replace"):
        wheel.size = 4  # type: ignore[misc]


def test_no_two_share_the_names_of_a_default() -> None:
    first, second = Car("x"), Car.from_json({"name": "x"}, "car")
    first.notes["a"] = 1  # type: ignore[index]
    assert second.notes == {} and Car("x").notes == {}
