"""Alternatives, split and combined."""

from __future__ import annotations

import pytest

from remote.errors import JobError
from remote.programs.alternatives import combinations, once, split_values


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("0.1,0.01", ["0.1", "0.01"]),
        ("8", ["8"]),
        ("", [""]),
        ("[1, 2],[3]", ["[1, 2]", "[3]"]),
        ('{"a": [1, 2]},{}', ['{"a": [1, 2]}', "{}"]),
        ("f(1, 2),g", ["f(1, 2)", "g"]),
        (r"a\,b,c", ["a,b", "c"]),
        (r"C:\dir,b", [r"C:\dir", "b"]),
        ("]a,b", ["]a", "b"]),
        ("a\nb,c", ["a\nb", "c"]),
    ],
)
def test_commas_separate_values(text: str, values: list[str]) -> None:
    assert split_values(text) == values


@pytest.mark.parametrize("text", ["0.1,", ",a", "a,,b", ","])
def test_an_empty_value_among_others_is_refused(text: str) -> None:
    with pytest.raises(JobError, match="empty"):
        split_values(text)


def test_parameters_are_combined_in_the_order_in_which_they_were_typed() -> None:
    found = combinations({"lr": [0.1, 0.01], "seed": [7], "size": [8, 16]}, [])
    assert [each.values for each in found] == [
        {"lr": 0.1, "size": 8},
        {"lr": 0.1, "size": 16},
        {"lr": 0.01, "size": 8},
        {"lr": 0.01, "size": 16},
    ]
    assert found[3].parameters == {"lr": 0.01, "seed": 7, "size": 16}


def test_the_words_of_a_script_are_alternatives_too() -> None:
    words = ["--lr", "0.1,0.2", "--size=8,16", "model.depth=2", "x,y", "--sizes=[1,2]"]
    found = combinations({}, words)
    assert len(found) == 8
    assert found[0].arguments == ("--lr", "0.1", "--size=8", "model.depth=2", "x", "--sizes=[1,2]")
    assert found[-1].values == {"lr": "0.2", "size": "16", "arg_5": "y"}


def test_what_was_typed_twice_is_one_job() -> None:
    found = once(combinations({"lr": [1.0, 1.0], "sizes": [[1], [1], [2]]}, ["a,a,b"]))
    values = [(each.values["sizes"], each.values["arg_1"]) for each in found]
    assert values == [([1], "a"), ([1], "b"), ([2], "a"), ([2], "b")]


def test_one_job_too_many_is_refused_before_they_are_made() -> None:
    many = [*range(100)]
    with pytest.raises(JobError, match="1000000 jobs"):
        combinations({"a": many, "b": many, "c": many}, [])
