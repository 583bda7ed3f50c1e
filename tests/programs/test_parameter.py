"""What a typed value means for a parameter, and which one a typo means."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from remote.errors import NotebookError
from remote.programs.notebook import Notebook
from remote.programs.parameter import KINDS, Parameter, nearest

GOOD: list[tuple[str, str, Any]] = [
    ("int", "5", 5),
    ("int", "-5", -5),
    ("int", "1_000", 1000),
    ("int", " 7 ", 7),
    ("float", "5", 5.0),
    ("float", "1e-3", 0.001),
    ("float", "-.5", -0.5),
    ("float", "inf", float("inf")),
    ("str", "5", "5"),
    ("str", "", ""),
    ("str", "-x", "-x"),
    ("str", "a=b", "a=b"),
    ("str", "$(x) 'y' \"z\"\n日本", "$(x) 'y' \"z\"\n日本"),
    ("str", "x" * 100_000, "x" * 100_000),
    ("str", "null", "null"),
    ("bool", "true", True),
    ("bool", "True", True),
    ("bool", "YES", True),
    ("bool", "1", True),
    ("bool", "false", False),
    ("bool", "no", False),
    ("bool", "0", False),
    ("list", "[1, 2]", [1, 2]),
    ("list", "['a']", ["a"]),
    ("list", "[]", []),
    ("dict", '{"a": 1}', {"a": 1}),
    ("dict", "{'a': None}", {"a": None}),
    ("", "5", 5),
    ("", "5.0", 5.0),
    ("", "true", True),
    ("", "True", True),
    ("", "null", None),
    ("", "None", None),
    ("", "text", "text"),
    ("", "a b", "a b"),
    ("", "", ""),
    ("", "'5'", "5"),
    ("", "[1, 'a']", [1, "a"]),
    ("", "-", "-"),
    ("", "(1, 2)", "(1, 2)"),
    ("", "x" * 100_000, "x" * 100_000),
]


BAD = [
    ("int", "5.5"),
    ("int", "many"),
    ("int", ""),
    ("int", "0x10"),
    ("int", "1e3"),
    ("float", "fast"),
    ("float", ""),
    ("float", "1,5"),
    ("bool", "maybe"),
    ("bool", "2"),
    ("bool", ""),
    ("list", "5"),
    ("list", '{"a": 1}'),
    ("list", "[1"),
    ("list", "a,b"),
    ("dict", "[1]"),
    ("dict", "a=1"),
    ("int", "x" * 100_000),
]


@pytest.mark.parametrize(("kind", "text", "value"), GOOD, ids=lambda value: repr(value)[:30])
def test_a_typed_value_means(kind: str, text: str, value: Any) -> None:
    found = Parameter("p", kind, "1").convert(text)
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize(("kind", "text"), BAD, ids=lambda value: repr(value)[:30])
def test_a_value_of_the_wrong_type_is_told(kind: str, text: str) -> None:
    with pytest.raises(NotebookError) as caught:
        Parameter("p", kind, "the default").convert(text)
    assert "'p'" in caught.value.message and f"({kind})" in caught.value.message.replace(
        ", as JSON", f" ({kind})"
    )
    assert len(caught.value.message) < 200
    assert "the default" in caught.value.hint


@given(st.sampled_from(["", *KINDS]), st.text())
@example("", "9" * 5000)
@example("int", "9" * 5000)
@example("", "[" * 100_000)
@example("list", "{[]: 1}")
@example("", "{[]: 1}")
@example("", "\0")
@example("", "{1, 2}")
@example("", "1" + "+1" * 5000)
def test_any_text_is_converted_or_told(kind: str, text: str) -> None:
    try:
        value = Parameter("p", kind, "0").convert(text)
    except NotebookError:
        return
    if kind:
        assert isinstance(value, KINDS[kind])


@given(st.sampled_from(["", *KINDS]), st.text())
@example("", "NaN")
@example("", "[1e999]")
@example("", "{1: 2}")
@example("", "[(1, 2), {3}]")
@example("dict", "{(1, 2): 3}")
@example("list", "[b'x']")
@example("list", "[...]")
def test_what_is_converted_can_travel_as_json(kind: str, text: str) -> None:
    try:
        value = Parameter("p", kind, "0").convert(text)
    except NotebookError:
        return
    json.dumps(value)


PARAMETERS = tuple(Parameter(name, "int", "1") for name in ("epoch", "batch_size", "n"))


def named() -> Notebook:
    return Notebook(Path("src/notebooks/train.ipynb"), PARAMETERS)


@pytest.mark.parametrize("name", ["batch_size", "batch-size"])
def test_dashes_and_underscores_are_the_same(name: str) -> None:
    assert named().parameter(name).name == "batch_size"


@pytest.mark.parametrize(
    ("typo", "near"),
    [
        ("epochs", "epoch"),
        ("batchsize", "batch_size"),
        ("batch-siz", "batch_size"),
        ("N", "n"),
        ("EPOCHS", "epoch"),
    ],
)
def test_a_typo_names_the_nearest(typo: str, near: str) -> None:
    with pytest.raises(NotebookError) as caught:
        named().parameter(typo)
    assert repr(typo) in caught.value.message
    assert near in caught.value.hint


def test_what_is_near_to_nothing_lists_them_all() -> None:
    with pytest.raises(NotebookError) as caught:
        named().parameter("zzzzzz")
    assert caught.value.hint == "It takes epoch, batch_size, n."


def test_a_parameter_in_capitals_is_near_to_small_letters() -> None:
    names = ["EPOCHS", "Epochs", "seed"]
    assert nearest("epochs", names) == ["EPOCHS", "Epochs"]
    assert nearest("epoch", names) == ["EPOCHS", "Epochs"] and nearest("zzz", names) == []
